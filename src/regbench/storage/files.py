"""Files: written atomically, so that a reader sees the old content or the new; read only where they are files."""

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

TEMPORARY = ".tmp"
MOST_BYTES = 1 << 26


def read_bytes(path: Path, most: int | None = MOST_BYTES) -> bytes:
    """Return a file's content; a pipe or a device, which might never end, is not opened.

    Args:
        path: The file, or a link to it.
        most: How large it may be in bytes; `None` for any size.

    Raises:
        FileNotFoundError: There is none.
        OSError: It is no regular file, is larger, or cannot be read.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError("expected a regular file")
    if most is not None and status.st_size > most:
        raise OSError(f"expected at most {most:,} bytes, received {status.st_size:,}")
    return path.read_bytes()


def replace_file(target: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `target`, then put it in place in one step.

    A reader sees the old file or the new one, never a part; a failed write leaves the old one.

    Raises:
        OSError: The disk is full or the folder cannot be written; the message names the file.
    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=TEMPORARY)
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


def write_text(target: Path, text: str) -> None:
    """Replace the file by `text`, atomically."""
    replace_file(target, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(target: Path, value: object) -> None:
    """Replace the file by `value` as JSON, atomically. NaN and infinity are refused: JSON has none."""
    write_text(target, json.dumps(value, indent=2, allow_nan=False) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
