"""What a run leaves behind: file names, atomic writing, the lock, the statuses. Free of torch, so quick to import."""

import contextlib
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

CONFIG = "config.yaml"
RESULTS = "results.json"
HISTORY = "history.csv"
PREDICTIONS = "predictions.npz"
ERROR = "error.txt"
CHECKPOINTS = "checkpoints"
WEIGHTS = f"{CHECKPOINTS}/weights.pt"
TENSORBOARD = "tensorboard"
SWEEP = "sweep.json"

FINISHED, FAILED, INTERRUPTED, DIVERGED = "finished", "failed", "interrupted", "diverged"

_LOCK, _HOLDER, _TEMPORARY = ".lock", ".holder", ".tmp"


def replace_file(target: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `target`, then put it in place in one step.

    A reader sees the old file or the new one, never a part; a failed write leaves the old one.

    Raises:
        OSError: The disk is full or the folder cannot be written; the message names the file.
    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=_TEMPORARY)
        temporary = Path(name)
        os.close(handle)
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):  # the error that counts is the first
                temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.strerror:
            raise OSError(f"{target}: cannot be written ({error.strerror})") from error
        raise


def clear_outcome(folder: Path) -> None:
    """Remove how an earlier call ended, and the temporary files that a killed process left."""
    for name in (RESULTS, ERROR, PREDICTIONS):
        (folder / name).unlink(missing_ok=True)
    for place in (folder, folder / CHECKPOINTS):
        for path in place.glob(f".*{_TEMPORARY}"):
            path.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Replace the file by `text`, atomically."""
    replace_file(target, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(target: Path, value: object) -> None:
    """Replace the file by `value` as JSON, atomically. NaN and infinity are refused: JSON has none."""
    write_text(target, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_results(folder: Path) -> dict[str, Any] | None:
    """Return the parsed `results.json` of a run folder, or `None` where it is missing or unreadable."""
    try:
        results = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return results if isinstance(results, dict) else None


def is_finished(folder: Path) -> bool:
    """Tell whether the folder holds a whole run."""
    results = read_results(folder)
    return results is not None and results.get("status") == FINISHED


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the run folder's lock; while another process has it, say so and wait.

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
        return (folder / _HOLDER).read_text(encoding="utf-8").strip()
    except OSError:
        return "another process"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
