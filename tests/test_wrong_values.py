"""Values that compose and make no run: refused in one line before a folder is made, alone and in sweeps."""

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from regbench.config import compose
from regbench.config.checks import check_values
from regbench.runs.loading import load_run
from regbench.runs.parts import build
from regbench.runs.run import run, train
from regbench.runs.spec import RunSpec
from regbench.study import load
from regbench.sweeps.command import _options_first
from regbench.sweeps.first_checks import FirstChecks
from regbench.sweeps.plan import grid
from regbench.validation import check_value
from tests.conftest import ROOT

Composed = Callable[..., dict[str, Any]]
Call = Callable[..., tuple[Any, str]]
SEED = "expected an integer of at least 0 and below 2^63; received"
SPLIT_SEED = "expected an integer of at least 0 and below 2^63, or null to follow the seed; received"
NAME = "expected the name of a folder below outputs/sweeps, without slashes and control characters; received"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Call:
    """Call train.py from an empty folder; return what it ends with and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(FirstChecks, "sweep", None)

    def called(*arguments: str) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        return ended.value.code, "".join(capfd.readouterr())

    return called


WRONG = [
    (["seed=true"], f"seed: {SEED} True"),
    (["seed=1e3"], f"seed: {SEED} 1000.0"),
    (["seed='1'"], f"seed: {SEED} '1'"),
    (["seed=null"], f"seed: {SEED} None"),
    (["seed=9223372036854775808"], f"seed: {SEED} 9223372036854775808"),
    (["compile=1"], "compile: expected true or false; received 1"),
    (["track_test=yes"], "track_test: expected true or false; received 'yes'"),
    (["dataset.split_seed=-1"], f"dataset.split_seed: {SPLIT_SEED} -1"),
    (["dataset.split_seed=seed"], f"dataset.split_seed: {SPLIT_SEED} 'seed'"),
    (["study=../../x"], f"study: {NAME} '../../x'"),
    (["study=/x"], f"study: {NAME} '/x'"),
    (["study=.."], f"study: {NAME} '..'"),
    (["study="], f"study: {NAME} ''"),
    (["study=null"], "study: expected a name, in quotes where it is a number or the like; received null"),
    (["study=7"], "study: expected a name, in quotes where it is a number or the like; received 7"),
    (
        ["trainer.precision=64-true"],
        "trainer.precision: expected '32-true', 'bf16-mixed' or '16-mixed'; received '64-true'",
    ),
    (["~dataset.classes"], "model.num_classes: its value is that of dataset.classes, which is missing"),
    (["trainer.max_epochs=null"], "trainer.max_epochs: expected 1 or more, received null; it is an integer"),
    (["trainer.max_epochs=2.0"], "trainer.max_epochs: expected 1 or more, received 2.0; it is an integer"),
    (["~trainer.max_epochs"], "trainer.max_epochs: expected 1 or more, received null; it is an integer"),
    (["threads=100000"], "threads: expected at most 1,024; received 100000"),
    (
        ["callbacks=early_stopping", "callbacks.early_stopping.patience=-1"],
        "callbacks.early_stopping.patience: expected an integer of at least 0; received -1",
    ),
    (["scheduler=cosine", "scheduler.T_max=0"], "scheduler.T_max: expected an integer above 0; received 0"),
    (["optimizer.lr=-1"], "optimizer.lr: expected a finite number of at least 0; received -1"),
    (["optimizer.betas=[0.9,1]"], "optimizer.betas[1]: expected a number in [0, 1); received 1"),
    (
        ["+callbacks.lr._target_=pytorch_lightning.callbacks.LearningRateMonitor", "logger=none"],
        "callbacks.lr: expected a logger for LearningRateMonitor to write to, as logger=csv; received logger=none",
    ),
    (["trainer.gradient_clip_val=-1"], "trainer.gradient_clip_val: expected a finite number above 0; received -1"),
    (["+trainer.max_steps=3"], "trainer.max_steps: not taken: a run's budget is whole epochs"),
    (["trainer.devices=2"], "trainer.devices: expected 1; received 2: one run trains on one device; to use several,"),
    (["+trainer.strategy=ddp"], "trainer.strategy: expected auto; received 'ddp': one run trains on one device"),
    (["seed=0", "seed=1"], "seed=1: expected seed once, received seed=0 before it"),
    (["seed=0", "++seed=1"], "++seed=1: expected seed once, received seed=0 before it"),
    (["model=mlp", "model=lenet5"], "model=lenet5: expected model once, received model=mlp before it"),
]


@pytest.mark.parametrize("kind", ["a run", "a sweep"])
@pytest.mark.parametrize(("overrides", "message"), WRONG, ids=[" ".join(each) for each, _ in WRONG])
def test_a_wrong_value_ends_in_one_line_and_leaves_nothing(
    overrides: list[str], message: str, kind: str, call: Call, tmp_path: Path
) -> None:
    options = ["-m", "hydra/launcher=basic"] if kind == "a sweep" else []
    status, printed = call(*options, "dataset=digits", *overrides)
    assert re.fullmatch(rf"error: {re.escape(message)}[^\n]*", str(status))
    assert printed == ""
    assert list(tmp_path.iterdir()) == []


def test_one_wrong_value_of_a_sweep_refuses_the_sweep(call: Call, tmp_path: Path) -> None:
    status, printed = call("-m", "hydra/launcher=basic", "dataset=digits", "study=s", "seed=0,true")
    assert (status, printed) == (f"error: seed: {SEED} True", "")
    assert list(tmp_path.iterdir()) == []


def test_a_run_and_a_sweep_of_two_options_that_define_one_name_are_refused(call: Call, tmp_path: Path) -> None:
    (tmp_path / "mine/metrics").mkdir(parents=True)
    (tmp_path / "mine/metrics/own.yaml").write_text("f1: {_target_: a.B}\n")
    given = ["--config-dir", str(tmp_path / "mine"), "dataset=digits", "study=s"]
    for options in (["metrics=[f1,own]"], ["-m", "hydra/launcher=basic", "metrics=[f1],[f1,own]"]):
        status, _ = call(*given, *options)
        assert re.fullmatch(r"error: metrics\.f1: .* metrics/f1\.yaml and metrics/own\.yaml, of which.*", str(status))
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


def test_a_study_may_not_be_called_by_control_characters(composed: Composed) -> None:
    for study in ("a\nb", "a\x00b", "a\\b", "x" * 256):
        with pytest.raises(ValueError, match=r"^study: expected the name of a folder"):
            check_values({**composed(), "study": study})
    check_values({**composed(), "study": "ünï cödé 2026-11-23_10.00"})


@pytest.mark.parametrize("name", ["none", "l1/l2", "../../x", "batchnorm+dropout", " ", "a\nb"])
def test_a_technique_may_not_be_called_as_none_as_two_or_by_a_path(name: str, composed: Composed) -> None:
    node = composed("regularizer=dropout")["regularizer"]["dropout"]
    with pytest.raises(ValueError, match=r"^regularizer: expected techniques with names of their own, .*; received '"):
        check_values({**composed(), "regularizer": {name: node}})
    check_values({**composed(), "regularizer": {"my dropout-2.0": node}})


def test_from_python_a_wrong_value_leaves_no_folder_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^seed: expected an integer"):
        train("dataset=digits", "seed=true")
    with pytest.raises(ValueError, match=r"^seed=1: expected seed once"):
        train("dataset=digits", "seed=0", "seed=1")
    assert list(tmp_path.iterdir()) == []


def test_what_an_experiment_sweeps_may_be_given_on_the_command_line() -> None:
    overrides = OverridesParser.create().parse_overrides(["seed=range(5)", "model=mlp,lenet5", "seed=7"])
    assert grid(overrides) == [["seed=7", "model=mlp"], ["seed=7", "model=lenet5"]]


def test_finished_runs_of_refused_values_are_read(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = composed("+trainer.limit_train_batches=0.5", "dataset.split_seed=-1", "study=null")
    folder = tmp_path / "digits-lenet5/none-000000/seed0"
    with monkeypatch.context() as patch:
        patch.setattr(RunSpec, "check", lambda _: None)
        finished = run(folder, config, [])
    assert load_run(folder).results.metrics == finished.metrics
    assert len(load(tmp_path).runs) == 1
    with pytest.raises(ValueError, match=r"^study: expected a name"):
        run(folder, config, [])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer.betas=[0.9]"], r"^optimizer\.betas: expected 2 items; received \[0\.9\]$"),
        (["optimizer.betas=[]"], r"^optimizer\.betas: expected 2 items; received \[\]$"),
        (["model.num_classes=3"], r"^model\.num_classes: expected 10, the number of dataset\.classes; received 3$"),
    ],
)
def test_a_value_that_the_constructor_would_not_name_is_named(
    overrides: list[str], message: str, composed: Composed
) -> None:
    with pytest.raises(ValueError, match=message):
        build(composed(*overrides))


def test_a_tuple_within_a_list_is_named_by_its_place() -> None:
    with pytest.raises(ValueError, match=r"^key\[1\]: expected 2 items; received \[3\]$"):
        check_value([[1, 2], [3]], list[tuple[int, int]], "key")


def test_options_may_stand_between_overrides(call: Call, tmp_path: Path) -> None:
    given = ["dataset=digits", "-m", "~scheduler", "--config-dir", "mine", "study=a/b", "--cfg", "job", "sed"]
    assert _options_first(given) == [
        "-m", "--config-dir", "mine", "--cfg", "job", "sed", "dataset=digits", "~scheduler", "study=a/b"
    ]  # fmt: skip
    status, printed = call(
        "dataset=digits", "-m", "study=s", "hydra/launcher=basic", "dataset.batch_size=0", "threads=1"
    )
    assert status == 1
    assert "outputs/sweeps/s: 0 done, 1 failed, 0 left" in printed
    assert (tmp_path / "outputs/sweeps/s/sweep.json").exists()


def test_the_defaults_and_the_largest_values_pass() -> None:
    check_values(compose([f"seed={2**63 - 1}", "threads=1024", "scheduler=cosine", "callbacks=early_stopping"]))
