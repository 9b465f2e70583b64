"""A study's folder: the run folders below it, and its plan `sweep.json`, which they replace where it is lost."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regbench.storage.files import read_bytes, write_json
from regbench.storage.results import DamagedError, one_line, shortened
from regbench.storage.schema import CONFIG, RESULTS, SWEEP


@dataclass(frozen=True)
class Plan:
    """What a sweep was asked for, over all its calls.

    Attributes:
        commands: The distinct commands.
        runs: The run folders, relative to the sweep's.
    """

    commands: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)


def find_runs(root: Path) -> tuple[list[Path], list[Path]]:
    """Return the run folders and the `sweep.json` files below a folder, both sorted."""
    runs: list[Path] = []
    sweeps: list[Path] = []
    for name, folders, files in os.walk(root):
        folder = Path(name)
        if RESULTS in files or CONFIG in files:
            runs.append(folder)
            folders.clear()
            continue
        if SWEEP in files:
            sweeps.append(folder / SWEEP)
        folders[:] = [below for below in folders if not below.startswith(".")]
    return sorted(runs, key=_natural), sorted(sweeps)


def read_plan(path: Path) -> Plan:
    """Read a `sweep.json`.

    Raises:
        DamagedError: It is missing or not the object that a sweep writes.
    """
    try:
        sweep = json.loads(read_bytes(path))
        commands, runs = sweep["commands"], sweep["runs"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(f"{SWEEP}: expected an object with commands and runs, got {one_line(error)}") from error
    for name, values in (("commands", commands), ("runs", runs)):
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise DamagedError(f"{SWEEP}: {name}: expected a list of texts, got {shortened(values)}")
    return Plan(commands, runs)


def read_or_rebuild_plan(folder: Path) -> Plan:
    """Return a sweep's plan; where `sweep.json` is missing or damaged, one that holds the runs that have a folder."""
    try:
        return read_plan(folder / SWEEP)
    except DamagedError:
        runs, _ = find_runs(folder)
        return Plan(runs=[run.relative_to(folder).as_posix() for run in runs])


def write_plan(folder: Path, plan: Plan) -> None:
    """Write a sweep's plan, in one step."""
    write_json(folder / SWEEP, {"commands": plan.commands, "runs": plan.runs})


def _natural(path: Path) -> tuple[Any, ...]:
    """Sort key that puts seed2 before seed10."""
    stem = path.name.rstrip("0123456789")
    return (*path.parts[:-1], stem, int(path.name[len(stem) :] or 0))
