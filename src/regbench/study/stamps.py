"""Whether a run folder's files are the ones that were read before, told without opening them."""

import os
import struct
import tempfile
from pathlib import Path

from regbench.storage.schema import CONFIG, HISTORY, PREDICTIONS, RESULTS

# How old a file must be before its stamp tells all later changes: file systems count time in steps of up to 2 seconds,
# and a change within one step leaves the stamp as it is.
SETTLED_NS = 2_000_000_000

_FILES = (RESULTS, CONFIG, HISTORY, PREDICTIONS)
_NONE = (0, 0, 0, 0)
_STAMP = struct.Struct(f"<{4 * len(_FILES)}Q")


def stamp_of(folder: str | Path) -> bytes | None:
    """Return the sizes, times of change (mtime and ctime) and inodes of a finished run's files; None where one is gone.

    An edit that keeps size and mtime still moves the ctime, and a copy has inodes of its own. A run may lack
    `predictions.npz`.
    """
    numbers: list[int] = []
    for name in _FILES:
        try:
            status = os.stat(f"{folder}/{name}")  # noqa: PTH116 (paths would take most of the time)
        except FileNotFoundError:
            if name != PREDICTIONS:
                return None
            numbers += _NONE
        except OSError:
            return None
        else:
            numbers += (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return _STAMP.pack(*(number & 0xFFFF_FFFF_FFFF_FFFF for number in numbers))


def is_settled(stamp: bytes, now: int) -> bool:
    """Whether any later change of the files would change their stamp.

    Args:
        stamp: Theirs.
        now: The file system's time before the stamp was taken, see `clock_of`.
    """
    numbers = _STAMP.unpack(stamp)
    return all(max(numbers[at + 1 : at + 3]) < now - SETTLED_NS for at in range(0, len(numbers), 4))


def size_of_predictions(stamp: bytes | None) -> int:
    """Return the size of a run's `predictions.npz` in bytes; 0 without one."""
    return _STAMP.unpack(stamp)[4 * _FILES.index(PREDICTIONS)] if stamp else 0


def clock_of(folder: Path) -> int | None:
    """Return the time in nanoseconds by the clock that stamps a folder's files; None where it cannot be written.

    A file server's clock may not be this machine's.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return None
