"""From a sweep's overrides to its runs: composed and resolved once for each setting, in the process that was called.

Composing by Hydra takes a fifth of a second. So it is done once for each choice of options from the groups; values, and
then seeds, are filled in.
"""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from regbench.config.checks import check_values
from regbench.config.composing import check_choices, check_defined_once, to_plain, without_hydra
from regbench.config.identity import run_name
from regbench.runs.spec import RunSpec
from regbench.storage.configs import StoredConfig, write_planned
from regbench.storage.schema import read_run_path

SEED = "seed"

_DEFAULT_SUBDIR = "${run_folder:}"
_OF_SEED = re.compile(rf"\$\{{[^}}]*\b{SEED}\b")
# What machines may decide differently: stated to those launchers whose jobs compose for themselves.
_OF_MACHINE = ("threads", "compile")


@dataclass(frozen=True)
class ResolvedRun:
    """A run of a sweep, resolved.

    Attributes:
        name: Its folder below the study's.
        overrides: What makes it, as the sweep's launcher gets it.
        spec: Its configuration.
    """

    name: str
    overrides: list[str]
    spec: RunSpec

    @property
    def stored(self) -> StoredConfig:
        """What a plan keeps of it; `force` is done once, when a sweep is called."""
        return StoredConfig({**self.spec.config, "force": False}, list(self.spec.overrides), self.spec.code)

    def job(self) -> list[str]:
        """Return the overrides that make the same run on any machine."""
        given = {each.partition("=")[0] for each in self.overrides}
        return [*self.overrides, *(f"{key}={self.spec.config[key]}" for key in _OF_MACHINE if key not in given)]


@dataclass
class Resolver:
    """Resolves the runs of a sweep.

    Args:
        config: The composed configuration of the call, Hydra's part included.
        loader: Hydra's.
    """

    config: DictConfig
    loader: ConfigLoader
    _compositions: dict[tuple[str, ...], "_Composition"] = field(default_factory=dict)
    _settings: dict[tuple[str, ...], "_Setting"] = field(default_factory=dict)
    _parsed: dict[str, Override] = field(default_factory=dict)
    _groups: dict[str, bool] = field(default_factory=dict)
    _checked_seeds: set[str] = field(default_factory=set)

    def runs(self, jobs: Sequence[Sequence[str]]) -> Iterator[ResolvedRun]:
        """Give the runs of these lists of overrides, in their order.

        Raises:
            ValueError: A value is wrong; in one line that names its key.
            hydra.errors.HydraException: An override does not compose.
        """
        for job in jobs:
            yield self._run(list(job))

    def setting(self, overrides: Sequence[str]) -> dict[str, Any]:
        """Return the configuration of a setting, for any seed."""
        return dict(self._setting(tuple(overrides)).spec.config)

    def _run(self, job: list[str]) -> ResolvedRun:
        seeded = [each for each in job if each.startswith(f"{SEED}=")]
        setting = self._setting(tuple(each for each in job if each not in seeded))
        if setting.place is None:
            composed = self._compose(job)
            config = to_plain(composed)
            check_values(config)
            return ResolvedRun(str(composed.hydra.sweep.subdir), job, RunSpec(config, job))
        spec = setting.spec.with_seed(self._parse(seeded[-1]).value() if seeded else setting.spec.seed, job)
        if seeded and seeded[-1] not in self._checked_seeds:
            check_values(spec.config)
            self._checked_seeds.add(seeded[-1])
        return ResolvedRun(f"{setting.place}/seed{spec.seed}", job, spec)

    def _setting(self, overrides: tuple[str, ...]) -> "_Setting":
        if overrides not in self._settings:
            check_choices(overrides)
            parsed = [self._parse(each) for each in overrides]
            values = [each for each in parsed if self._is_value(each) and not self._is_ordered(each, parsed)]
            composition = self._composition(overrides, values)
            config = to_plain(composition.filled_with(values), composition.choices)
            check_values(config)
            place = run_name(config).rpartition("/")[0] if composition.is_shared else None
            self._settings[overrides] = _Setting(RunSpec(config, overrides), place)
        return self._settings[overrides]

    def _composition(self, overrides: tuple[str, ...], values: Sequence[Override]) -> "_Composition":
        keys = {each.key_or_group: each.input_line for each in values}
        key = (*keys, *(each for each in overrides if each not in keys.values()))
        if key not in self._compositions:
            self._compositions[key] = _Composition(self._compose(list(overrides)))
        return self._compositions[key]

    def _compose(self, overrides: list[str]) -> DictConfig:
        """Compose as the launcher of a job does, so that what follows from Hydra's own part is known."""
        composed = self.loader.load_sweep_config(self.config, overrides)
        HydraConfig.instance().set_config(composed)
        check_defined_once(composed, self.loader)
        return composed

    def _parse(self, line: str) -> Override:
        if line not in self._parsed:
            self._parsed[line] = OverridesParser.create(self.loader).parse_override(line)
        return self._parsed[line]

    def _is_ordered(self, override: Override, others: Sequence[Override]) -> bool:
        """Tell whether an override sets a part of what another one sets, so that their order counts."""
        key = f"{override.key_or_group}."
        return any(
            key.startswith(f"{each.key_or_group}.") or each.key_or_group.startswith(key)
            for each in others
            if each is not override and (isinstance(each.value(), dict) or not self._is_group(each.key_or_group))
        )

    def _is_group(self, key: str) -> bool:
        if key not in self._groups:
            self._groups[key] = bool(self.loader.get_group_options(key))
        return self._groups[key]

    def _is_value(self, override: Override) -> bool:
        """Tell whether an override sets a single value of its own that is there already: no option, no added key."""
        key = override.key_or_group
        if override.is_add() or override.is_force_add() or override.is_delete() or override.package is not None:
            return False
        value = override.value()
        if isinstance(value, (dict, list)) or "${" in str(value) or "/" in key or key.partition(".")[0] == "hydra":
            return False
        return not self._is_group(key)


class _Composition:
    """What Hydra composed for some options of the groups; its values are those of the first setting that has them."""

    def __init__(self, composed: DictConfig) -> None:
        self._own = without_hydra(composed)
        self.choices: Mapping[str, Any] = dict(OmegaConf.select(composed, "hydra.runtime.choices"))
        unresolved: Any = OmegaConf.to_container(composed, resolve=False)
        # Whether only the key `seed` differs from seed to seed.
        named = unresolved.pop("hydra")["sweep"]["subdir"] == _DEFAULT_SUBDIR
        self.is_shared = named and not _refers_to_seed(unresolved)

    def filled_with(self, values: Sequence[Override]) -> DictConfig:
        """Return the configuration with these values."""
        config = copy.deepcopy(self._own)
        for each in values:
            OmegaConf.update(config, each.key_or_group, each.value(), merge=True)
        return config


class _Setting(NamedTuple):
    """A setting: its specification but for the seed, and its runs' common folder; None where each has its own."""

    spec: RunSpec
    place: str | None


def _refers_to_seed(value: Any) -> bool:
    if isinstance(value, (dict, list)):
        return any(map(_refers_to_seed, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and _OF_SEED.search(value) is not None


def write_runs(study: Path, runs: Iterable[ResolvedRun]) -> None:
    """Write down in a study's folder what its runs are to be, once for each setting.

    Raises:
        ValueError: Seeds of a setting differ in more than the seed, or another setting has the same name.
    """
    written: dict[str, ResolvedRun] = {}
    for each in runs:
        place = each.name.rpartition("/")[0] if read_run_path(Path(each.name)) else each.name
        first = written.setdefault(place, each)
        if first is each:
            write_planned(study, each.name, each.stored)
        elif differing := _differing(first.spec.config, each.spec.config):
            raise ValueError(
                f"{differing}: expected the same value for all seeds of {place}, received others for seed "
                f"{first.spec.seed} and seed {each.spec.seed}"
            )


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    names = (name for name in ours.keys() | theirs.keys() if name != SEED and ours.get(name) != theirs.get(name))
    return next(iter(sorted(names)), None)
