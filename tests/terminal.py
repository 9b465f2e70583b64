"""A terminal for tests: a process runs in it, and what it would show is kept."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_CODES = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b\[[?0-9;]*[A-Za-z]")


class Terminal:
    """Runs a command in a terminal.

    Args:
        command: In words.
        cwd: Where it starts.
        columns: Of the terminal; likewise `rows`.
        environment: Variables beside this process's own.
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        columns: int = 80,
        rows: int = 24,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._master, slave = pty.openpty()
        self.resize(columns, rows)
        kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "CI"}}
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**kept, "TERM": "xterm-256color", **(environment or {})},
            start_new_session=True,
        )
        os.close(slave)
        self.text = ""
        self.started = time.monotonic()

    def __enter__(self) -> "Terminal":
        """Leave nothing running, whatever a test finds."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what has not ended."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._master)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        self.columns = columns
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, shown: Callable[[list[str]], bool], seconds: float = 240) -> list[str]:
        """Read until the lines that are shown are as wanted, or the command has ended; return them."""
        os.set_blocking(self._master, False)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            with contextlib.suppress(BlockingIOError, OSError):
                while part := os.read(self._master, 1 << 16):
                    self.text += part.decode(errors="replace")
            lines = screen(self.text)
            if shown(lines) or ended:
                return lines
            time.sleep(0.02)
        raise TimeoutError(f"waited {seconds} s in vain for what is shown: {screen(self.text)}")

    def finish(self, seconds: float = 240) -> tuple[int, list[str]]:
        """Read to the end; return the exit status and the lines that are shown."""
        lines = self.read_until(lambda _: False, seconds)
        return self.process.wait(), lines


def screen(text: str) -> list[str]:
    """Return the lines that a terminal shows, of any height, after it was sent this text; colours are left out.

    It knows what RegBench sends: new lines, carriage returns, the cursor up, and what erases to the screen's end.
    """
    lines, row, column = [""], 0, 0
    place = 0
    while place < len(text):
        if found := _CODES.match(text, place):
            place = found.end()
            if found[2] == "A":
                row = max(0, row - int(found[1] or 1))
            elif found[2] == "J":
                lines[row:] = [lines[row][:column]]
            elif found[2] != "m" and not found[0].endswith("m"):
                raise ValueError(f"not known to this terminal: {found[0]!r}")
            continue
        sign, place = text[place], place + 1
        if sign == "\n":
            row += 1  # the terminal sends a carriage return before it
            lines += [""] * (row + 1 - len(lines))
        elif sign == "\r":
            column = 0
        else:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + sign + line[column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]
