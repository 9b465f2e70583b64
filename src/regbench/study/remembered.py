"""A finished run as a table's entry, and back: what its files hold, checked again as strictly as the files are."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from regbench.storage.results import RunResults
from regbench.storage.schema import FINISHED
from regbench.study.gathered import Entry, Table, digest_of
from regbench.study.recipes import Recipe, Recipes, as_json
from regbench.study.run_folders import Run, check_history
from regbench.study.verification import Verified

_NUMBER = np.dtype("<f8")
_DIGEST = Field(pattern="^[0-9a-f]{32}$")

Value = TypeVar("Value")


class _Content(BaseModel):
    """An entry's JSON: the results without their provenance, and the digests of the texts that runs share.

    Attributes:
        results: What `results.json` holds.
        seed: The configuration's, where it is a whole number.
        recipe: Of the rest of the configuration.
        provenance: Of the provenance without the time of the start.
        columns: Of the history's column names.
        verified: What the predictions gave; None without any.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    results: RunResults
    seed: int | None
    recipe: str = _DIGEST
    provenance: str = _DIGEST
    columns: str = _DIGEST
    verified: Verified | None


@dataclass
class Shared:
    """What many runs have in common, each kept once."""

    recipes: Recipes = field(default_factory=Recipes)
    _values: dict[str, Any] = field(default_factory=dict)
    _by_digest: dict[tuple[str, str], Any] = field(default_factory=dict)

    def share_provenance(self, results: RunResults) -> None:
        """Let results refer to the one copy of their provenance; when a run was started is left out."""
        kept = {name: value for name, value in results.provenance.items() if name != "started"}
        text = as_json(kept)
        results.provenance = self._values.setdefault(text, kept) if text else kept

    def recipe(self, table: Table, digest: str) -> Recipe:
        """Return a recipe that a table's entry refers to.

        Raises:
            ValueError: The table does not have it, or it is none.
        """
        return self._looked_up("recipe", table, digest, self.recipes.from_json)

    def provenance(self, table: Table, digest: str) -> dict[str, Any]:
        """Return a provenance that a table's entry refers to.

        Raises:
            ValueError: The table does not have it, or it is none.
        """
        return self._looked_up("provenance", table, digest, self._provenance)

    def columns(self, table: Table, digest: str) -> list[str]:
        """Return the names of columns that a table's entry refers to.

        Raises:
            ValueError: The table does not have them, or they are none.
        """
        return self._looked_up("columns", table, digest, _columns)

    def _looked_up(self, kind: str, table: Table, digest: str, read: Callable[[str], Value]) -> Value:
        if (kind, digest) not in self._by_digest:
            text = table.text(bytes.fromhex(digest))
            if text is None:
                raise ValueError(f"{kind}: not in the table")
            try:
                self._by_digest[kind, digest] = read(text)
            except RecursionError as error:
                raise ValueError(f"{kind}: nested too deeply") from error
        found: Value = self._by_digest[kind, digest]
        return found

    def _provenance(self, text: str) -> dict[str, Any]:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise ValueError("provenance: expected an object")
        shared: dict[str, Any] = self._values.setdefault(text, value)
        return shared


def pack(run: Run, verified: Verified | None, stamp: bytes) -> tuple[Entry, list[str]] | None:
    """Return a run as an entry, with the texts that it shares with others; None where JSON cannot hold it."""
    seed = run.stored.config.get("seed")
    texts = [run.recipe.text, as_json(run.results.provenance), as_json(list(run.history))]
    if not all(texts):
        return None
    recipe, provenance, columns = (digest_of(text).hex() for text in texts)
    content = _Content.model_construct(
        results=run.results,
        seed=seed if "seed" not in run.recipe.config else None,
        recipe=recipe,
        provenance=provenance,
        columns=columns,
        verified=verified,
    )
    try:
        text = content.model_dump_json(by_alias=True, exclude={"results": {"provenance"}})
    except ValueError:
        return None
    numbers = np.array(list(run.history.values()), dtype=_NUMBER)
    return Entry(stamp, text, numbers.tobytes()), texts


def unpack(folder: Path, entry: Entry, table: Table, shared: Shared) -> tuple[Run, Verified | None]:
    """Return the run that an entry holds, and what its predictions gave; its overrides are not remembered.

    Raises:
        ValueError: It is not what a finished run leaves.
    """
    content = _Content.model_validate_json(entry.content)
    results = content.results
    if results.status != FINISHED:
        raise ValueError("expected a finished run")
    recipe, columns = shared.recipe(table, content.recipe), shared.columns(table, content.columns)
    results.provenance = shared.provenance(table, content.provenance)
    numbers = np.frombuffer(entry.history, _NUMBER).reshape(len(columns), -1)
    history = dict(zip(columns, numbers, strict=True))
    check_history(history, results)
    return Run(folder, results, recipe.stored(content.seed), history, recipe), content.verified


def _columns(text: str) -> list[str]:
    names = json.loads(text)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError("columns: expected a list of names")
    return names
