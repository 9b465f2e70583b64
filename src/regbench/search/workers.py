"""The workers of a search: started, started again where one dies, stopped with their parent. Imports no torch."""

import contextlib
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import joblib

from regbench.search.plan import Plan
from regbench.search.schedule import Schedule
from regbench.storage.schema import SEARCH
from regbench.sweeps.signals import stopping_workers

MORE = 75  # a worker's exit status: it ends although there may be more to do

# A job that has killed so many workers of one call is left to the next.
_MOST_DEATHS = 2
_HOLDER = ".holder"


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
    workers: dict[BaseProcess, Path] = {}
    count = joblib.effective_n_jobs(plan.jobs)
    with _one_thread_each(), stopping_workers(lambda: _held(plan.folder)):
        for number in range(count):
            _start(plan, names / f"worker{number}-{os.getpid()}", workers)
        while workers:
            wait([each.sentinel for each in workers])
            for worker in [each for each in workers if not each.is_alive()]:
                name_file = workers.pop(worker)
                worker.join()
                if worker.exitcode not in {0, MORE}:
                    _note_death(name_file, deaths, schedule)
                if worker.exitcode == MORE or (worker.exitcode != 0 and not schedule.is_done()):
                    _start(plan, name_file, workers)


def _start(plan: Plan, name_file: Path, workers: dict[BaseProcess, Path]) -> None:
    name_file.unlink(missing_ok=True)
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(plan, name_file))
    process.start()
    workers[process] = name_file


def _work(plan: Plan, name_file: Path) -> None:
    from regbench.search.worker import work  # torch, in workers alone

    work(plan, name_file)


def _note_death(name_file: Path, deaths: Counter[str], schedule: Schedule) -> None:
    name = name_file.read_text(encoding="utf-8") if name_file.exists() else ""
    deaths[name] += 1
    if deaths[name] < _MOST_DEATHS:
        print("a worker was killed: another one takes up its run", file=sys.stderr, flush=True)
        return
    if not name:
        raise RuntimeError("search: workers end before they have begun; see their messages above")
    schedule.leave(name)
    print(f"{name}: its worker was killed {deaths[name]} times; left for the next call", file=sys.stderr, flush=True)


def _held(folder: Path) -> list[Path]:
    return [each.parent for each in folder.rglob(_HOLDER)]


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let libraries that count cores when they are loaded keep to one, as a sweep's workers do."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: "1" for name, value in before.items() if value is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
