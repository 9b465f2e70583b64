"""Which runs become a group: those of one kind that are new, or those that were trained together before."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from regbench.runs.resuming import recorded_states, run_identity
from regbench.runs.spec import RunSpec
from regbench.together.kinds import kind_of

MEMBERS, MEMBER, STREAM = "members", "member", "members_stream"


@dataclass(frozen=True)
class Formed:
    """Runs to be trained together.

    Attributes:
        rows: How many members there are, those included that are finished.
        runs: Names of the others by their rows.
        stream: Names the stream of noise.
        most_epochs: After how many epochs they may resume at most, so that they go on in step; after any number if
            `None`.
    """

    rows: int
    runs: Mapping[int, str]
    stream: str
    most_epochs: int | None = None


def form_groups(folder: Path, configs: Mapping[str, Mapping[str, Any]], members: int) -> list[Formed]:
    """Return groups of runs; a run that is alone of its kind is in none.

    Args:
        folder: The study's.
        configs: Of the runs that are to be trained, by name, in their order.
        members: How many a group holds at most.
    """
    begun: dict[tuple[int, str], dict[int, str]] = {}
    epochs: dict[str, list[int]] = {}
    new: dict[str, list[str]] = {}
    for name, config in configs.items():
        states = recorded_states(folder / name, run_identity(RunSpec(config)))
        epochs[name] = [state["epochs"] for state in states] or [0]
        engine = states[0].get("engine", {}) if states else {}
        rows, row, stream = engine.get(MEMBERS), engine.get(MEMBER), engine.get(STREAM)
        if isinstance(rows, int) and rows <= members and isinstance(row, int) and isinstance(stream, str):
            begun.setdefault((rows, stream), {})[row] = name
        else:
            new.setdefault(kind_of(config), []).append(name)
    groups = [
        Formed(rows, runs, stream, _in_step([epochs[name] for name in runs.values()]))
        for (rows, stream), runs in begun.items()
    ]
    for names in new.values():
        groups += [Formed(len(part), dict(enumerate(part)), _stream(part)) for part in _parts(names, members)]
    return [group for group in groups if group.rows > 1]


def _parts(names: Sequence[str], most: int) -> list[Sequence[str]]:
    """Return the names in as few parts as can be, as even as can be."""
    count = math.ceil(len(names) / most)
    bounds = [round(number * len(names) / count) for number in range(count + 1)]
    return [names[begin:end] for begin, end in pairwise(bounds)]


def _in_step(epochs: Sequence[list[int]]) -> int | None:
    """Return the newest epoch after which all members can resume: one may be ahead where the process was killed."""
    newest = min(max(each) for each in epochs)
    return newest if all(newest in each or newest == 0 for each in epochs) else None


def _stream(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
