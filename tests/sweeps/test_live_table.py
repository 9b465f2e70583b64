"""A sweep on a terminal: a live table, whatever stops it, and a comparison at the end."""

import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from regbench.sweeps.watching import announced
from tests.commands import Command
from tests.conftest import ROOT
from tests.faults.processes import wait
from tests.sweeps.pretended import pretend
from tests.terminal import Terminal

GRID = ["-m", "dataset=digits", "dataset.train_size=200", "compile=false", "study=s", "hydra.launcher.n_jobs=1",
        "regularizer=none,dropout", "seed=0,1"]  # fmt: skip
SWEEP = [sys.executable, str(ROOT / "train.py"), *GRID]


def some(pattern: str) -> Callable[[list[str]], bool]:
    """Wait for a line of this form."""
    return lambda lines: any(re.match(pattern, line) for line in lines)


@pytest.mark.slow
def test_a_sweep_shows_a_table_that_a_stop_takes_away(tmp_path: Path) -> None:
    with Terminal([*SWEEP, "trainer.max_epochs=1000"], tmp_path) as terminal:
        lines = terminal.read_until(some(r"none +0/2  seed 0: epoch \d+ of 1000, val \d+\.\d\d%$"))
        assert lines[0] == "outputs/sweeps/s: planning the runs"
        assert lines[1] == "outputs/sweeps/s: 4 runs, 0 of them finished before"
        assert lines[2].split() == ["setting", "done", "under", "way"]
        assert lines[4].split() == ["dropout", "p=0.5", "0/2"]
        assert re.fullmatch(r"0 done, 0 failed, 1 running, 3 left · \S+ \S+ so far · about \d+ .* to go", lines[5])
        os.killpg(terminal.process.pid, signal.SIGINT)
        status, lines = terminal.finish()
    assert status == 130
    assert lines[2:] == [
        "outputs/sweeps/s: 0 done, 0 failed, 4 left",
        "the same command runs what is left; interrupted runs resume after their last whole epoch",
        "",
    ]


@pytest.mark.slow
def test_a_sweep_on_a_terminal_ends_in_a_comparison_in_colour(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend(monkeypatch, lambda config: 0.9 if config["regularizer"] else 0.8 + config["seed"] / 1000)
    assert command("train.py", *GRID, "trainer.max_epochs=1").status == 0
    with Terminal([*SWEEP, "trainer.max_epochs=1"], tmp_path) as terminal:
        status, lines = terminal.finish()
    assert status == 0
    assert lines[1] == "outputs/sweeps/s: 4 runs, 4 of them finished before"
    assert lines[2] == "digits, lenet5, 1 epoch"
    assert lines[3].split()[-1] == "verdict"
    assert [line.split("  ")[0] for line in lines[4:6]] == ["dropout p=0.5", "none"]
    assert lines[6:] == ["", "outputs/sweeps/s: 4 done, 0 failed, 0 left", ""]
    assert all(len(line) <= 80 for line in lines)
    assert re.search(r"\x1b\[32m *better", terminal.text)


@pytest.mark.parametrize(("moment", "printed"), [(0.0, "planning\n"), (1e6, "")])
def test_elsewhere_what_comes_first_is_announced_if_it_takes_its_time(
    moment: float, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("regbench.sweeps.watching._MOMENT_SECONDS", moment)
    with announced("planning"):
        wait(lambda: not any(isinstance(each, threading.Timer) for each in threading.enumerate()) or moment)
    assert capsys.readouterr().out == printed


def test_elsewhere_a_sweep_prints_lines_with_strengths_and_the_same_comparison(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, lambda config: 0.9 if config["regularizer"] else 0.8 + config["seed"] / 1000)
    ended = command("train.py", *GRID, "trainer.max_epochs=150")
    assert ended.status == 0, ended.err
    lines = [line.rstrip() for line in ended.out.splitlines()]
    assert lines[1:5] == [
        "1 done, 0 failed, 3 left | none seed 0: val 50.00%, 1 s",
        "2 done, 0 failed, 2 left | none seed 1: val 50.00%, 1 s",
        "3 done, 0 failed, 1 left | dropout p=0.5 seed 0: val 50.00%, 1 s",
        "4 done, 0 failed, 0 left | dropout p=0.5 seed 1: val 50.00%, 1 s",
    ]
    assert lines[5] == "digits, lenet5, 150 epochs"
    # The mean of 10 and 9.9 points, and t(0.975; 1) = 12.706 times their standard error of 0.05.
    assert re.fullmatch(r"dropout p=0\.5 +2 +90\.00 +\+9\.95 +\+9\.31 to \+10\.59 +0\.003 +better", lines[7])
    assert re.fullmatch(r"none +2 +80\.05 +baseline", lines[8])
    assert lines[9:] == ["", "outputs/sweeps/s: 4 done, 0 failed, 0 left"]
    assert "\x1b" not in ended.out
