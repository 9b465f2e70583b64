"""How far a sweep is, counted without reading every finished run again."""

import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from regbench.storage.results import read_status
from regbench.storage.schema import DIVERGED, FAILED, FINISHED, RESULTS, SWEEP
from regbench.storage.study_folder import read_or_rebuild_plan
from regbench.sweeps.states import RunNames

# Looking at the runs that are left takes at most this share of the time.
_SHARE = 0.05


def progress_of(folder: Path) -> "Progress":
    """Return this process's count of a sweep, begun when the plan was last written."""
    status = (folder / SWEEP).stat() if (folder / SWEEP).exists() else None
    return _progress(folder.absolute(), (status.st_size, status.st_mtime_ns) if status else None)


@cache
def _progress(folder: Path, stamp: tuple[int, int] | None) -> "Progress":  # noqa: ARG001 (a plan written anew is counted anew)
    return Progress(folder)


class Progress:
    """Counts a sweep's runs: `done`, `failed` (since the last call) and `left`.

    A run that has ended is not looked at again, and the others only so often that it costs little.

    Args:
        folder: The study's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        plan = folder / SWEEP
        self._called = plan.stat().st_mtime_ns if plan.exists() else 0
        self._ended: dict[str, bool] = {}
        self._left = dict.fromkeys(read_or_rebuild_plan(folder).runs)
        self._names = RunNames(folder, self._left)
        self._next_look = 0.0

    def has_ended(self, run: str) -> bool:
        """Tell whether a run is finished, or failed since the last call; looks at it unless that is known."""
        if run not in self._ended:
            status = read_status(self.folder / run)
            if status == FINISHED or (status in {FAILED, DIVERGED} and self._is_new(run)):
                self._note(run, status == FINISHED)
        return run in self._ended

    def name_of(self, run: str) -> str:
        """Return what a run is called, `dropout p=0.3 seed 1`."""
        return self._names.of(run)

    def counts(self) -> dict[str, int]:
        """Return the three numbers."""
        if (began := time.monotonic()) >= self._next_look:
            self._look(list(self._left))
            ended = time.monotonic()
            self._next_look = ended + (ended - began) / _SHARE if ended - began > 0.1 else 0.0
        done = sum(self._ended.values())
        return {"done": done, "failed": len(self._ended) - done, "left": len(self._left)}

    def _look(self, runs: Iterable[str]) -> None:
        for run in runs:
            self.has_ended(run)

    def _note(self, run: str, finished: bool) -> None:
        self._ended[run] = finished
        self._left.pop(run, None)

    def _is_new(self, run: str) -> bool:
        try:
            return (self.folder / run / RESULTS).stat().st_mtime_ns >= self._called
        except FileNotFoundError:  # another worker takes the run up
            return False
