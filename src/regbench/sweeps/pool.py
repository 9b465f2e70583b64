"""Worker processes on one machine: started, and started again where one dies. Imports no torch."""

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

MORE = 75  # a worker's exit status: it ends to make room for a new one, although there may be more to do

# Each run leaves some megabytes behind, so a worker makes room for a new one after so many.
MOST_RUNS = 60

_BY_SIGNAL = 128  # exit statuses above are those of workers that recorded why they were told to stop

Target = Callable[..., None]


def run_pool(
    target: Target,
    arguments: Sequence[tuple[Any, ...]],
    on_death: Callable[[int, bool], bool],
    environments: Sequence[dict[str, str]] = (),
) -> None:
    """Run one process for each tuple of arguments until all have ended.

    Args:
        target: What each runs; a function of a module. A process whose exit status is `MORE` is followed by a new one.
        arguments: Of each.
        on_death: Called with a process's number when it ended badly, and whether it was killed or else ended with an
            error; whether another one takes its place.
        environments: Variables for each, beside this process's own and one thread for libraries that count cores.
    """
    workers: dict[BaseProcess, int] = {}

    def start(number: int) -> None:
        process = multiprocessing.get_context("spawn").Process(target=target, args=arguments[number])
        with _variables({**_one_thread(), **(environments[number] if environments else {})}):
            process.start()
        workers[process] = number

    try:
        for number in range(len(arguments)):
            start(number)
        while workers:
            wait([each.sentinel for each in workers])
            for worker in [each for each in workers if not each.is_alive()]:
                number = workers.pop(worker)
                worker.join()
                status = worker.exitcode or 0
                was_killed = status < 0 or status > _BY_SIGNAL
                if status == MORE or (status != 0 and on_death(number, was_killed)):
                    start(number)
    except Exception:
        for worker in workers:
            worker.terminate()
        raise


def tell_of_death(*, killed: bool) -> None:
    """Say that a worker was killed, or that it ended with an error."""
    what = "was killed" if killed else "ended with an error"
    print(f"a worker {what}: another one takes up its run", file=sys.stderr, flush=True)


def _one_thread() -> dict[str, str]:
    """Return what lets libraries that count cores when they are loaded keep to one, where the user has not said."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {name: "1" for name in names if name not in os.environ}


@contextlib.contextmanager
def _variables(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
