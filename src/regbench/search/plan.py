"""What a tuned comparison was asked for: its settings, what is searched of each, and by which protocol. No torch."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from pydantic import Field, PositiveInt

from regbench.config.checks import check_values
from regbench.config.composing import CONFIGS, check_choices, check_given_once, compose_raw, to_plain
from regbench.config.identity import run_name, setting_name
from regbench.config.objects import check_call
from regbench.search.choosing import chance
from regbench.search.space import Space, not_given, read_space
from regbench.search.space_checks import check_spaces
from regbench.storage.tuning import TRIALS, Value
from regbench.sweeps.plan import grid

# Of the trials; the finalists' follow. No confirming seed comes so far.
FIRST_SEARCH_SEED = 1_000_000

_SPLIT_SEED = "dataset.split_seed"
_OF_TECHNIQUES = ("regularizer.", "space.regularizer.")


@dataclass(frozen=True)
class Protocol:
    """How every setting is searched and confirmed; the keys of `configs/tune.yaml`."""

    trials: PositiveInt
    sampler: Literal["tpe", "quasi_random"]
    pruning: Literal["none", "hyperband", "halving"]
    finalists: PositiveInt
    finalist_seeds: PositiveInt
    seeds: Annotated[int, Field(ge=1, le=FIRST_SEARCH_SEED)]
    defaults_too: bool


_OWN = (*(each.name for each in fields(Protocol)), "space")


@dataclass(frozen=True)
class Setting:
    """One setting of a tuned comparison.

    Attributes:
        name: Its techniques joined by `+`, or `none`.
        space: What is searched, by key of the run's configuration.
        overrides: What the user changed, without what the search itself sets.
        default: The values at the searched keys before the search.
    """

    name: str
    space: Space
    overrides: tuple[str, ...]
    default: dict[str, Any]
    composed: DictConfig
    options: dict[str, Any]

    def trial_config(self, values: Mapping[str, Value], seed: int) -> dict[str, Any]:
        """Return the configuration of a run of the search, whose split follows its own seed."""
        return self._config(values, seed, {_SPLIT_SEED: None, "track_test": False})

    def confirming_config(self, values: Mapping[str, Value], seed: int) -> dict[str, Any]:
        """Return the configuration of a run that confirms these values; without any, that of the default."""
        return self._config(values, seed, {})

    def chance(self, monitor: str) -> float:
        """Return what guessing scores."""
        return chance(monitor, len(self.composed.dataset.classes))

    def run_overrides(self, values: Mapping[str, Value], seed: int) -> list[str]:
        """Return what a run records as changed."""
        return [*self.overrides, *(f"{key}={value}" for key, value in values.items()), f"seed={seed}"]

    def _config(self, values: Mapping[str, Value], seed: int, more: Mapping[str, Any]) -> dict[str, Any]:
        config = copy.deepcopy(self.composed)
        for key, value in {**values, "seed": seed, **more}.items():
            OmegaConf.update(config, key, value)
        return to_plain(config, self.options)


@dataclass(frozen=True)
class Plan:
    """A tuned comparison.

    Attributes:
        study: Its name.
        folder: The study's, `outputs/sweeps/<study>`.
        protocol: How it goes.
        settings: The baseline first.
        monitor: The validation metric that is searched for.
        max_epochs: Of each run, at most.
        base: All that was composed, Hydra's own part included: it says how workers are launched.
    """

    study: str
    folder: Path
    protocol: Protocol
    settings: tuple[Setting, ...]
    monitor: str
    max_epochs: int
    base: DictConfig
    _folders: dict[Any, Path] = field(default_factory=dict, compare=False)

    def trial_folder(self, setting: Setting, values: Mapping[str, Value], seed: int) -> Path:
        """Return the folder of a run of the search."""
        key = (setting.name, tuple(values.items()), seed)
        if key not in self._folders:  # composing takes milliseconds
            self._folders[key] = self.folder / TRIALS / run_name(setting.trial_config(values, seed))
        return self._folders[key]

    @property
    def search_seeds(self) -> list[int]:
        """The trials' seed, then the finalists'."""
        return [FIRST_SEARCH_SEED + step for step in range(1 + self.protocol.finalist_seeds)]


def make_plan(arguments: Sequence[str]) -> Plan:
    """Compose a tuned comparison from overrides, as on the command line.

    Raises:
        ValueError: They do not compose or make no fair search; in one line that names the key.
        hydra.errors.HydraException: They do not compose.
    """
    arguments, places = _own_places(arguments)
    check_given_once(arguments)
    given = OverridesParser.create().parse_overrides(list(arguments))
    _check_given(given)
    late = [each for each in given if _is_of_a_technique(each) or each.key_or_group.startswith("space.")]
    # Elsewhere `seeds` is a group, of which Hydra would look for the option.
    lines = [_line(each) for each in given if each.key_or_group not in {"regularizer", "seeds"} and each not in late]
    base = compose_raw([*lines, *_threads(lines)], "tune")
    settings: dict[str, Setting] = {}
    used: set[str] = set()
    for chosen in _chosen_regularizers(given, base):
        setting = _make_setting([*lines, chosen], late, used, places)
        if setting.name in settings:
            raise ValueError(f"regularizer: expected different settings, received {setting.name} twice")
        settings[setting.name] = setting
    for each in given:
        if _is_of_a_technique(each) and _line(each) not in used:
            raise ValueError(f"{each.input_line}: no setting has {_technique(each)}; add it to regularizer=…")
    ordered = sorted(settings.values(), key=lambda each: each.name != "none")
    config = ordered[0].confirming_config({}, 0)
    protocol = _protocol(base, {each.key_or_group: each.value() for each in given if each.key_or_group == "seeds"})
    plan = Plan(
        study=config["study"],
        folder=Path(str(OmegaConf.select(base, "hydra.sweep.dir"))),
        protocol=protocol,
        settings=tuple(ordered),
        monitor=config["monitor"],
        max_epochs=config["trainer"]["max_epochs"],
        base=base,
    )
    _check(plan, config)
    check_spaces(plan.settings)
    return plan


def _check_given(given: Sequence[Override]) -> None:
    for each in given:
        if each.key_or_group == "seed":
            raise ValueError(f"{each.input_line}: the confirming seeds are 0, 1, …: say how many by seeds=10")
        if each.is_sweep_override() and each.key_or_group != "regularizer":
            raise ValueError(
                f"{each.input_line}: expected one value; regbench tune compares settings of regularizer=A,B alone, and "
                f"searches numbers by +space.{each.key_or_group}={{low: …, high: …}}"
            )


def _check(plan: Plan, config: Mapping[str, Any]) -> None:
    check_values(config)
    if not config["dataset"].get("val_size"):
        raise ValueError("dataset.val_size: expected validation images, by which a search chooses; received 0")
    if plan.monitor not in {"val/acc", "val/loss"}:
        raise ValueError(
            f"monitor: expected val/acc or val/loss, by which regbench tune searches; received {plan.monitor!r}"
        )
    if config.get("force"):
        raise ValueError("force: not taken by regbench tune; use another study=NAME, or delete the study's folder")
    if config["dataset"].get("split_seed") in plan.search_seeds:
        raise ValueError(
            f"dataset.split_seed: expected another split than the search's ({plan.search_seeds[0]:,} and after)"
        )
    if not any(setting.space for setting in plan.settings):
        raise ValueError(
            "space: nothing is left to search; expected a range in configs/space/ for the optimizer or a technique, or "
            "+space.KEY={low: …, high: …}, of a key that is not given"
        )


def _protocol(base: DictConfig, given: Mapping[str, Any]) -> Protocol:
    composed = {each.name: base[each.name] for each in fields(Protocol)}
    return Protocol(**check_call(Protocol, {**composed, **given}, "", {}))


def _chosen_regularizers(given: Sequence[Override], base: DictConfig) -> list[str]:
    """Return an override for each setting: the command line's, or else those of an experiment's sweep."""
    chosen = [each for each in given if each.key_or_group == "regularizer"]
    if not chosen:
        swept = OmegaConf.select(base, "hydra.sweeper.params.regularizer", default="none")
        chosen = OverridesParser.create().parse_overrides([f"regularizer={swept}"])
    return [job[0] for job in grid(chosen)]


def _make_setting(lines: list[str], late: Sequence[Override], used: set[str], places: Sequence[Path]) -> Setting:
    """Compose one setting, with those overrides of single techniques that are about its own."""
    first = compose_raw(lines, "tune")
    techniques = [str(name) for name in first.regularizer]
    own = [_line(each) for each in late if not _is_of_a_technique(each) or _technique(each) in techniques]
    used.update(own)
    changed = [each for each in (*lines, *own) if not _is_of_the_search(each)]
    check_choices(changed)
    threads = _threads(lines)
    optimizer = OmegaConf.select(first, "hydra.runtime.choices.optimizer")
    composed = compose_raw([*_spaces(optimizer, techniques, places), *lines, *own, *threads], "tune")
    options = dict(OmegaConf.select(composed, "hydra.runtime.choices"))
    if "${now:" in str(OmegaConf.to_container(composed, resolve=False)["study"]):  # type: ignore[index, call-overload]  # a mapping
        raise ValueError("study: expected study=NAME, by which a search that was stopped is found again")
    bare = OmegaConf.masked_copy(composed, [str(key) for key in composed if key not in (*_OWN, "hydra")])
    config = to_plain(bare, options)
    OmegaConf.update(bare, "compile", config["compile"])  # as found here, wherever a worker has no compiler
    given = OverridesParser.create().parse_overrides([*lines, *own])
    space = not_given(read_space(OmegaConf.to_container(composed.space, resolve=True), config), given)
    default = {key: _value_at(config, key) for key in space}
    return Setting(setting_name(config), space, (*changed, *threads), default, bare, options)


def _threads(lines: Sequence[str]) -> list[str]:
    """Return the override that gives a run one thread, as in a sweep, unless the user says how many."""
    return [] if any(each.startswith("threads=") for each in lines) else ["threads=1"]


def _spaces(optimizer: str, techniques: Sequence[str], places: Sequence[Path]) -> list[str]:
    """Return the overrides that compose the search spaces of the optimizer and of the techniques that have one."""
    found = {
        group: [each for each in names if any((place / "space" / group / f"{each}.yaml").is_file() for place in places)]
        for group, names in (("optimizer", [optimizer]), ("regularizer", techniques))
    }
    return [f"+space/{group}=[{','.join(names)}]" for group, names in found.items() if names]


def _own_places(arguments: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Turn `--config-dir FOLDER`, as train.py takes it, into an override; return where YAMLs lie.

    Raises:
        ValueError: There is another option.
    """
    words, folders, kept = iter(arguments), list[Path](), list[str]()
    for word in words:
        name, _, value = word.partition("=")
        if name in {"--config-dir", "-cd"}:
            folders.append(Path(value or next(words, ".")).absolute())
        elif word.startswith("-"):
            raise ValueError(f"{word}: no such option; expected KEY=VALUE or --config-dir FOLDER")
        else:
            kept.append(word)
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"--config-dir {folder}: expected a folder of YAML groups, found none")
    added = [f"hydra.searchpath=[{','.join(f'file://{each}' for each in folders)}]"] if folders else []
    return [*kept, *added], [CONFIGS, *folders]


def _is_of_a_technique(override: Override) -> bool:
    return str(override.key_or_group).startswith("space.regularizer." if override.is_add() else _OF_TECHNIQUES)


def _technique(override: Override) -> str:
    return override.key_or_group.removeprefix("space.").split(".")[1]


def _is_of_the_search(line: str) -> bool:
    key = line.lstrip("+~").partition("=")[0]
    return key in _OWN or key.startswith(("space.", "space/", "hydra"))


def _line(override: Override) -> str:
    return str(override.input_line)


def _value_at(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value[part]
    return value
