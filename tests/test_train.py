"""`train.py` as a user calls it. Most calls run in this process, so that they take no start-up time."""

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from regbench.composition import Sweep
from tests.conftest import ROOT

QUICK = ["dataset=digits", "trainer.max_epochs=1", "dataset.train_size=100", "threads=1"]


class Ended:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


Train = Callable[..., Ended]


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Train:
    """Call train.py from an empty folder and return its status and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Sweep, "folder", None)

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        try:
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
            status = 0
        except SystemExit as ended:
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)
            status = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
        out, err = capfd.readouterr()
        return Ended(status, out, err)

    return call


def results(folder: Path) -> dict[str, object]:
    return json.loads((folder / "results.json").read_text())


def test_a_run_ends_in_a_table_and_its_folder(train: Train, tmp_path: Path) -> None:
    ended = train(*QUICK, "regularizer=[weight_decay,batchnorm]", "seed=3")
    assert ended.status == 0, ended.err
    (folder,) = tmp_path.glob("outputs/runs/digits-lenet5/batchnorm+weight_decay-*/seed3")
    assert results(folder)["status"] == "finished"
    assert "62,158" in ended.out
    assert str(folder.relative_to(tmp_path)) in ended.out
    assert ended.err == ""
    again = train(*QUICK, "regularizer=[batchnorm,weight_decay]", "seed=3")
    assert "is finished: not trained again" in again.out


def test_a_run_goes_where_it_is_told_and_refuses_anothers_folder(train: Train, tmp_path: Path) -> None:
    assert train(*QUICK, "hydra.run.dir=there").status == 0
    assert results(tmp_path / "there")["seed"] == 0
    refused = train(*QUICK, "hydra.run.dir=there", "seed=1")
    assert refused.status == 1
    assert re.fullmatch(r"error: hydra\.run\.dir=there: holds the run of another configuration .*\n", refused.err)
    assert results(tmp_path / "there")["seed"] == 0


BAD = [
    (["regularizer=dropuot"], r"regularizer: expected one of .*batchnorm, .*dropout.*received 'dropuot'"),
    (["dataset=cifar"], r"dataset: expected one of digits.*received 'cifar'"),
    (["trainer.max_epoch=1"], r"trainer\.max_epoch: no such key \(did you mean max_epochs\?\)"),
    (["regularizer=dropout", "regularizer.dropout.q=1"], r"regularizer\.dropout\.q: no such key; expected one of p"),
    (["+surprise=1"], r"surprise: no such key; expected dataset"),
    (["+trainer.surprise=1"], r"trainer\.surprise: no such key"),
    (["regularizer=dropout", "regularizer.dropout.p=half"], r"regularizer\.dropout\.p: expected a valid number"),
    (["regularizer=dropout", "regularizer.dropout.p=1"], r"regularizer\.dropout: p must be in \[0, 1\), received 1"),
    (
        ["regularizer=weight_decay", "regularizer.weight_decay.coefficient=-1"],
        r"regularizer\.weight_decay: coefficient must be at least 0",
    ),
    (["regularizer=[dropout,dropout]"], r"regularizer=\[dropout,dropout\]: expected each of regularizer once"),
    (["model=[lenet5,mlp]"], r"model=\[lenet5,mlp\]: expected one option of model"),
    (["dataset.batch_size=0"], r"dataset: batch_size must be at least 1, received 0"),
    (["dataset.val_size=2000"], r"dataset: val_size must be from 0 to 1436.*received 2000"),
    (["dataset.train_size=2000"], r"dataset: train_size must be from 10 .*received 2000"),
    (["trainer.max_epochs=0"], r"trainer\.max_epochs: expected 1 or more, received 0"),
    (["trainer.accelerator=abacus"], r"trainer: .*abacus"),
    (["optimizer.weight_decay=0.1"], r"optimizer\.weight_decay: weight decay is a regularizer.*=weight_decay"),
    (["+optimizer.weight_decay=0.1"], r"optimizer\.weight_decay: weight decay is a regularizer.*=weight_decay"),
    (["optimizer.lr=-1"], r"optimizer: Invalid learning rate"),
    (["seed=-1"], r"seed: expected 0 or more"),
    (["threads=0"], r"threads: expected 1 or more"),
    (["monitor=test/acc"], r"monitor: expected 'val/acc' or 'val/loss'"),
    (["hydra.run.dir=file/run"], r".*file"),
    (["seed"], r"seed: expected KEY=VALUE"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_bad_input_ends_in_one_clear_line_and_no_folder_that_looks_finished(
    arguments: list[str], message: str, train: Train, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    ended = train(
        *[each for each in QUICK if each.split("=")[0] not in {a.split("=")[0] for a in arguments}], *arguments
    )
    assert ended.status == 1
    assert re.fullmatch(rf"error: {message}.*\n", ended.err), ended.err
    assert ended.out == ""
    assert all(json.loads(path.read_text())["status"] != "finished" for path in tmp_path.rglob("results.json"))


def test_an_unwritable_output_folder_is_told_in_one_line(train: Train, tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file, not a folder")
    ended = train(*QUICK)
    assert ended.status == 1
    assert re.fullmatch(r"error: .*outputs.*\n", ended.err)


@pytest.mark.parametrize("launcher", ["basic", pytest.param("joblib", marks=pytest.mark.slow)])
def test_a_sweep_runs_all_settings_and_goes_on_after_a_failed_one(launcher: str, train: Train, tmp_path: Path) -> None:
    grid = ["-m", *QUICK, f"hydra/launcher={launcher}", "study=four", "regularizer=none,dropout,weight_decay,batchnorm"]
    ended = train(*grid)
    assert ended.status == 0, ended.err
    folders = list((tmp_path / "outputs/sweeps/four/digits-lenet5").glob("*/seed0"))
    assert sorted(results(folder)["setting"] for folder in folders) == ["batchnorm", "dropout", "none", "weight_decay"]
    assert {results(folder)["status"] for folder in folders} == {"finished"}
    assert {results(folder)["threads"] for folder in folders} == {1}
    assert len(re.findall(r"done, 0 failed, \d left \|", ended.out)) == 4
    assert "outputs/sweeps/four: 4 done, 0 failed, 0 left" in ended.out

    grown = train(*grid, "dataset.batch_size=0,50")
    assert grown.status == 1
    # 50 is the default, so four of the eight runs are there already.
    assert "outputs/sweeps/four: 8 runs, 4 of them finished before" in grown.out
    assert "outputs/sweeps/four: 4 done, 4 failed, 0 left" in grown.out
    assert len(re.findall(r"failed: dataset: batch_size must be at least 1, received 0", grown.err)) == 4
    assert "Traceback" not in grown.err + grown.out


def test_a_swept_typo_is_refused_before_the_first_run(train: Train, tmp_path: Path) -> None:
    ended = train("-m", *QUICK, "hydra/launcher=basic", "regularizer=none,dropuot")
    assert ended.status == 1
    assert re.fullmatch(r"error: regularizer: expected one of .* received 'dropuot'\n", ended.err)
    assert not list(tmp_path.rglob("results.json"))


def test_calling_a_sweep_again_runs_only_what_is_missing(train: Train, tmp_path: Path) -> None:
    grid = ["-m", *QUICK, "hydra/launcher=basic", "study=s"]
    assert train(*grid, "seed=0,1").status == 0
    first = tmp_path / "outputs/sweeps/s/digits-lenet5"
    (folder,) = first.glob("*/seed1")
    kept = (next(first.glob("*/seed0")) / "results.json").stat().st_mtime_ns
    (folder / "results.json").unlink()
    ended = train(*grid, "seed=0,1,2")
    assert ended.status == 0
    assert "3 runs, 1 of them finished before" in ended.out
    assert (next(first.glob("*/seed0")) / "results.json").stat().st_mtime_ns == kept
    assert "3 done, 0 failed, 0 left" in ended.out


def test_a_sweep_without_a_name_is_named_by_the_time_once_for_all_its_runs(train: Train, tmp_path: Path) -> None:
    assert train("-m", *QUICK, "hydra/launcher=basic", "seed=0,1").status == 0
    (study,) = (tmp_path / "outputs/sweeps").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", study.name)
    assert len(list(study.glob("digits-lenet5/*/seed*/results.json"))) == 2


def test_a_diverging_run_harms_no_other(train: Train, tmp_path: Path) -> None:
    ended = train(
        "-m", *QUICK, "hydra/launcher=basic", "study=s", "model=lenet5_relu", "optimizer=sgd", "optimizer.lr=1e30,0.01"
    )
    assert ended.status == 1
    statuses = sorted(results(path.parent)["status"] for path in tmp_path.rglob("results.json"))
    assert statuses == ["diverged", "finished"]
    assert "1 done, 1 failed, 0 left" in ended.out


def test_help_explains_the_groups_and_shows_examples(train: Train) -> None:
    ended = train("--help")
    assert ended.status == 0
    for part in (
        "regularizer: augmentation, batchnorm, cutout, dropout",
        "dataset: digits, fashion_mnist, mnist",
        "-m regularizer=none",
        "max_epochs",
    ):
        assert part in ended.out
    assert "Traceback" not in ended.err


@pytest.mark.slow
def test_the_four_way_experiment_is_a_sweep_of_forty_runs_without_m(tmp_path: Path) -> None:
    """In a process of its own: workers on all cores, the sweep's name and its whole plan."""
    command = [sys.executable, str(ROOT / "train.py"), "experiment=four_way", *QUICK, "seed=range(2)"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    plan = json.loads((tmp_path / "outputs/sweeps/four_way/sweep.json").read_text())
    assert len(plan["runs"]) == 8
    assert plan["commands"][0].endswith("'seed=range(2)'")
    assert "8 done, 0 failed, 0 left" in done.stdout
