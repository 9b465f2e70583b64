"""SIGTERM as an exception, so that a stopped run is recorded like one that failed. Free of torch."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from regbench.run_folder import is_held

CTRL_C = "stopped by Ctrl-C"
RECORDING_SECONDS = 10.0


class Terminated(BaseException):
    """SIGTERM reached the process: an interruption like `KeyboardInterrupt`, no error."""

    def __init__(self) -> None:
        super().__init__("stopped by SIGTERM")


def exit_status(stop: BaseException) -> int:
    """Return the status with which a shell expects a stopped program to end: 128 and the signal's number."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Raise `Terminated` in the main thread at SIGTERM, unless the program around handles it already."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop() -> None:
        raise Terminated

    with _handling({signal.SIGTERM: stop}):
        yield


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

    with _handling({signal.SIGTERM: terminate, signal.SIGINT: interrupt}):
        yield


def end_worker(stop: BaseException) -> None:
    """End a worker whose run was stopped, without a look at the sweep's next run.

    It lingers: joblib kills all workers once the first is gone, and the others may still be recording.
    """
    time.sleep(RECORDING_SECONDS / 2)
    os._exit(exit_status(stop))


@contextlib.contextmanager
def _handling(handlers: dict[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Call a handler at the first signal; later ones do not disturb what it began."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    begun = False

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the system's interface)
        nonlocal begun
        if not begun:
            begun = True
            handlers[signal.Signals(number)]()

    before = {number: signal.signal(number, handle) for number in handlers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
