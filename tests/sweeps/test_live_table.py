"""A sweep on a terminal: a live table, whatever stops it, and a comparison at the end."""

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import Command
from tests.conftest import ROOT
from tests.sweeps.pretended import pretend
from tests.terminal import Terminal

QUICK = ["dataset=digits", "dataset.train_size=200", "compile=false", "study=s", "trainer.max_epochs=150"]
GRID = ["-m", *QUICK, "regularizer=none,dropout", "seed=0,1", "hydra.launcher.n_jobs=1"]
SWEEP = [sys.executable, str(ROOT / "train.py"), *GRID]


def some(pattern: str) -> Callable[[list[str]], bool]:
    """Wait for a line of this form."""
    return lambda lines: any(re.match(pattern, line) for line in lines)


@pytest.mark.slow
def test_a_sweep_shows_a_table_that_a_stop_takes_away_and_ends_in_a_comparison(tmp_path: Path) -> None:
    stopped = Terminal(SWEEP, tmp_path)
    lines = stopped.read_until(some(r"none +0/2  seed 0: epoch \d+ of 150, val \d+\.\d\d%$"))
    assert lines[:2] == ["outputs/sweeps/s: planning the runs", "outputs/sweeps/s: 4 runs, 0 of them finished before"]
    assert lines[2].split() == ["setting", "done", "under", "way"]
    assert [line.split("  ")[0] for line in lines[3:5]] == ["none", "dropout p=0.5"]
    os.killpg(stopped.process.pid, signal.SIGINT)
    status, lines = stopped.finish()
    assert status == 130
    assert lines[2:] == [
        "outputs/sweeps/s: 0 done, 0 failed, 4 left",
        "the same command runs what is left; interrupted runs resume after their last whole epoch",
        "",
    ]

    whole = Terminal(SWEEP, tmp_path)
    lines = whole.read_until(some(r"\d done, 0 failed, 1 running, \d left · \d+ s so far · about \d+ s to go$"))
    assert some(r"outputs/sweeps/s/digits-lenet5/none-\w+/seed0: resumes after epoch \d+$")(lines)
    status, lines = whole.finish()
    assert status == 0
    assert not some("setting +done")(lines)
    *_, title, head, first, second, end, last, _ = lines
    assert title == "digits, lenet5, 150 epochs"
    assert head.split()[-1] == "verdict"
    assert {first.split()[0], second.split()[0]} == {"none", "dropout"}
    assert (end, last) == ("", "outputs/sweeps/s: 4 done, 0 failed, 0 left")
    assert all(len(line) <= 80 for line in [head, first, second])


def test_elsewhere_a_sweep_prints_lines_with_strengths_and_the_same_comparison(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, lambda config: 0.9 if config["regularizer"] else 0.8 + config["seed"] / 1000)
    ended = command("train.py", *GRID)
    assert ended.status == 0, ended.err
    lines = [line.rstrip() for line in ended.out.splitlines() if "planning" not in line]
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
