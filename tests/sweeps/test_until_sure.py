"""Seeds in stages, by runs that pretend to train; one test trains, and kills the sweep."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from regbench.storage.study_folder import read_plan
from regbench.study import load
from regbench.study.comparisons import comparisons
from regbench.study.statistics import compare
from tests.commands import ROOT, Command, Ended
from tests.sweeps.pretended import pretend

QUICK = ["dataset=digits", "trainer.max_epochs=1", "dataset.train_size=100", "threads=1"]
GRID = [*QUICK, "seeds=until_sure", "study=s", "hydra.sweeper.stages=[2,3,4]"]
SETTINGS = "regularizer=none,batchnorm,weight_decay"

Train = Callable[..., Ended]


@pytest.fixture
def train(command: Command) -> Train:
    """Call train.py from an empty folder and return its status and what it printed."""
    return partial(command, "train.py")


def accuracy(config: dict[str, Any]) -> float:
    """batchnorm leads by much and steadily; weight_decay goes up and down."""
    seed, names = config["seed"], set(config["regularizer"])
    value = 0.7 + 0.02 * np.sin(7.0 * seed) + 0.1 * ("batchnorm" in names) * (1 + 1e-4 * seed)
    return float(value + 0.05 * (-1) ** seed * ("weight_decay" in names))


def seeds_of(study: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for path in sorted(study.glob("*/*/seed*/results.json")):
        found.setdefault(path.parent.parent.name.partition("-")[0], []).append(int(path.parent.name[4:]))
    return {name: sorted(seeds) for name, seeds in found.items()}


def stages(out: str) -> list[str]:
    return [line for line in out.splitlines() if line.startswith(("stage ", "seeds until sure"))]


LINES = [
    "stage 1 (2 seeds): batchnorm better; weight_decay coefficient=0.0001 undecided, 1 more seed",
    "stage 2 (3 seeds): weight_decay coefficient=0.0001 undecided, 1 more seed",
    "stage 3 (4 seeds): weight_decay coefficient=0.0001 undecided, and no stage is left",
    "seeds until sure: the stages ended after 10 of at most 12 runs",
]


def test_decided_settings_get_no_more_seeds_and_the_baseline_goes_on_with_the_undecided(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, accuracy)
    ended = train(*GRID, SETTINGS)
    assert ended.status == 0, ended.err
    assert stages(ended.out) == LINES
    assert "outputs/sweeps/s: 6 runs in stage 1, 0 of them finished before" in ended.out
    assert "outputs/sweeps/s: 10 done, 0 failed, 0 left" in ended.out
    study = tmp_path / "outputs/sweeps/s"
    assert seeds_of(study) == {"none": [0, 1, 2, 3], "batchnorm": [0, 1], "weight_decay": [0, 1, 2, 3]}
    plan = read_plan(study / "sweep.json")
    assert (plan.stages, plan.metric, len(plan.runs), plan.added) == ([2, 3, 4], "test/acc", 10, {})


def test_the_report_judges_each_setting_at_the_stage_that_decided_it(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, accuracy)
    assert train(*GRID, SETTINGS).status == 0
    (family,) = comparisons(load(tmp_path / "outputs/sweeps/s"))
    found = {each.label: each for each in compare(family)}
    assert {label: (each.verdict, each.stage, each.n) for label, each in found.items()} == {
        "batchnorm": ("better", 1, 2),
        "weight_decay": ("undecided", 3, 4),
    }
    assert "2 seeds in pairs, decided at stage 1 of 3" in found["batchnorm"].sentence
    assert "4 seeds in pairs, stage 3 of 3" in found["weight_decay"].sentence
    decay, none = ({"regularizer": names} for names in ({"weight_decay": {}}, {}))
    differences = [accuracy(decay | {"seed": seed}) - accuracy(none | {"seed": seed}) for seed in range(4)]
    level = 0.05 / 3 / 2  # stages and settings
    low, high = stats.t.interval(1 - level, 3, np.mean(differences), stats.sem(differences))
    assert (found["weight_decay"].low, found["weight_decay"].high) == pytest.approx((low, high), abs=1e-6)
    p = stats.ttest_1samp(differences, 0).pvalue
    assert found["weight_decay"].p_adjusted == pytest.approx(min(1, 6 * p))


@pytest.mark.slow
def test_called_again_a_whole_sweep_trains_nothing_and_says_the_same(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretender = pretend(monkeypatch, accuracy)
    assert train(*GRID, SETTINGS).status == 0
    before = list(pretender.trained)
    again = train(*GRID, SETTINGS)
    assert again.status == 0
    assert pretender.trained == before
    assert stages(again.out) == LINES
    assert "10 done, 0 failed, 0 left" in again.out


@pytest.mark.slow
@pytest.mark.parametrize("stop", [4, 8])
def test_a_sweep_stopped_within_a_stage_goes_on_there_and_decides_the_same(
    stop: int, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopping(config: dict[str, Any]) -> float:
        if len(pretender.trained) == stop:
            raise KeyboardInterrupt
        return accuracy(config)

    pretender = pretend(monkeypatch, stopping)
    stopped = train(*GRID, SETTINGS)
    assert stopped.status == 130
    planned = 6 if stop == 4 else 8
    assert f"{stop - 1} done, 0 failed, {planned - stop + 1} left" in stopped.out
    (family,) = comparisons(load(tmp_path / "outputs/sweeps/s"))
    assert {each.stage for each in compare(family)} <= ({None} if stop == 4 else {1})

    pretender = pretend(monkeypatch, accuracy)
    again = train(*GRID, SETTINGS)
    assert again.status == 0
    assert len(pretender.trained) == 10 - (stop - 1)
    assert stages(again.out) == LINES


def test_an_experiments_seeds_are_replaced_by_the_stages(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, accuracy)
    ended = train(
        "experiment=demo", "seeds=until_sure", "hydra/launcher=basic", "hydra.sweeper.stages=[2]", "threads=1"
    )
    assert ended.status == 0, ended.err
    assert seeds_of(tmp_path / "outputs/sweeps/demo")["none"] == [0, 1]
    assert stages(ended.out)[0].startswith("stage 1 (2 seeds): ")


@pytest.mark.slow
def test_of_a_failed_run_the_pair_is_left_out_and_a_setting_that_only_fails_gets_no_more_seeds(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(config: dict[str, Any]) -> float:
        names = config["regularizer"]
        if "dropout" in names or ("batchnorm" in names and config["seed"] == 1):
            raise ValueError("no such luck")
        return accuracy(config)

    pretend(monkeypatch, failing)
    ended = train(*GRID, "regularizer=none,batchnorm,dropout")
    assert ended.status == 1
    study = tmp_path / "outputs/sweeps/s"
    assert seeds_of(study) == {"none": [0, 1, 2], "batchnorm": [0, 1, 2], "dropout": [0, 1]}
    first, only_failed, second, last = stages(ended.out)
    assert first == "stage 1 (2 seeds): batchnorm undecided, 1 more seed"
    assert only_failed == "stage 1 (2 seeds): dropout p=0.5 no finished run"
    assert second == "stage 2 (3 seeds): batchnorm better"
    assert last == "seeds until sure: no setting needs more after 8 of at most 12 runs"
    assert "5 done, 3 failed, 0 left" in ended.out
    (family,) = comparisons(load(study))
    assert [(each.verdict, each.stage, each.n) for each in compare(family)] == [("better", 2, 2)]


@pytest.mark.slow
def test_families_are_decided_each_on_its_own(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def clear_where_large(config: dict[str, Any]) -> float:
        swing = 0.1 * (-1) ** config["seed"] if "batchnorm" in config["regularizer"] else 0
        return accuracy(config) + (swing if config["dataset"]["train_size"] == 100 else 0)

    pretend(monkeypatch, clear_where_large)
    grid = [each for each in GRID if "train_size" not in each]
    ended = train(*grid, "regularizer=none,batchnorm", "dataset.train_size=100,200")
    assert ended.status == 0, ended.err
    assert re.search(r"^stage 1 \(2 seeds\) of digits, lenet5, 1 epoch,.* 200.*: batchnorm better$", ended.out, re.M)
    assert re.search(r"^stage 1 \(2 seeds\) of digits.* 100.*: batchnorm undecided, 1 more seed$", ended.out, re.M)
    assert "stage 2 (3 seeds): batchnorm undecided, 1 more seed" in ended.out
    sizes = [json.loads(path.read_text())["train_size"] for path in tmp_path.rglob("results.json")]
    assert len(sizes) == 2 * 2 + 2 * 4


@pytest.mark.slow
def test_force_trains_all_stages_again_from_the_first(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretender = pretend(monkeypatch, accuracy)
    grid = [*GRID, "regularizer=none,weight_decay"]
    assert train(*grid).status == 0
    assert len(pretender.trained) == 8
    pretender.accuracy = lambda config: 0.5 + (0.1 + 1e-5 * config["seed"]) * len(config["regularizer"])
    again = train(*grid, "force=true")
    assert again.status == 0, again.err
    assert stages(again.out)[0] == "stage 1 (2 seeds): weight_decay coefficient=0.0001 better"
    assert len(pretender.trained) == 8 + 4
    assert len(read_plan(tmp_path / "outputs/sweeps/s/sweep.json").runs) == 4
    assert "4 done, 0 failed, 0 left" in again.out


BAD = [
    (["seed=range(10)"], r"seed=range\(10\): expected no seeds beside seeds=until_sure.*stages=\[2,3,4\]"),
    (["hydra.sweeper.stages=[5,5]"], r"hydra\.sweeper\.stages: expected ascending numbers.*received \[5, 5\]"),
    (["hydra.sweeper.stages=[1,5]"], r"hydra\.sweeper\.stages: expected ascending numbers.*received \[1, 5\]"),
    (["hydra.sweeper.stages=[]"], r"hydra\.sweeper\.stages: expected ascending numbers.*received \[\]"),
    (["hydra.sweeper.stages=ten"], r"hydra\.sweeper\.stages: expected ascending numbers.*received \['ten'\]"),
    (["hydra.sweeper.metric=acc"], r"hydra\.sweeper\.metric: expected one of train/loss.*received 'acc'"),
    (["regularizer=dropout,batchnorm"], r"regularizer: expected none among the settings.*received dropout, batchnorm"),
    (["regularizer=none"], r"seeds=until_sure: expected none and another setting"),
    (["seeds=forever"], r"seeds: expected one of given, until_sure; received 'forever'"),
    (["hydra.sweeper.stage=[5]"], r"hydra\.sweeper\.stage: no such key"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), BAD, ids=lambda value: " ".join(value) if type(value) is list else ""
)
def test_what_stages_cannot_take_is_refused_in_one_line_before_anything_is_planned(
    arguments: list[str], message: str, train: Train, tmp_path: Path
) -> None:
    given = {each.split("=")[0].lstrip("+") for each in arguments}
    kept = [each for each in [*GRID, SETTINGS] if each.split("=")[0] not in given]
    ended = train("-m", *kept, *arguments)
    assert ended.status == 1
    assert re.fullmatch(rf"error: {message}.*\n", ended.err), ended.err
    assert ended.out == ""
    assert not list(tmp_path.rglob("sweep.json"))


def test_strength_zero_is_a_baseline_too(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, lambda config: 0.5 + (0.3 + 1e-5 * config["seed"]) * config["regularizer"]["dropout"]["p"])
    ended = train(*GRID, "regularizer=dropout", "regularizer.dropout.p=0,0.5")
    assert ended.status == 0, ended.err
    assert stages(ended.out)[0] == "stage 1 (2 seeds): dropout p=0.5 better"


@pytest.mark.slow
def test_a_study_keeps_the_stages_that_it_began_with(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, accuracy)
    grid = [*GRID, "regularizer=none,batchnorm"]
    assert train(*grid).status == 0
    plan = (tmp_path / "outputs/sweeps/s/sweep.json").read_text()
    other = train(*[each for each in grid if "stages" not in each], "hydra.sweeper.stages=[2,9]")
    assert other.status == 1
    assert re.fullmatch(
        r"error: hydra\.sweeper: expected stages=\[2,3,4\] and metric=test/acc, with which this study began, "
        r"received stages=\[2,9\] and metric=test/acc; study=NAME begins another\n",
        other.err,
    )
    assert (tmp_path / "outputs/sweeps/s/sweep.json").read_text() == plan
    by_hand = train("-m", *QUICK, "study=s", "regularizer=none,batchnorm", "seed=range(3)")
    assert by_hand.status == 0
    assert read_plan(tmp_path / "outputs/sweeps/s/sweep.json").stages == [2, 3, 4]
    (family,) = comparisons(load(tmp_path / "outputs/sweeps/s"))
    assert [(each.verdict, each.stage, each.n) for each in compare(family)] == [("better", 1, 2)]


@pytest.mark.slow
def test_seeds_added_by_hand_to_finished_ones_are_written_down(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, accuracy)
    grid = ["-m", *QUICK, "study=s"]
    plan = tmp_path / "outputs/sweeps/s/sweep.json"
    assert train(*grid, "regularizer=none,dropout", "seed=range(2)").status == 0
    assert train(*grid, "regularizer=none,dropout,batchnorm", "seed=range(2)").status == 0
    assert "added" not in json.loads(plan.read_text())
    assert train(*grid, "regularizer=none,dropout", "seed=range(4)").status == 0
    added = {name.partition("/")[2]: number for name, number in read_plan(plan).added.items()}
    assert sorted(re.sub(r"-\w{6}", "", name) for name in added) == [
        *("dropout/seed2", "dropout/seed3", "none/seed2", "none/seed3")
    ]
    assert set(added.values()) == {2}
    runs = load(plan.parent).runs
    assert runs.loc[runs["seed"] > 1, "added_after"].tolist() == [2] * 4
    assert runs.loc[runs["seed"] < 2, "added_after"].isna().all()


@pytest.mark.slow
def test_a_killed_sweep_by_stages_goes_on_where_it_was(
    command: Command, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    grid = ["study=s", "seeds=until_sure", "hydra.sweeper.stages=[2,3]", "regularizer=none,dropout", *QUICK]
    study = tmp_path / "outputs/sweeps/s"
    with subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *grid, "hydra.launcher.n_jobs=2"],
        cwd=tmp_path,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as sweep:
        request.addfinalizer(lambda: end_session(sweep.pid))
        deadline = time.monotonic() + 240
        while not seeds_of(study):
            assert time.monotonic() < deadline, "the sweep got nowhere"
            assert sweep.poll() is None, "the sweep ended before it could be killed"
            time.sleep(0.02)
        sweep.send_signal(signal.SIGKILL)
    end_session(sweep.pid)
    before = {path: path.stat().st_mtime_ns for path in study.glob("*/*/seed*/results.json")}
    again = command("train.py", *grid, "hydra/launcher=basic")
    assert again.status == 0, again.err
    assert [line[:18] for line in stages(again.out)] == [
        "stage 1 (2 seeds):",
        "stage 2 (3 seeds):",
        "seeds until sure: ",
    ]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert seeds_of(study) == {"none": [0, 1, 2], "dropout": [0, 1, 2]}
    assert read_plan(study / "sweep.json").stages == [2, 3]


def end_session(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
