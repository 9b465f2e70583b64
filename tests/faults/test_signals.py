"""SIGTERM, Ctrl-C and killed workers: what is recorded, what is said, and that no run of a sweep is lost."""

import contextlib
import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bits import final_bits
from tests.faults.counts import count
from tests.faults.processes import FOLDER, PROBE, finish, held, start, start_until, train, wait

pytestmark = [pytest.mark.faults, pytest.mark.slow]

RUN = ["regularizer=[batchnorm,dropout]", "trainer.max_epochs=3", PROBE, FOLDER]
SLOW = ["+regularizer.slow._target_=tests.faults.probe.Slow", "+regularizer.slow.seconds=0.1"]
SWEEP = ["-m", "study=s", "hydra.launcher.n_jobs=2", "trainer.max_epochs=8"]
STOPS = {signal.SIGTERM: (143, "stopped by SIGTERM"), signal.SIGINT: (130, "stopped by Ctrl-C")}


def statuses(study: Path) -> list[str]:
    return sorted(json.loads(path.read_text())["status"] for path in study.rglob("results.json"))


def both_held(study: Path) -> list[int]:
    """The processes that work on two runs, once two have a checkpoint."""
    workers = held(study)
    return workers if len(workers) == 2 and len(list(study.rglob("last.ckpt"))) >= 2 else []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    assert train(folder, *RUN)[0] == 0
    return folder / "run"


@pytest.mark.parametrize("number", STOPS, ids=lambda number: number.name)
@pytest.mark.parametrize("phase", ["training", "validation", "checkpoint", "results"])
def test_a_stopped_run_says_so_and_goes_on(
    number: signal.Signals, phase: str, whole: Path, tmp_path: Path, record_property: Any
) -> None:
    process = start_until(tmp_path, phase, 6, *RUN)
    process.send_signal(number)
    status, out, told = finish(process)
    expected, reason = STOPS[number]
    assert status == expected
    assert told.splitlines()[-1] == f"run: {reason}; the same command resumes it"
    assert "Traceback" not in out + told
    assert json.loads((tmp_path / "run/results.json").read_text())["status"] == "interrupted"
    assert not list(tmp_path.rglob("*.tmp"))
    status, _, told = train(tmp_path, *RUN)
    assert status == 0, told
    assert final_bits(tmp_path / "run") == final_bits(whole)
    count(record_property, f"stops by {number.name} survived in {phase}")


@pytest.mark.parametrize("group", [False, True], ids=["parent", "group"])
@pytest.mark.parametrize("number", STOPS, ids=lambda number: number.name)
def test_a_stopped_sweep_says_what_is_left_and_goes_on(
    number: signal.Signals, group: bool, tmp_path: Path, record_property: Any
) -> None:
    study = tmp_path / "outputs/sweeps/s"
    arguments = [*SWEEP, *SLOW, "seed=range(5)"]
    process = start(tmp_path, *arguments)
    workers = wait(lambda: both_held(study), process)
    (os.killpg if group else os.kill)(process.pid, number)
    status, out, told = finish(process)
    assert status == STOPS[number][0], told
    done = statuses(study).count("finished")
    assert statuses(study).count("interrupted") == 2, (out, told)
    assert f"outputs/sweeps/s: {done} done, 0 failed, {5 - done} left" in out
    assert "Traceback" not in out + told
    wait(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), seconds=30)
    assert len(statuses(study)) == done + 2
    status, out, told = train(tmp_path, *arguments)
    assert status == 0, told
    assert "5 done, 0 failed, 0 left" in out
    assert "resumes after epoch" in told
    count(record_property, f"sweeps stopped by {number.name}")
    count(record_property, "runs lost", 5 - statuses(study).count("finished"))


def test_a_sweep_whose_parent_is_killed_is_finished_by_its_next_call(tmp_path: Path, record_property: Any) -> None:
    study = tmp_path / "outputs/sweeps/s"
    arguments = [*SWEEP, *SLOW, "seed=range(4)"]
    process = start(tmp_path, *arguments)
    wait(lambda: len(held(study)) == 2, process)
    os.kill(process.pid, signal.SIGKILL)
    again = start(tmp_path, *arguments)  # while the orphaned workers are still at it
    status, out, told = finish(again)
    assert status == 0, told
    assert "4 done, 0 failed, 0 left" in out
    finish(process)
    count(record_property, "parents killed")
    count(record_property, "runs lost", 4 - statuses(study).count("finished"))


def session(leader: int) -> list[str]:
    """The command lines of all living processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            state, _, _, member = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(member) == leader and state != "Z":
                found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found


@pytest.mark.parametrize("launcher", ["resilient", "basic"])
def test_no_process_outlives_the_killed_parent_of_a_sweep(launcher: str, tmp_path: Path, record_property: Any) -> None:
    study = tmp_path / "outputs/sweeps/s"
    jobs = [] if launcher == "basic" else ["hydra.launcher.n_jobs=2"]
    arguments = ["-m", "study=s", "trainer.max_epochs=40", *jobs, f"hydra/launcher={launcher}", *SLOW, "seed=range(4)"]
    process = start(tmp_path, *arguments)
    try:
        begun = 1 if launcher == "basic" else 2
        wait(lambda: len(list(study.rglob("last.ckpt"))) == begun, process, seconds=180)
        os.kill(process.pid, signal.SIGKILL)
        wait(lambda: not session(process.pid), seconds=45)
    finally:
        finish(process)
    if launcher != "basic":
        assert statuses(study) == ["interrupted", "interrupted"]
    count(record_property, "parents killed")


def test_workers_that_have_no_run_yet_do_not_outlive_their_killed_parent(tmp_path: Path, record_property: Any) -> None:
    process = start(tmp_path, *SWEEP, *SLOW, "seed=range(4)")
    try:
        wait(lambda: any("spawn_main" in each for each in session(process.pid)), process, seconds=180)
        os.kill(process.pid, signal.SIGKILL)
        wait(lambda: not session(process.pid), seconds=120)  # a worker on its way imports its first run's modules
    finally:
        finish(process)
    count(record_property, "parents killed")


def test_a_killed_worker_costs_no_run(tmp_path: Path, record_property: Any) -> None:
    study = tmp_path / "outputs/sweeps/s"
    process = start(tmp_path, *SWEEP, *SLOW, "seed=range(6)")
    os.kill(wait(lambda: both_held(study), process)[0], signal.SIGKILL)
    status, out, told = finish(process)
    assert status == 0, told
    assert "a worker was killed: another one takes up its run" in told
    assert "resumes after epoch" in told
    assert "6 done, 0 failed, 0 left" in out
    assert statuses(study) == ["finished"] * 6
    count(record_property, "workers killed")
    count(record_property, "runs lost", 6 - statuses(study).count("finished"))


def test_runs_that_always_kill_their_worker_cost_no_other_run(tmp_path: Path, record_property: Any) -> None:
    study = tmp_path / "outputs/sweeps/s"
    deadly = ["+regularizer.deadly._target_=tests.faults.probe.Deadly", "+regularizer.deadly.seconds=0.02"]
    process = start(tmp_path, *SWEEP, *deadly, "+regularizer.deadly.dies=true,false", "seed=range(3)")
    status, out, told = finish(process)
    assert status == 1
    assert statuses(study) == ["finished"] * 3, told
    assert "3 done, 0 failed, 3 left" in out
    assert len(set(re.findall(r"\S+seed\d: its worker was killed twice; left for the next call", told))) == 3
    assert "Traceback" not in out + told
    count(record_property, "workers killed", 6)
    count(record_property, "runs lost", 3 - statuses(study).count("finished"))


def test_two_processes_on_one_run_train_it_once_and_a_dead_ones_lock_is_taken_over(
    tmp_path: Path, record_property: Any
) -> None:
    arguments = ["trainer.max_epochs=3", PROBE, FOLDER]
    # The eighth batch is in the second epoch: TensorBoard's samples take one, the first epoch four.
    first = start_until(tmp_path, "training", 8, *arguments)
    second = start(tmp_path, *arguments)
    lines = iter(second.stderr or ())
    waiting = next(lines)
    assert re.fullmatch(rf"waiting for run: process {first.pid} on \S+ works on it\n", waiting)
    time.sleep(0.2)
    assert second.poll() is None
    first.kill()
    finish(first)
    status, _, told = finish(second)
    assert status == 0, told
    assert "run: resumes after epoch 1" in told
    count(record_property, "locks of dead processes taken over")
