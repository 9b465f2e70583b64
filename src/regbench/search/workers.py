"""The workers of a search: started, started again where one dies, stopped with their parent. Imports no torch."""

import contextlib
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import joblib

from regbench.search.plan import Plan
from regbench.search.schedule import Schedule
from regbench.search.states import TunedReader
from regbench.storage.lock import HOLDER
from regbench.storage.schema import FAILED, SEARCH, SWEEP
from regbench.storage.tuning import read_tuning
from regbench.sweeps.foot import can_draw, foot
from regbench.sweeps.pool import run_pool, tell_of_death
from regbench.sweeps.signals import stopping_workers
from regbench.sweeps.watching import draw_states

# A job that has killed so many workers of one call is left to the next.
_MOST_DEATHS = 2
# What workers print of each score; the table counts them.
_SCORE = re.compile(r".+: val (loss )?[\d.]+%?(, pruned|, diverged)?")


def run_workers(plan: Plan, schedule: Schedule) -> None:
    """Let workers train until nothing is left that this call can do.

    Args:
        plan: What was asked for.
        schedule: The parent's own view of it.

    Raises:
        KeyboardInterrupt: The user pressed Ctrl-C; the workers have recorded their runs.
        regbench.training.interruption.Terminated: Likewise by SIGTERM.
    """
    names = plan.folder / SEARCH / ".claims"
    deaths: Counter[str] = Counter()
    files = [names / f"worker{number}-{os.getpid()}" for number in range(joblib.effective_n_jobs(plan.jobs))]

    def on_death(number: int) -> bool:
        _note_death(files[number], deaths, schedule)
        return not schedule.is_done()

    for each in files:
        each.unlink(missing_ok=True)
    with stopping_workers(lambda: _held(plan.folder)), _watched(plan.folder):
        run_pool(_work, [(plan, each) for each in files], on_death)


@contextlib.contextmanager
def _watched(study: Path) -> Iterator[None]:
    """Show how far the search is, where somebody looks at a terminal."""
    tuning = read_tuning(study) if can_draw() else None
    if tuning is None:
        yield
        return
    reader = TunedReader(study, tuning, (study / SWEEP).stat().st_mtime, retried={FAILED})
    draw = draw_states(reader.read, time.monotonic())
    with foot(draw, keep=lambda line: _SCORE.fullmatch(line) is None):
        yield


def _work(plan: Plan, name_file: Path) -> None:
    from regbench.search.worker import work  # torch, in workers alone

    work(plan, name_file)


def _note_death(name_file: Path, deaths: Counter[str], schedule: Schedule) -> None:
    name = name_file.read_text(encoding="utf-8") if name_file.exists() else ""
    name_file.unlink(missing_ok=True)
    deaths[name] += 1
    if deaths[name] < _MOST_DEATHS:
        tell_of_death()
        return
    if not name:
        raise RuntimeError("search: workers end before they have begun; see their messages above")
    schedule.leave(name)
    print(f"{name}: its worker was killed {deaths[name]} times; left for the next call", file=sys.stderr, flush=True)


def _held(folder: Path) -> list[Path]:
    return [each.parent for each in folder.rglob(HOLDER)]
