"""A sweep whose launcher and worker are killed: real processes, real signals. It is called again in this process."""

import contextlib
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from regbench.study import load
from regbench.study.report import write_report
from tests.commands import ROOT, Command

GRID = ["-m", "study=s", "dataset=digits", "dataset.train_size=600", "trainer.max_epochs=3", "threads=1"]
GRID += ["regularizer=none,batchnorm", "seed=range(4)"]
WORKERS = [sys.executable, str(ROOT / "train.py"), *GRID, "hydra.launcher.n_jobs=2"]
ALONE = ["train.py", *GRID, "hydra/launcher=basic"]
TIMES = {"seconds/train", "seconds/evaluate", "seconds/total", "images_per_second", "seconds", "time, s"}


def finished(folder: Path) -> dict[str, int]:
    """Return when each finished run of the sweep was written, by its folder."""
    found = {}
    for path in folder.glob("outputs/sweeps/s/*/*/seed*/results.json"):
        if json.loads(path.read_text())["status"] == "finished":
            found[str(path.parent.relative_to(folder))] = path.stat().st_mtime_ns
    return found


def workers(launcher: int) -> list[int]:
    """Return the launcher's worker processes that are at work on a run."""
    held = [path.read_text() for path in Path.cwd().glob("outputs/sweeps/s/*/*/seed*/.holder")]
    return [int(number) for text in held for number in re.findall(r"process (\d+)", text) if int(number) != launcher]


def end_session(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def rows_without_times(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [
            {key: value for key, value in row.items() if key not in TIMES and "seconds" not in key}
            for row in csv.DictReader(file)
        ]


@pytest.mark.slow
def test_a_killed_sweep_called_again_runs_what_is_missing_and_reports_as_if_never_broken(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, unrendered: None
) -> None:
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    broken.mkdir()
    whole.mkdir()
    monkeypatch.chdir(broken)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # A session of its own, so that the worker that outlives its launcher can be ended with the test.
    with subprocess.Popen(WORKERS, cwd=broken, start_new_session=True, **quiet) as launcher:
        request.addfinalizer(lambda: end_session(launcher.pid))
        deadline = time.monotonic() + 120
        while len(finished(broken)) < 2 or not workers(launcher.pid):
            assert time.monotonic() < deadline, "the sweep got nowhere"
            assert launcher.poll() is None, "the sweep ended before it could be killed"
            time.sleep(0.02)
        launcher.send_signal(signal.SIGKILL)
        os.kill(workers(launcher.pid)[0], signal.SIGKILL)
    before = finished(broken)
    assert 2 <= len(before) < 8

    again = command(*ALONE)
    assert again.status == 0, again.err
    assert "8 done, 0 failed, 0 left" in again.out
    after = finished(broken)
    assert len(after) == 8
    assert {name: after[name] for name in before} == before

    monkeypatch.chdir(whole)
    assert command(*ALONE).status == 0
    for folder in (broken, whole):
        write_report(load(folder / "outputs/sweeps/s"), folder / "report", "none", 0.003, "regbench report")
    for name in ("results.csv", "history.csv", "comparison.csv"):
        assert rows_without_times(broken / "report" / name) == rows_without_times(whole / "report" / name), name
    pictures = sorted(path.name for path in (whole / "report/figures").iterdir())
    assert pictures
    assert sorted(path.name for path in (broken / "report/figures").iterdir()) == pictures
