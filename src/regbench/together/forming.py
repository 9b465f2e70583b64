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
NAMES = "members_names"


@dataclass(frozen=True)
class Formed:
    """Runs to be trained together.

    Attributes:
        names: Of all members by their rows, those included that are finished.
        runs: Names of the others by their rows.
        stream: Names the stream of noise.
        most_epochs: After how many epochs they may resume at most, so that they go on in step; after any number if
            `None`.
    """

    names: Sequence[str]
    runs: Mapping[int, str]
    stream: str
    most_epochs: int | None = None

    def identity(self) -> dict[str, Any]:
        """Return what members' checkpoints say, so that the group is found again."""
        return {NAMES: list(self.names), STREAM: self.stream}

    def recorded(self, row: int) -> dict[str, Any]:
        """Return what provenance says of a member."""
        return {MEMBERS: len(self.names), MEMBER: row, STREAM: self.stream}


def form_groups(folder: Path, configs: Mapping[str, Mapping[str, Any]], members: int) -> list[Formed]:
    """Return groups of runs; a run that is alone of its kind is in none.

    Args:
        folder: The study's.
        configs: Of the runs that are to be trained, by name, in their order.
        members: How many a group holds at most.
    """
    begun: dict[tuple[tuple[str, ...], str], dict[int, str]] = {}
    epochs: dict[str, list[int]] = {}
    for name, config in configs.items():
        states = recorded_states(folder / name, run_identity(RunSpec(config)))
        epochs[name] = [state["epochs"] for state in states] or [0]
        engine = states[0].get("engine", {}) if states else {}
        names = engine.get(NAMES)
        if isinstance(names, list) and name in names and len(names) <= members:
            begun.setdefault((tuple(names), str(engine.get(STREAM))), {})[names.index(name)] = name
    taken = {name for runs in begun.values() for name in runs.values()}
    # Those whose first checkpoint was not written yet, when the process was killed, belong to the group too.
    for (names, _), runs in begun.items():
        for row, name in enumerate(names):
            if name in configs and name not in taken and epochs[name] == [0]:
                runs[row] = name
                taken.add(name)
    groups = [
        Formed(names, dict(sorted(runs.items())), stream, _in_step([epochs[name] for name in runs.values()]))
        for (names, stream), runs in begun.items()
    ]
    new: dict[tuple[str, int], list[str]] = {}
    for name, config in configs.items():
        if name not in taken:
            new.setdefault((kind_of(config), epochs[name][0]), []).append(name)
    for alike in new.values():
        groups += [Formed(part, dict(enumerate(part)), _stream(part)) for part in _parts(alike, members)]
    return [group for group in groups if len(group.names) > 1]


def _parts(names: Sequence[str], most: int) -> list[Sequence[str]]:
    """Return the names in as few parts as can be, as even as can be."""
    count = math.ceil(len(names) / most)
    bounds = [round(number * len(names) / count) for number in range(count + 1)]
    return [names[begin:end] for begin, end in pairwise(bounds)]


def _in_step(epochs: Sequence[list[int]]) -> int | None:
    """Return the newest epoch after which all members can resume: one may be ahead where the process was killed."""
    newest = min(max(each) for each in epochs)
    reached = all(newest in each or (newest == 0 and max(each) == 1) for each in epochs)
    return newest if reached else None


def _stream(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
