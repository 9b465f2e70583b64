"""A study's folder: the run folders below it, and its plan `sweep.json`, which they replace where it is lost."""

import contextlib
import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from regbench.storage.files import read_bytes, write_json
from regbench.storage.results import DamagedError, one_line, shortened
from regbench.storage.schema import CONFIG, JOURNAL, RESULTS, SEARCH, SWEEP, TUNING, read_run_path

_ALWAYS = ("commands", "runs")
_LOCK = ".sweep.lock"


@dataclass(frozen=True)
class Plan:
    """What a sweep was asked for, over all its calls.

    Attributes:
        commands: The distinct commands.
        runs: The run folders, relative to the sweep's.
        stages: Seeds of a setting by stage, all before included, where seeds come in stages until a verdict; else
            empty.
        metric: What the verdicts are on then.
        added: Runs that a later call added to a setting with finished ones, and how many were finished then. Not
            those of stages, which count how often one looks.
    """

    commands: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    stages: list[int] = field(default_factory=list)
    metric: str | None = None
    added: dict[str, int] = field(default_factory=dict)


def is_search(folder: Path) -> bool:
    """Tell whether a study's runs were chosen by a search."""
    return (folder / SEARCH / TUNING).exists()


def find_runs(root: Path) -> tuple[list[Path], list[Path]]:
    """Return the run folders and the `sweep.json` files below a folder, both sorted; none of a study's search."""
    runs: list[str] = []
    sweeps: list[str] = []
    waiting = [os.fspath(root)]
    while waiting:
        place = waiting.pop()
        folders, files = _entries(place)
        if RESULTS in files or CONFIG in files:
            runs.append(place)
        elif _is_of_a_search(place, files) and place != os.fspath(root):
            continue  # its own runs belong to no study
        else:
            inside = f"{place.rstrip('/')}/"
            sweeps += [inside + SWEEP] if SWEEP in files else []
            waiting += [inside + name for name in folders if not name.startswith(".")]
    return sorted(map(Path, runs), key=_natural), sorted(map(Path, sweeps))


def read_plan(path: Path) -> Plan:
    """Read a `sweep.json`.

    Raises:
        DamagedError: It is missing or not the object that a sweep writes.
    """
    try:
        sweep = json.loads(read_bytes(path))
        commands, runs = sweep["commands"], sweep["runs"]
        stages, metric, added = sweep.get("stages", []), sweep.get("metric"), sweep.get("added", {})
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(f"{SWEEP}: expected an object with commands and runs, got {one_line(error)}") from error
    for name, values in (("commands", commands), ("runs", runs)):
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise DamagedError(f"{SWEEP}: {name}: expected a list of texts, got {shortened(values)}")
    if not isinstance(stages, list) or not all(type(value) is int for value in stages):
        raise DamagedError(f"{SWEEP}: stages: expected a list of numbers of seeds, got {shortened(stages)}")
    if not isinstance(metric, str | None):
        raise DamagedError(f"{SWEEP}: metric: expected a text, got {shortened(metric)}")
    if not isinstance(added, dict) or not all(type(value) is int for value in added.values()):
        raise DamagedError(f"{SWEEP}: added: expected a number for each run, got {shortened(added)}")
    return Plan(commands, runs, stages, metric, added)


def read_or_rebuild_plan(folder: Path) -> Plan:
    """Return a sweep's plan; where `sweep.json` is missing or damaged, one that holds the runs that have a folder."""
    try:
        return read_plan(folder / SWEEP)
    except DamagedError:
        runs, _ = find_runs(folder)
        return Plan(runs=[run.relative_to(folder).as_posix() for run in runs])


def added_runs(plan: Plan, names: Iterable[str], done: Collection[str]) -> dict[str, int]:
    """Return the new runs of settings that have results to look at, and how many seeds these are of.

    Args:
        plan: As it was before.
        names: What is asked for now.
        done: Its finished runs.
    """
    finished = Counter(str(Path(name).parent) for name in plan.runs if name in done)
    known = set(plan.runs)
    new = [name for name in names if name not in known and read_run_path(Path(name))]
    return {name: seeds for name in new if (seeds := finished[str(Path(name).parent)]) > 1}


@contextlib.contextmanager
def held_plan(folder: Path) -> Iterator[Plan]:
    """Give a sweep's plan as it is now, and keep other calls of the sweep from changing it meanwhile."""
    with FileLock(folder / _LOCK):
        yield read_or_rebuild_plan(folder)


def write_plan(folder: Path, plan: Plan) -> None:
    """Write a sweep's plan, in one step; only what there is of stages and later additions."""
    content = asdict(plan)
    write_json(folder / SWEEP, {name: content[name] for name in content if name in _ALWAYS or content[name]})


def extend_plan(folder: Path, runs: Iterable[str]) -> None:
    """Add a stage's runs to a sweep's plan; the file's time stays that of the call, from which failures are counted."""
    with held_plan(folder) as plan:
        time = (folder / SWEEP).stat().st_mtime_ns
        write_plan(folder, replace(plan, runs=list(dict.fromkeys([*plan.runs, *runs]))))
        os.utime(folder / SWEEP, ns=(time, time))


def _is_of_a_search(place: str, files: set[str]) -> bool:
    """Tell whether a folder is what a search keeps to itself, also where its `tuning.json` is lost."""
    return TUNING in files or (JOURNAL in files and place.rpartition("/")[2] == SEARCH)


def _entries(place: str) -> tuple[list[str], set[str]]:
    """Return the names of the folders and of the files in a folder; links to folders are neither."""
    folders, files = [], set()
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if not entry.is_dir():
                files.add(entry.name)
            elif not entry.is_symlink():
                folders.append(entry.name)
    return folders, files


def _natural(path: Path) -> tuple[Any, ...]:
    """Sort key that puts seed2 before seed10."""
    stem = path.name.rstrip("0123456789")
    return path.parts[:-1], stem, int(path.name[len(stem) :] or 0)
