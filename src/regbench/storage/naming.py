"""What settings are called where people read: their techniques with their strengths. Imports no torch."""

import contextlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from regbench.storage.configs import StoredConfig, read_config, read_planned
from regbench.storage.results import DamagedError
from regbench.storage.schema import read_run_path

# Numbers of techniques that say how they are computed, not how strong they are.
NO_STRENGTH = frozenset({"momentum", "eps"})

_NONE = "none"
_REGULARIZER = "regularizer"
# What tells no settings apart.
_NO_DIFFERENCE = frozenset({_REGULARIZER, "seed", "study", "force", "keep", "threads", "logger", "histograms"})


def with_strengths(regularizer: Mapping[str, Any]) -> str:
    """Name a setting by its techniques and the numbers that say how strong they are: `dropout p=0.5`, or `none`.

    Args:
        regularizer: The configuration's node of this name.
    """
    techniques = sorted(regularizer)
    shown = [
        (technique, name, value)
        for technique in techniques
        if isinstance(node := regularizer[technique], Mapping)
        for name, value in node.items()
        if is_strength(name, value)
    ]
    return " ".join(["+".join(techniques) or _NONE, *write_strengths(shown)])


def is_strength(name: str, value: object) -> bool:
    """Tell whether a technique's parameter is a number that says how strong it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and name not in NO_STRENGTH


def write_strengths(shown: Sequence[tuple[str, str, float]]) -> list[str]:
    """Write strengths as `p=0.5`; with the technique, `dropout.p=0.5`, where two of them have one name.

    Args:
        shown: Technique, parameter and value of each.
    """
    names = [name for _, name, _ in shown]
    short = len(set(names)) == len(names)
    return [
        f"{name if short else f'{technique}.{name}'}={f'{value:g}' if isinstance(value, float) else value}"
        for technique, name, value in shown
    ]


def name_settings(settings: Mapping[str, StoredConfig]) -> dict[str, str]:
    """Name settings so that no two have one name: by their strengths, and by what the user changed in some of them.

    Args:
        settings: By folder, such as `digits-lenet5/dropout-71a3b6`.
    """
    changes = {place: _changes(stored.overrides) for place, stored in settings.items()}
    shared = set.intersection(*(set(each.items()) for each in changes.values())) if changes else set()
    names = {}
    for place, stored in settings.items():
        regularizer = stored.config.get(_REGULARIZER)
        name = with_strengths(regularizer) if isinstance(regularizer, Mapping) else _from_folder(place)
        own = [(key.rpartition(".")[2], value) for key, value in changes[place].items() if (key, value) not in shared]
        names[place] = " ".join([name, *(f"{key}={value}" for key, value in own if f" {key}=" not in name)])
    times = Counter(names.values())
    return {place: f"{name} [{place.rpartition('-')[2]}]" if times[name] > 1 else name for place, name in names.items()}


def setting_folder(run: str) -> str:
    """Return the folder that a run shares with the other seeds of its setting; its own where it shares none."""
    return run.rpartition("/")[0] if read_run_path(Path(run)) is not None else run


def read_settings(study: Path, runs: Iterable[str]) -> dict[str, StoredConfig]:
    """Return the configuration of each setting by its folder: as planned, or of one of its runs.

    A setting of which nothing can be read has an empty one.

    Args:
        study: The study's folder.
        runs: The runs' folders below it.
    """
    found: dict[str, StoredConfig] = {}
    for run in runs:
        place = setting_folder(run)
        if place not in found or not found[place].config:
            found[place] = _read(study, run)
    return found


def _read(study: Path, run: str) -> StoredConfig:
    with contextlib.suppress(DamagedError):
        return read_planned(study, run)
    with contextlib.suppress(DamagedError):
        return read_config(study / run)
    return StoredConfig({}, [])


def _changes(overrides: Iterable[str]) -> dict[str, str]:
    """Return the overrides by key that may tell settings apart."""
    pairs = (each.lstrip("+").partition("=") for each in overrides)
    return {key: value for key, _, value in pairs if key not in _NO_DIFFERENCE}


def _from_folder(place: str) -> str:
    found = read_run_path(Path(f"{place}/seed0"))
    return found.setting if found is not None else place
