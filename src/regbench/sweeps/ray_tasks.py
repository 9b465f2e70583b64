"""Ray's tasks: waited for, stopped, and those that search followed by others where they end. Imports no Ray."""

import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self

from regbench.sweeps.launcher import Search
from regbench.sweeps.signals import RECORDING_SECONDS
from regbench.training.interruption import Terminated

# A worker that is lost so often in a row before it has begun is no accident.
_MOST_EARLY_LOSSES = 3
# Counting reads the results of a search's finalists, and keeps workers from their next run meanwhile.
_COUNTING_SECONDS = 5.0


@dataclass(frozen=True)
class Failure:
    """How a task ended that returned nothing.

    Attributes:
        reason: In one line.
        raised: Whether the task itself raised an error; else its process or node was lost.
    """

    reason: str
    raised: bool


def see_through(
    ray: Any,
    names: Iterable[str],
    submit: Callable[[str], Any],
    is_followed: Callable[[str, Any], bool],
    now_and_then: Callable[[], None] = lambda: None,
) -> None:
    """Submit tasks and wait for all of them; at a stop, until those under way have recorded their runs.

    Args:
        ray: The module.
        names: Of the tasks.
        submit: Submits one.
        is_followed: Called where a task ends, with its name and what it returned or its `Failure`; whether it is
            submitted again.
        now_and_then: Called about once a second.
    """
    tasks: dict[Any, str] = {}
    try:
        tasks |= {submit(name): name for name in names}
        while tasks:
            ended, _ = ray.wait(list(tasks), timeout=1.0)  # now and then Python must run, to see a signal
            now_and_then()
            for each in ended:
                name = tasks.pop(each)
                if is_followed(name, _outcome(ray, each)):
                    tasks[submit(name)] = name
    except (KeyboardInterrupt, Terminated):
        _cancel(ray, list(tasks))
        raise


class Searchers:
    """The workers of a search, by their numbers, as tasks of Ray; as a context, it removes what they leave.

    A worker that has trained many runs, or was lost, is followed by another one while the search goes on.

    Args:
        search: What is searched.
        task: Ray's remote function: it takes the working folder, what makes a worker, and a file that says that it has
            begun, and returns whether nothing was left to take.
    """

    def __init__(self, search: Search, task: Any) -> None:
        self._search = search
        self._task = task
        # A new name each time: of a file that it saw missing, a network's file system may not tell at once.
        self._folder = search.folder / f".ray-{os.getpid()}"
        self._submitted = count()
        self._marks: dict[str, Path] = {}
        self._early: Counter[str] = Counter()
        self._said = ""
        self._next_count = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def submit(self, number: str) -> Any:
        """Submit a worker."""
        mark = self._marks[number] = self._folder / str(next(self._submitted))
        return self._task.options(name=f"worker{number}").remote(str(Path.cwd()), self._search.make, str(mark))

    def is_followed(self, number: str, ended: Any) -> bool:
        """Print how far the search is, and what became of a worker that failed; return whether another one follows.

        Args:
            number: The worker's.
            ended: Whether nothing was left to take, or a `Failure`.
        """
        self._tell()
        if not isinstance(ended, Failure):
            return not ended
        self._early[number] = 0 if self._marks[number].exists() else self._early[number] + 1
        follows, what = False, f"{'failed' if ended.raised else 'was lost'} ({ended.reason})"
        if self._early[number] >= _MOST_EARLY_LOSSES:
            what += f"; {_MOST_EARLY_LOSSES} times in a row before it had begun, so no other one takes its place"
        elif not ended.raised and not self._search.is_done():
            follows, what = True, f"{what}; another one takes its place"
        print(f"{self._search.folder}: worker {number} {what}", file=sys.stderr, flush=True)
        return follows

    def tell_now_and_then(self) -> None:
        """Print how far the search is, where that has changed and was not asked for just before."""
        if time.monotonic() >= self._next_count:
            self._tell()

    def _tell(self) -> None:
        line = ", ".join(f"{number} {what}" for what, number in self._search.counts().items())
        self._next_count = time.monotonic() + _COUNTING_SECONDS
        if line != self._said:
            print(line, flush=True)
        self._said = line


def _outcome(ray: Any, task: Any) -> Any:
    """Return what an ended task returned, or its `Failure`."""
    try:
        return ray.get(task)
    except ray.exceptions.RayError as error:
        raised = isinstance(error, ray.exceptions.RayTaskError)
        lines = str(error).strip().splitlines() or [type(error).__name__]
        # What a task raised ends with the error, after where it was raised.
        return Failure(" ".join(lines[-1 if raised else 0].split()), raised)


def _cancel(ray: Any, tasks: list[Any]) -> None:
    """Stop tasks, and wait until those under way have recorded their runs."""
    for each in tasks:
        ray.cancel(each)
    if tasks:
        ray.wait(tasks, num_returns=len(tasks), timeout=RECORDING_SECONDS)
