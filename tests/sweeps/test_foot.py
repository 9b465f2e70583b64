"""Lines at the foot of a terminal: what is printed meanwhile stands above them, and the terminal is left as it was."""

import sys
from pathlib import Path

import pytest

from tests.terminal import Terminal, screen

PROGRAM = """
import itertools, os, subprocess, sys, time
from regbench.sweeps import foot as module
module._DRAW_SECONDS = 0.05
number = itertools.count(1)
def draw(columns, rows):
    return f"drawn {next(number)} for {columns} × {rows}\\n" + "\\x1b[1m" + "-" * (columns - 1) + "\\x1b[0m"
print("before")
if not module.can_draw():
    sys.exit("no terminal")
with module.foot(draw, lambda line: "dropped" not in line):
    time.sleep(0.15)
    print("a line", flush=True)
    print("a dropped line", flush=True)
    os.write(2, b"from C")
    subprocess.run([sys.executable, "-c", "import sys; print(' and a child'); print('12 %\\\\r34 %', file=sys.stderr)"])
    {then}
    time.sleep(0.3)
    os.write(1, b"without an end")
print("after")
"""


def shown_by(tmp_path: Path, then: str = "", **options: object) -> tuple[Terminal, int, list[str]]:
    with Terminal([sys.executable, "-c", PROGRAM.replace("{then}", then)], tmp_path, **options) as terminal:  # type: ignore[arg-type]
        return terminal, *terminal.finish()


def test_what_is_printed_stands_above_the_drawn_lines_which_go_at_the_end(tmp_path: Path) -> None:
    terminal, status, lines = shown_by(tmp_path)
    assert status == 0, lines
    assert lines == ["before", "a line", "from C and a child", "34 %", "without an end", "after", ""]
    middle = screen(terminal.text[: terminal.text.index("without an end")])
    assert "drawn 1 for 80 × 24\r\n" in terminal.text
    assert middle[:4] == ["before", "a line", "from C and a child", "34 %"]
    # The cursor is never hidden: a killed process would leave it so.
    assert "\x1b[?" not in terminal.text


def test_lines_that_cannot_be_drawn_hide_nothing_that_is_printed(tmp_path: Path) -> None:
    then = "number = None; time.sleep(0.5); print('also a dropped line', flush=True); time.sleep(0.3)"
    terminal, status, lines = shown_by(tmp_path, then)
    assert status == 0, lines
    assert lines[-4:] == ["also a dropped line", "without an end", "after", ""]
    assert "(the table cannot be drawn: 'NoneType' object is not an iterator)" in terminal.text


def test_an_interrupt_takes_the_drawn_lines_away(tmp_path: Path) -> None:
    _, status, lines = shown_by(tmp_path, "raise SystemExit(3)")
    assert (status, lines) == (3, ["before", "a line", "from C and a child", "34 %", ""])


def test_a_terminal_that_is_made_narrower_keeps_no_remains(tmp_path: Path) -> None:
    program = PROGRAM.replace("{then}", "time.sleep(1)")
    with Terminal([sys.executable, "-c", program], tmp_path, columns=100) as terminal:
        terminal.read_until(lambda lines: "34 %" in lines)
        terminal.resize(40, 24)
        terminal.read_until(lambda lines: any("for 40 × 24" in line for line in lines))
        # The two lines were broken into four rows: 99 signs take three of 40.
        assert "\x1b[4A\x1b[J" in terminal.text
        assert terminal.finish()[0] == 0


@pytest.mark.parametrize("name", ["NO_COLOR", "CI", "TERM"])
def test_nothing_is_drawn_where_nobody_wants_it(name: str, tmp_path: Path) -> None:
    value = {"TERM": "dumb"}.get(name, "1")
    _, status, lines = shown_by(tmp_path, environment={name: value})
    assert (status, lines[:2]) == (1, ["before", "no terminal"])
