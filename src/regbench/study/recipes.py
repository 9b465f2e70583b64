"""Configurations without their seeds: runs of one setting share everything else, so it is parsed and kept once."""

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from regbench.storage.code import told_apart
from regbench.storage.configs import StoredConfig, check_config, parse_config
from regbench.storage.identity import hash_of, without_later_keys, without_measured
from regbench.study.flat_config import flatten

_SEED = "seed"
_MOST_TEMPLATES = 20_000
# The two lines of a run's config.yaml that name its seed: in the configuration, and in the list of overrides.
_SEED_LINES = re.compile(rb"^(  seed: |- seed=)(0|[1-9][0-9]{0,17})$", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Recipe:
    """What a run's `config.yaml` holds besides its seed and its overrides; one object for all runs that share it.

    Attributes:
        config: The composed configuration, without the seed where that is a whole number.
        code: The code that counts, by class.
        text: Both as JSON, the same for equal recipes; empty where JSON cannot hold the configuration.
    """

    config: dict[str, Any]
    code: dict[str, str]
    text: str = ""
    _told: dict[int, tuple[object, tuple[str, str]]] = field(default_factory=dict, repr=False)

    def stored(self, seed: int | None, overrides: list[str] | None = None) -> StoredConfig:
        """Return a run's configuration."""
        config = self.config if seed is None else {**self.config, _SEED: seed}
        return StoredConfig(config, overrides or [], self.code)

    @cached_property
    def cells(self) -> dict[str, Any]:
        """The configuration's values by column, `config/<dotted.key>`."""
        return {f"config/{key}": value for key, value in flatten(without_measured(without_later_keys(self.config)))}

    @cached_property
    def config_hash(self) -> str:
        """The digits that tell its runs apart from others'."""
        return hash_of(self.config, self.code)

    def told_apart(self, provenance: dict[str, Any]) -> tuple[str, str]:
        """Return in one text each what code the regularizers of a run with this provenance are, and the rest of it."""
        if id(provenance) not in self._told:
            recorded = provenance.get("code")
            code = told_apart(self.config, self.code, recorded if isinstance(recorded, dict) else {})
            self._told[id(provenance)] = (provenance, code)  # kept, so that no other object gets its id
        return self._told[id(provenance)][1]


@dataclass
class Recipes:
    """The recipes that were met, each once, and the texts that they were read from."""

    _by_text: dict[str, Recipe] = field(default_factory=dict)
    _templates: dict[tuple[bytes, ...], "_Template | None"] = field(default_factory=dict)

    def read(self, text: bytes) -> tuple[Recipe, StoredConfig]:
        """Return the recipe and the configuration that a `config.yaml` holds; only the seed's digits may be new.

        Raises:
            DamagedError: It is not what a run writes.
        """
        parts = _SEED_LINES.split(text)
        key, digits = (*parts[::3], *parts[1::3]), parts[2::3]
        if parts[1::3].count(b"  seed: ") != 1:
            return self._parsed(text)
        if key not in self._templates:
            recipe, stored = self._parsed(text)
            if len(self._templates) < _MOST_TEMPLATES:
                self._templates[key] = self._template(parts, recipe, stored)
            return recipe, stored
        template = self._templates[key]
        return template.filled(digits) if template is not None else self._parsed(text)

    def from_json(self, text: str) -> Recipe:
        """Return the recipe that a `Recipe.text` holds.

        Raises:
            DamagedError: It is not what a run writes.
            ValueError: It is no such text.
        """
        if text not in self._by_text:
            document = json.loads(text)
            stored = check_config(document)
            if set(document) != {"config", "code"}:
                raise ValueError("expected config and code")
            self._by_text[text] = Recipe(stored.config, stored.code, text)
        return self._by_text[text]

    def _parsed(self, text: bytes) -> tuple[Recipe, StoredConfig]:
        stored = parse_config(text)
        return self._recipe(stored), stored

    def _recipe(self, stored: StoredConfig) -> Recipe:
        config = dict(stored.config)
        if type(config.get(_SEED)) is int:
            del config[_SEED]
        text = as_json({"config": config, "code": stored.code})
        if not text:
            return Recipe(config, stored.code)
        return self._by_text.setdefault(text, Recipe(config, stored.code, text))

    def _template(self, parts: list[bytes], recipe: Recipe, stored: StoredConfig) -> "_Template | None":
        """Return the template, if another seed in these lines changes the configuration's seed and nothing else.

        Such a line may as well be a part of a longer text, so other digits are parsed once to see.
        """
        lines, digits = parts[1::3], parts[2::3]
        others = [str(int(each) + 1 + place).encode() for place, each in enumerate(digits)]
        probe = list(parts)
        probe[2::3] = others
        named = sum(_NAMES_SEED.fullmatch(each) is not None for each in stored.overrides)
        if not recipe.text or named != lines.count(b"- seed="):
            return None
        template = _Template(recipe, stored.overrides, lines)
        (_, expected), (other_recipe, other) = template.filled(others), self._parsed(b"".join(probe))
        same = other_recipe is recipe and other.overrides == expected.overrides
        return template if same and other.config.get(_SEED) == expected.config[_SEED] else None


@dataclass(frozen=True)
class _Template:
    """A `config.yaml` but for the digits of its seed."""

    recipe: Recipe
    overrides: list[str]
    lines: list[bytes]

    def filled(self, digits: list[bytes]) -> tuple[Recipe, StoredConfig]:
        """Return recipe and configuration with these digits in the lines of the seed, in their order."""
        seed = int(digits[self.lines.index(b"  seed: ")])
        named = iter([each for line, each in zip(self.lines, digits, strict=True) if line == b"- seed="])
        overrides = [f"seed={next(named).decode()}" if _NAMES_SEED.fullmatch(each) else each for each in self.overrides]
        return self.recipe, self.recipe.stored(seed, overrides)


_NAMES_SEED = re.compile("seed=(0|[1-9][0-9]{0,17})")


def as_json(value: Any) -> str:
    """Return a value as JSON that gives the same value again; empty where JSON cannot hold it."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return ""
    return text if _is_same(json.loads(text), value) else ""


def _is_same(one: Any, other: Any) -> bool:
    """Whether values are equal and of the same types, however deep: 1, 1.0 and true are not the same."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        pairs = zip(one.items(), other.items(), strict=False)
        return len(one) == len(other) and all(a == b and _is_same(x, y) for (a, x), (b, y) in pairs)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(one == other)
