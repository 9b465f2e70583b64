"""The run folder's lock: one process works on a run, others wait for it."""

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from regbench.storage.files import read_bytes, write_text

_LOCK, _HOLDER = ".lock", ".holder"


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the run folder's lock; while another process has it, print a message and wait.

    The operating system frees the lock of a process that died.
    """
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for {folder}: {_holder(folder)} works on it", file=sys.stderr)
        lock.acquire()
    try:
        write_text(folder / _HOLDER, f"process {os.getpid()} on {socket.gethostname()}\n")
        yield
    finally:
        (folder / _HOLDER).unlink(missing_ok=True)
        lock.release()


def is_held(folder: Path) -> bool:
    """Tell whether a process works on the run, or was killed at it."""
    return (folder / _HOLDER).exists()


def _holder(folder: Path) -> str:
    try:
        return read_bytes(folder / _HOLDER).decode(errors="replace").strip()
    except OSError:
        return "another process"
