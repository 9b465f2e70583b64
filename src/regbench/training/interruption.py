"""SIGTERM as an exception, so that a stopped run is recorded like a failed one. Imports no torch."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

CTRL_C = "stopped by Ctrl-C"


class Terminated(BaseException):
    """SIGTERM reached the process: an interruption like `KeyboardInterrupt`, no error."""

    def __init__(self, message: str = "stopped by SIGTERM") -> None:
        super().__init__(message)


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

    with handling({signal.SIGTERM: stop}):
        yield


@contextlib.contextmanager
def handling(handlers: dict[signal.Signals, Callable[[], None]]) -> Iterator[None]:
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
