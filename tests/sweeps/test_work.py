"""Workers that share a study: each run once, whoever trains it."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from regbench.runs.recording import recording
from regbench.runs.spec import RunSpec
from regbench.storage.lock import HeldError, hold
from regbench.sweeps.work import Worker
from tests.commands import Command, Ended
from tests.sweeps.pretended import Pretender, pretend

QUICK = ["dataset=digits", "trainer.max_epochs=1", "dataset.train_size=100"]
STUDY = "outputs/sweeps/s"

Plan = Callable[..., list[str]]


@pytest.fixture
def work(command: Command) -> Callable[..., Ended]:
    """Call `regbench work`."""
    return partial(command, "regbench", "work")


@pytest.fixture
def plan(command: Command, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Plan a sweep of which nothing is trained, and return its runs."""

    def planned(*overrides: str) -> list[str]:
        with monkeypatch.context() as patch:
            patch.setattr("regbench.sweeps.sweepers.PlannedSweeper.train", lambda *arguments: [])
            assert command("train.py", "-m", *QUICK, "study=s", *overrides).out.startswith(f"{STUDY}: ")
        return list(json.loads(Path(STUDY, "sweep.json").read_text())["runs"])

    return planned


@pytest.fixture
def pretender(monkeypatch: pytest.MonkeyPatch) -> Pretender:
    return pretend(monkeypatch, lambda config: 0.8)


def test_a_worker_trains_all_planned_runs_without_composing_them(
    plan: Plan, work: Callable[..., Ended], pretender: Pretender, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan("regularizer=none,dropout", "seed=0,1")
    monkeypatch.setattr("hydra.compose", None)
    ended = work(STUDY)
    assert ended.status == 0, ended.err
    assert pretender.trained == ["none 0", "none 1", "dropout 0", "dropout 1"]
    assert "4 done, 0 failed, 0 left | dropout p=0.5 seed 1: val " in ended.out
    assert work(STUDY).status == 0
    assert len(pretender.trained) == 4


def test_what_another_one_holds_is_left_to_it_and_taken_up_where_that_one_stops(
    plan: Plan, pretender: Pretender
) -> None:
    names = plan("seed=0,1,2")
    folder = Path(STUDY, names[1])
    folder.mkdir(parents=True)
    with hold(folder):
        worker = Worker(Path(STUDY))
        assert worker.work()
        assert pretender.trained == ["none 0", "none 2"]
        assert not worker.leaves_runs()
    assert worker.leaves_runs()
    assert Worker(Path(STUDY)).work()
    assert pretender.trained == ["none 0", "none 2", "none 1"]


def test_a_worker_that_waits_takes_up_what_another_one_leaves(plan: Plan, pretender: Pretender) -> None:
    (name,) = plan("seed=0")
    folder = Path(STUDY, name)
    folder.mkdir(parents=True)
    other = threading.Event()

    def work_for_a_moment() -> None:
        with hold(folder):
            other.set()
            time.sleep(0.3)

    thread = threading.Thread(target=work_for_a_moment)
    thread.start()
    other.wait(10)
    assert Worker(Path(STUDY)).work(wait=True)
    thread.join()
    assert pretender.trained == ["none 0"]


def test_a_failed_run_harms_no_other_and_is_tried_again_by_the_sweeps_next_call_alone(
    plan: Plan, work: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(config: dict[str, Any]) -> float:
        if config["seed"] == 0:
            raise ValueError("no luck")
        return 0.8

    plan("seed=0,1")
    pretender = pretend(monkeypatch, failing)
    ended = work(STUDY)
    assert ended.status == 1
    assert re.search(r"seed 0 failed: .*no luck", ended.err)
    assert work(STUDY).status == 1
    assert pretender.trained == ["none 0", "none 1"]
    plan("seed=0,1")
    assert work(STUDY).status == 1
    assert pretender.trained == ["none 0", "none 1", "none 0"]


def test_a_run_at_which_another_worker_failed_between_the_look_and_the_lock_is_left_as_it_is(
    composed: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(HeldError), recording(tmp_path / "run", RunSpec(composed()), wait=False, is_taken=lambda: True):
        pass
    assert not (tmp_path / "run/config.yaml").exists()
    assert not (tmp_path / "run/results.json").exists()


def test_a_run_at_which_two_workers_died_is_left_to_the_next_call(
    plan: Plan, work: Callable[..., Ended], pretender: Pretender
) -> None:
    names = plan("seed=0,1")
    folder = Path(STUDY, names[0])
    folder.mkdir(parents=True)
    (folder / ".holder").write_text("process 1 on nowhere\ndeaths 1\n")
    os.utime(folder / ".holder", (0, 0))
    ended = work(STUDY)
    assert ended.status == 1
    assert f"{folder}: its worker was killed twice; left for the next call" in ended.err
    assert pretender.trained == ["none 1"]
    plan("seed=0,1")
    assert work(STUDY).status == 0
    assert pretender.trained == ["none 1", "none 0"]


def test_a_plan_of_other_code_is_not_trained_until_the_sweep_is_called_again(
    plan: Plan, work: Callable[..., Ended], pretender: Pretender
) -> None:
    plan("seed=0")
    (path,) = Path(STUDY, "plan").rglob("*.yaml")
    text = path.read_text()
    path.write_text(text.replace("code: {}", "code:\n  mine.Own: 123456789abc"))
    ended = work(STUDY)
    assert ended.status == 1
    told = r"seed 0 failed: planned with other code \(mine\.Own 123456789abc, now not recorded\); call the sweep again"
    assert re.search(told, ended.err)
    path.write_text(text.replace("lr: 0.001", "lr: 0.5"))
    assert "seed 0 failed: its plan was changed: its hash is " in work(STUDY).err
    assert pretender.trained == []
    path.write_text(text)
    assert work(STUDY).status == 0
    assert pretender.trained == ["none 0"]


def test_a_file_says_which_runs_are_meant(plan: Plan, work: Callable[..., Ended], pretender: Pretender) -> None:
    names = plan("seed=range(4)")
    Path("some").write_text(f"{names[2]}\n{names[1]}\n")
    assert work(STUDY, "--runs", "some").status == 0
    assert pretender.trained == ["none 2", "none 1"]


@pytest.mark.slow
def test_a_worker_alone_begins_again_under_its_number_until_nothing_is_left(plan: Plan) -> None:
    plan("seed=range(2)", "compile=false")
    code = (
        "import os, pathlib, sys; print('begins', os.getpid(), flush=True); from regbench.sweeps import work; "
        f"work.MOST_RUNS = 1; sys.exit(work.work_alone(pathlib.Path({STUDY!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    begins = [line for line in done.stdout.splitlines() if line.startswith("begins")]
    assert len(begins) == 2
    assert len(set(begins)) == 1
    assert "2 done, 0 failed, 0 left" in done.stdout


def test_a_worker_makes_room_for_a_new_one_after_some_runs(plan: Plan, pretender: Pretender) -> None:
    plan("seed=range(4)")
    assert not Worker(Path(STUDY)).work(most=3)
    assert len(pretender.trained) == 3
    assert Worker(Path(STUDY)).work(most=3)
    assert len(pretender.trained) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "error: nowhere: expected the folder of a planned sweep; sweep.json: .*No such file"),
        ([STUDY, "--runs", "none"], "error: .*No such file or directory: 'none'"),
        ([STUDY, "--runs", "wrong"], f"error: {STUDY}: expected planned runs, received digits-lenet5/x"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(
    arguments: list[str], message: str, plan: Plan, work: Callable[..., Ended]
) -> None:
    plan("seed=0")
    Path("wrong").write_text("digits-lenet5/x\n")
    ended = work(*arguments)
    assert ended.status == 1
    assert ended.out == ""
    assert re.fullmatch(rf"{message}[^\n]*\n", ended.err), ended.err
