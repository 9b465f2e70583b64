"""`regbench.sweep`: the sweep of the command line from Python, which leaves the calling process as it was."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import regbench
from regbench.storage.lock import is_locked
from tests.commands import Command
from tests.faults.processes import wait

QUICK = ["dataset=digits", "trainer.max_epochs=1", "dataset.train_size=200", "study=s"]
# A worker takes seconds to start, so one must do where their number makes no difference.
LONE = [*QUICK, "hydra.launcher.n_jobs=1"]
# Long enough to be stopped within a run.
LONG = ["dataset=digits", "trainer.max_epochs=500", "study=s", "hydra.launcher.n_jobs=1"]


def plan(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "outputs/sweeps/s/sweep.json").read_text())
    return content


@pytest.mark.slow
def test_a_sweep_from_python_is_that_of_the_command_line(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    before = (dict(os.environ), list(sys.argv), signal.getsignal(signal.SIGINT), threading.active_count())
    study = regbench.sweep(*QUICK, "regularizer=none,dropout", seed=range(2))
    assert (dict(os.environ), list(sys.argv), signal.getsignal(signal.SIGINT), threading.active_count()) == before
    told = [line for line in capfd.readouterr().out.splitlines() if not line.endswith("planning the runs")]
    assert told[0] == "outputs/sweeps/s: 4 runs, 0 of them finished before"
    assert told[-1] == "outputs/sweeps/s: 4 done, 0 failed, 0 left"
    assert len(study.runs) == 4
    assert plan(here)["commands"] == [
        f"regbench train -m {' '.join(QUICK)} regularizer=none,dropout 'seed=range(0,2,1)'"
    ]

    monkeypatch.chdir(there)
    ended = command("train.py", "-m", *QUICK, "hydra/launcher=basic", "regularizer=none,dropout", "seed=range(2)")
    assert ended.status == 0, ended.err
    assert plan(there)["runs"] == plan(here)["runs"]
    scores = regbench.load_study(there / "outputs/sweeps/s").runs["test/acc"]
    assert list(study.runs["test/acc"]) == list(scores)


@pytest.mark.slow
def test_what_is_wrong_is_raised_in_one_line_and_a_failed_run_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for wrong, message in (
        ("regularizer=none,dropuot", r"regularizer: expected one of .*; received 'dropuot'"),
        ("study=t", "study=t: expected study once, received study=s before it"),
        ("hydra/sweeper=basic", "hydra/sweeper=basic: expected grid, .*"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            regbench.sweep(*QUICK, wrong)
    assert not list(tmp_path.rglob("results.json"))
    assert capsys.readouterr().out == ""

    study = regbench.sweep(*LONE, "dataset.batch_size=0,50", progress=False)
    assert capsys.readouterr().out == ""
    assert (len(study.runs), list(study.unfinished["status"])) == (1, ["failed"])
    assert study.unfinished["reason"][0].startswith("dataset.batch_size: expected an integer above 0; received 0")


@pytest.mark.slow
def test_a_technique_of_ones_own_folder_is_swept_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "code")
    (tmp_path / "code/own_drop_of_a_sweep.py").write_text(
        "from torch import nn\nfrom regbench.regularizers import Regularizer\n\n\n"
        "class Drop(Regularizer):\n"
        "    def __init__(self, p):\n        self.p = p\n\n"
        "    def after_activation(self, features, dims):\n        return [nn.Dropout(self.p)]\n"
    )
    (tmp_path / "mine/regularizer").mkdir(parents=True)
    yaml = "own_drop:\n  _target_: own_drop_of_a_sweep.Drop\n  p: 0.5\n"
    (tmp_path / "mine/regularizer/own_drop.yaml").write_text(yaml)
    study = regbench.sweep(*LONE, regularizer="none,own_drop", config_dir="mine")
    assert sorted(study.runs["setting"]) == ["none", "own_drop"]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_sweep_stops_with_its_caller_and_records_its_run(stop: signal.Signals, tmp_path: Path) -> None:
    # A job in the background ignores Ctrl-C, and what it starts too.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heard}; import regbench; regbench.sweep(*{LONG!r})"
    folder = tmp_path / "outputs/sweeps/s"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as caller:
        wait(lambda: list(folder.glob("*/*/seed0/history.csv")), caller, 120)
        caller.send_signal(stop)
        _, err = caller.communicate(timeout=60)
    (run,) = folder.glob("*/*/seed0")
    wait(lambda: not is_locked(run))
    assert json.loads((run / "results.json").read_text())["status"] == "interrupted"
    if stop == signal.SIGINT:
        assert err.splitlines()[-1].startswith("KeyboardInterrupt")
