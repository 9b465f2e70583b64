"""Lines at the foot of the terminal that are drawn again and again, with all that is printed meanwhile above them.

What this process and those that it starts print is taken from their file descriptors, so that neither a worker's
warning nor a library's own output is written into the lines. It is kept in memory, where writing to it never fails and
never waits, also once this process is gone. The cursor is neither hidden nor moved away from the lines' end: whatever
ends the process, the terminal is as it was.
"""

import contextlib
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from rich.cells import cell_len

_STANDARD: Final = (1, 2)
_LOOK_SECONDS = 0.1
_DRAW_SECONDS = 1.0
# Drawing takes at most this share of the time.
_SHARE = 0.02
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")

Draw = Callable[[int, int], str]


def can_draw() -> bool:
    """Tell whether somebody looks at a terminal that lines can be drawn on, and wants that."""
    if os.environ.get("TERM", "dumb") == "dumb" or os.environ.get("NO_COLOR") or os.environ.get("CI"):
        return False
    if sys.stdout is None or sys.stderr is None:  # closed by whoever called
        return False
    return sys.stdout.isatty() and os.isatty(_STANDARD[0])


@contextlib.contextmanager
def foot(draw: Draw, keep: Callable[[str], bool]) -> Iterator[None]:
    """Draw lines at the foot of the terminal while the block runs; they are gone afterwards.

    Args:
        draw: Gives the lines for a terminal of so many columns and rows.
        keep: Whether a line that was printed meanwhile is shown above them.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    printed = _memory()
    before = {number: os.dup(number) for number in _STANDARD if os.isatty(number)}
    drawing = _Drawing(os.dup(_STANDARD[0]), printed, draw, keep)
    for number in before:
        os.dup2(printed, number)
    drawing.start()
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, there in before.items():
            os.dup2(there, number)
            os.close(there)
        drawing.end()
        os.close(printed)


class _Drawing(threading.Thread):
    """Draws until it is ended.

    Args:
        terminal: The terminal's file descriptor; closed at the end.
        printed: The file descriptor of what is printed meanwhile.
        draw: As `foot` takes it.
        keep: Likewise.
    """

    def __init__(self, terminal: int, printed: int, draw: Draw, keep: Callable[[str], bool]) -> None:
        super().__init__(name="regbench-foot", daemon=True)
        self._terminal = terminal
        self._printed = printed
        self._draw = draw
        self._keep = keep
        self._place = 0
        self._begun = b""
        self._drawn: list[str] = []
        self._ended = threading.Event()

    def run(self) -> None:
        """Draw, and show what was printed."""
        next_drawing = 0.0
        while not self._ended.is_set():
            lines, now = self._new_lines(), time.monotonic()
            if now >= next_drawing:
                columns, rows = self._size()
                self._write(lines, self._lines(columns, rows)[: rows - 1])
                ended = time.monotonic()
                next_drawing = ended + max(_DRAW_SECONDS, (ended - now) / _SHARE)
            elif lines:
                self._write(lines, self._drawn)
            self._ended.wait(_LOOK_SECONDS)

    def end(self) -> None:
        """Show what was printed last, and take the lines away."""
        self._ended.set()
        self.join()
        lines = self._new_lines()
        if self._begun:
            lines.append(_shown(self._begun))
        self._write(lines, [])
        os.close(self._terminal)

    def _lines(self, columns: int, rows: int) -> list[str]:
        """Return the lines to draw; those that cannot be drawn cost no more than themselves."""
        try:
            return self._draw(columns, rows).splitlines()
        except Exception as error:  # the thread shows what others print, whatever happens to its own lines
            self._keep = bool
            return [f"(the table cannot be drawn: {' '.join(str(error).split()) or type(error).__name__})"]

    def _new_lines(self) -> list[str]:
        """Return the whole lines that were printed since the last look and are to be shown."""
        while part := os.pread(self._printed, 1 << 16, self._place):
            self._place += len(part)
            self._begun += part
        *whole, self._begun = self._begun.split(b"\n")
        return [line for line in map(_shown, whole) if self._keep(line)]

    def _write(self, above: list[str], lines: list[str]) -> None:
        """Replace what is drawn, in one go, so that nothing flickers."""
        columns, _ = self._size()
        # A terminal that was made narrower has broken the lines that no longer fit.
        rows = sum(max(1, -(-cell_len(_ESCAPES.sub("", line)) // columns)) for line in self._drawn)
        back = f"\r\x1b[{rows}A\x1b[J" if rows else "\r\x1b[J"
        text = back + "".join(f"{line}\n" for line in [*above, *lines])
        self._drawn = lines
        with contextlib.suppress(OSError):  # nobody looks any more
            _write_all(self._terminal, text.encode(errors="replace"))

    def _size(self) -> tuple[int, int]:
        try:
            size = os.get_terminal_size(self._terminal)
        except OSError:
            return 80, 24
        return size.columns or 80, size.lines or 24


def _memory() -> int:
    """Return the file descriptor of a file in memory, or where there are none, of one without a name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("regbench-printed")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _shown(line: bytes) -> str:
    """Return a line as it looks once it is whole: progress bars begin theirs again and again."""
    return line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]


def _write_all(terminal: int, data: bytes) -> None:
    while data:
        data = data[os.write(terminal, data) :]
