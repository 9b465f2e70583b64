"""Stops in a sweep: the parent stops its workers, or they notice that it is gone; each records its run first.

Imports no torch.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from regbench.storage.lock import is_held
from regbench.training.interruption import CTRL_C, Terminated, exit_status, handling

RECORDING_SECONDS = 10.0
_WATCHER = "regbench-parent-watcher"


@contextlib.contextmanager
def stopping_workers(runs: Callable[[], list[Path]]) -> Iterator[None]:
    """Let a sweep's parent stop its workers at SIGTERM and Ctrl-C, and wait until they recorded their runs.

    Args:
        runs: Gives the sweep's run folders.
    """

    def stop_workers() -> None:
        workers = multiprocessing.active_children()
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid or 0, signal.SIGTERM)
        deadline = time.monotonic() + RECORDING_SECONDS
        while workers and time.monotonic() < deadline and any(map(is_held, runs())):
            time.sleep(0.05)

    def terminate() -> None:
        stop_workers()
        raise Terminated

    def interrupt() -> None:
        stop_workers()
        raise KeyboardInterrupt(CTRL_C)

    with handling({signal.SIGTERM: terminate, signal.SIGINT: interrupt}):
        yield


def watch_parent(parent: int | None = None) -> None:
    """End this process soon after its parent is gone, killed without a chance to stop it; a second call does nothing.

    A run under way is recorded as interrupted first.

    Args:
        parent: The parent's number; a worker knows it, and a process that is none watches nothing unless it is given.
    """
    if parent is None and (starter := multiprocessing.parent_process()) is not None:
        parent = starter.pid
    if parent is None or any(each.name == _WATCHER for each in threading.enumerate()):
        return
    threading.Thread(target=_end_without, args=(parent,), name=_WATCHER, daemon=True).start()


def _end_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)  # ends it at once between runs, and as `Terminated` within one
    time.sleep(RECORDING_SECONDS)
    os._exit(128 + signal.SIGTERM)


def end_worker(stop: BaseException) -> None:
    """End a worker whose run was stopped, without a look at the sweep's next run.

    It lingers: joblib kills all workers once the first is gone, and the others may still be recording.
    """
    time.sleep(RECORDING_SECONDS / 2)
    os._exit(exit_status(stop))
