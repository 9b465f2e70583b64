"""The run folder's lock: one process works on a run. Others wait for it or leave it alone."""

import contextlib
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from regbench.storage.files import read_bytes, write_text
from regbench.storage.mounts import refuse_mount

# A holder shows that it lives every so many seconds; after three times as many its silence counts as death.
HEARTBEAT = 20.0
SILENCE = 3 * HEARTBEAT

HOLDER = ".holder"  # names the process that works on a run, or died at it

_LOCK = ".lock"
_PROCESS = re.compile(r"process (?P<number>\d+) on (?P<host>.+)")
_DEATHS = "deaths "
_STARTED = "started "  # as Linux counts, by which a process is told from a later one that was given its number
_FIELDS_BEFORE_START = 19  # in /proc/N/stat, after the command's name


class HeldError(Exception):
    """Another process works on the run."""


class LockError(OSError):
    """The folder's lock excludes nobody, or seems so."""


@contextlib.contextmanager
def hold(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the run folder's lock; while another process has it, print a message and wait.

    The operating system frees the lock of a process that died.

    Args:
        folder: The run folder.
        wait: Whether to wait.

    Raises:
        HeldError: Another process has it, and this one does not wait.
        LockError: Locks exclude nobody there, or a process of another machine seems to work on the run although its
            lock is free.
    """
    refuse_mount(folder)
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            raise HeldError(f"{folder}: {_holder(folder)} works on it") from None
        print(f"waiting for {folder}: {_holder(folder)} works on it", file=sys.stderr)
        lock.acquire()
    try:
        _refuse_fresh_stranger(folder)
        described = [f"process {os.getpid()} on {socket.gethostname()}"]
        if deaths := count_deaths(folder):
            described.append(f"{_DEATHS}{deaths}")
        if (started := _start_of(os.getpid())) is not None:
            described.append(f"{_STARTED}{started}")
        write_text(folder / HOLDER, "".join(f"{each}\n" for each in described))
        try:
            with _heartbeat(folder / HOLDER):
                yield
        finally:
            (folder / HOLDER).unlink(missing_ok=True)
    finally:
        lock.release()


def is_held(folder: Path) -> bool:
    """Tell whether a process works on the run, or was killed at it."""
    return (folder / HOLDER).exists()


def is_locked(folder: Path) -> bool:
    """Tell whether a living process works on the run."""
    if not is_held(folder):
        return False
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def shows_life(folder: Path) -> bool:
    """Tell whether a process seems to work on the run, without a touch of its lock, which others may want just now.

    Of this machine's processes that is known; those of others are taken to live for as long as they were just heard of.
    """
    try:
        silent = time.time() - (folder / HOLDER).stat().st_mtime
    except OSError:
        return False
    found = _PROCESS.fullmatch(_holder(folder))
    if found is None or found["host"] != socket.gethostname():
        return silent < SILENCE
    number = int(found["number"])
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    noted, running = _noted(folder, _STARTED), _start_of(number)
    return noted is None or running is None or noted == running


def count_deaths(folder: Path) -> int:
    """Return how many processes in a row were killed while they held a folder, which nobody holds now."""
    if not is_held(folder):
        return 0
    before = _noted(folder, _DEATHS) or "0"
    return 1 + (int(before) if before.isdigit() else 0)


def forget_deaths(folder: Path) -> None:
    """Count deaths from now on; a holder on another machine that was just heard of, and may live, stays the holder."""
    if not is_held(folder):
        return
    lock = FileLock(folder / _LOCK)
    with contextlib.suppress(Timeout), lock.acquire(timeout=0):
        if _silence_elsewhere(folder) is None:
            (folder / HOLDER).unlink(missing_ok=True)
            return
        heard = (folder / HOLDER).stat()
        write_text(folder / HOLDER, "".join(f"{each}\n" for each in _lines(folder) if not each.startswith(_DEATHS)))
        os.utime(folder / HOLDER, ns=(heard.st_atime_ns, heard.st_mtime_ns))


def _refuse_fresh_stranger(folder: Path) -> None:
    """Distrust a free lock beside a holder on another machine that has just been heard of."""
    if (silent := _silence_elsewhere(folder)) is not None:
        raise LockError(
            f"{folder}: its lock is free, but {_holder(folder)} was heard of {silent:.0f} s ago; if that one was "
            f"killed, call again in {SILENCE:.0f} s; if it works, locks exclude no other machine here: use a shared "
            "file system on which they do, or one machine"
        )


def _silence_elsewhere(folder: Path) -> float | None:
    """Return for how many seconds a holder on another machine has been silent; `None` if none is or it counts as dead.

    Asked by who has the lock.
    """
    holder = folder / HOLDER
    if not holder.exists() or _holder(folder).endswith(f" on {socket.gethostname()}"):
        return None
    (folder / _LOCK).touch()  # so both times are the file system's own
    silent = (folder / _LOCK).stat().st_mtime - holder.stat().st_mtime
    return max(silent, 0.0) if silent < SILENCE else None


@contextlib.contextmanager
def _heartbeat(holder: Path) -> Iterator[None]:
    """Touch the holder's file every so often, so that other machines see that it lives."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(HEARTBEAT):
            with contextlib.suppress(OSError):
                os.utime(holder)

    thread = threading.Thread(target=beat, name="regbench-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _holder(folder: Path) -> str:
    return next(iter(_lines(folder)), "another process").strip()


def _noted(folder: Path, word: str) -> str | None:
    """Return what the holder's file has behind a word; those of older versions have less."""
    return next((each.removeprefix(word) for each in _lines(folder) if each.startswith(word)), None)


def _lines(folder: Path) -> list[str]:
    try:
        return read_bytes(folder / HOLDER).decode(errors="replace").splitlines()
    except OSError:
        return []


def _start_of(process: int) -> str | None:
    """Return when a process of this machine started, in clock ticks since the machine did; `None` off Linux."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name of the command may have blanks and brackets
    return fields[_FIELDS_BEFORE_START] if len(fields) > _FIELDS_BEFORE_START else None
