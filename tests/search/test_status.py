"""`regbench status`: how far a study is, from its folder alone."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from regbench.cli import app
from regbench.storage.lock import hold
from tests.search.synthetic import Trainer, planted, search
from tests.study.synthetic import write_study


def status(path: Path) -> Result:
    return CliRunner().invoke(app, ["status", str(path)])


def test_a_whole_study_is_done(tmp_path: Path) -> None:
    ended = status(write_study(tmp_path / "s", {"none": 0.9, "dropout p=0.3": 0.9}, range(2)))
    assert ended.exit_code == 0, ended.output
    lines = [line.rstrip() for line in ended.output.splitlines()]
    assert lines == [
        str(tmp_path / "s"),
        "setting        done  under way",
        "none            2/2",
        "dropout p=0.3   2/2",
        "4 done, 0 failed, 0 running, 0 left",
    ]


def test_what_is_left_is_told_with_the_command_that_runs_it(tmp_path: Path) -> None:
    states = {("none", 0): "failed", ("none", 1): "interrupted", ("dropout p=0.3", 1): "missing"}
    study = write_study(tmp_path / "s", {"none": 0.9, "dropout p=0.3": 0.9}, range(2), status=states)
    ended = status(study)
    assert ended.exit_code == 1
    assert "seed 1: stopped after its last epoch" in ended.output
    *_, overall, failed, command = ended.output.splitlines()
    assert overall == "1 done, 1 failed, 0 running, 2 left"
    assert failed == "none seed 0 failed: RuntimeError: out of memory"
    assert command == f"the rest is run by: {json.loads((study / 'sweep.json').read_text())['commands'][-1]}"


def test_a_study_that_somebody_trains_is_no_error(tmp_path: Path) -> None:
    states = {("none", 1): "interrupted", ("none", 2): "missing"}
    study = write_study(tmp_path / "s", {"none": 0.9}, range(3), status=states)
    with hold(next(study.glob("*/*/seed1"))):
        ended = status(study)
    assert ended.exit_code == 0
    assert re.search(r"seed 1: epoch 6 of 6, val \d\d\.\d\d%, \d+ s ago", ended.output)
    assert "1 done, 0 failed, 1 running, 1 left · about " in ended.output
    assert "once nobody works on it, the rest is run by: " in ended.output


def test_runs_without_a_plan_and_a_single_run_are_told_too(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", {"none": 0.9}, range(2))
    (study / "sweep.json").unlink()
    assert "none      2/2" in status(study).output
    alone = status(next(study.glob("*/*/seed0")))
    assert (alone.exit_code, "none      1/1" in alone.output) == (0, True)


def test_a_tuned_study_counts_trials_and_what_confirms_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    protocol = ["trials=3", "finalists=2", "finalist_seeds=1", "seeds=1", "sampler=quasi_random"]
    search(monkeypatch, Trainer(planted), "regularizer=none,dropout", *protocol)
    study = tmp_path / "outputs/sweeps/s"
    ended = status(study)
    assert ended.exit_code == 0, ended.output
    lines = [line.split() for line in ended.output.splitlines()]
    assert lines[1:4] == [
        ["setting", "trials", "finalists", "confirmed", "defaults", "under", "way"],
        ["none", "3/3", "2/2", "1/1", "1/1"],
        ["dropout", "3/3", "2/2", "1/1", "1/1"],
    ]
    next(study.glob("search/trials/*/none-*/seed1000000/results.json")).unlink()
    ended = status(study)
    assert ended.exit_code == 1
    assert "2/3" in ended.output
    assert re.search(r"trial [0-9a-f]{6}: stopped after its last epoch", ended.output)


def test_a_wrong_folder_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/config.yaml").touch()
    for name in ("a", "b"):
        write_study(tmp_path / "sweeps" / name, {"none": 0.9}, range(1))
    for name, message in {
        "nowhere": "expected the folder of a study, received no such folder",
        "file": "expected the folder of a study, received a file",
        "empty": "expected the folder of a study, received one without a run or a plan",
        "foreign": "expected the folder of a study or a run of its own name, received another one",
        "sweeps": "expected one study, received the folder of a, b",
    }.items():
        ended = status(tmp_path / name)
        assert (ended.exit_code, ended.stdout) == (1, "")
        assert ended.stderr == f"error: {tmp_path / name}: {message}\n"


def test_it_imports_neither_torch_nor_optuna_nor_pandas(tmp_path: Path) -> None:
    write_study(tmp_path / "s", {"none": 0.9}, range(1))
    code = "import sys; from regbench.cli import app; app(['status', 's'], standalone_mode=False); "
    code += "sys.exit(', '.join({'torch', 'optuna', 'pandas', 'hydra'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    assert "1/1" in done.stdout
