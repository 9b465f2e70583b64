"""A tuned comparison whose processes are killed: the same command again, and no trial is lost, doubled or changed."""

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from regbench.storage.tuning import Tuning, read_tuning
from tests.faults.counts import count
from tests.faults.processes import finish, start_tune, wait

pytestmark = [pytest.mark.slow, pytest.mark.faults]

ASKED = [
    *("study=s", "regularizer=none,dropout", "trials=6", "finalists=2", "finalist_seeds=1", "seeds=2"),
    *("dataset=digits", "dataset.train_size=200", "trainer.max_epochs=4", "compile=false", "defaults_too=false"),
]
RUNS = 2 * (6 + 2 + 2)
KILLS = 10
# A run takes most of a second on the quickest machine, so that the moment of a kill falls into a run that is known.
SLOW = ["+regularizer.slow._target_=tests.faults.probe.Slow", "+regularizer.slow.seconds=0.03", "logger=none"]


def start(cwd: Path, jobs: int, *more: str) -> subprocess.Popen[str]:
    return start_tune(cwd, *ASKED, f"hydra.launcher.n_jobs={jobs}", *more)


def whole(cwd: Path) -> Tuning:
    found = read_tuning(cwd / "outputs/sweeps/s")
    assert found is not None
    return found


def workers(process: subprocess.Popen[str]) -> list[int]:
    """The processes that a search has started and that train."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    found = []
    for pid in map(int, children):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def finished(cwd: Path) -> list[Path]:
    found = [path for path in cwd.rglob("results.json") if json.loads(path.read_text())["status"] == "finished"]
    return [path for path in found if "report" not in path.parts]


def kill_again_and_again(folder: Path, jobs: int) -> None:
    """Start a search, kill a worker, then its parent, and again, at random moments between its first and last runs."""
    seed = int(os.environ.get("FAULTS_SEED", "0")) + jobs
    print(f"FAULTS_SEED={seed - jobs}")
    moments = random.Random(seed)
    for number in range(0, KILLS, 2):
        process = start(folder, jobs, *SLOW)
        for kill in (number, number + 1):
            done = 1 + kill * (RUNS - 6) // KILLS
            wait(lambda: len(finished(folder)) >= done and workers(process), process, seconds=300)  # noqa: B023
            time.sleep(moments.uniform(0, 0.5))
            os.kill(moments.choice(workers(process)) if kill == number else process.pid, signal.SIGKILL)
        finish(process, 600)  # with its orphans, which notice that it is gone


def test_a_search_that_is_killed_ten_times_ends_as_one_that_was_not(tmp_path: Path, record_property: Any) -> None:
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    status, _, told = finish(start(unbroken, 1, *SLOW), 600)
    assert status == 0, told
    kill_again_and_again(broken, 1)
    status, _, told = finish(start(broken, 1, *SLOW), 600)
    assert status == 0, told
    assert "Traceback" not in told
    assert whole(broken).model_dump() == whole(unbroken).model_dump()
    assert len(finished(broken)) == len(finished(unbroken)) == RUNS
    count(record_property, "processes of a search killed", KILLS)


def test_a_search_by_two_workers_that_is_killed_ten_times_loses_and_doubles_no_trial(
    tmp_path: Path, record_property: Any
) -> None:
    kill_again_and_again(tmp_path, 2)
    status, _, told = finish(start(tmp_path, 2, *SLOW), 600)
    assert status == 0, told
    settings = whole(tmp_path).settings
    assert [len(each.trials) for each in settings] == [6, 6]
    assert {trial.state for each in settings for trial in each.trials} == {"finished"}
    assert [len(each.finalists) for each in settings] == [2, 2]
    assert len(finished(tmp_path)) == RUNS
    count(record_property, "processes of a search killed", KILLS)


def test_two_commands_at_once_share_one_search(tmp_path: Path, record_property: Any) -> None:
    ended = [finish(process, 600) for process in [start(tmp_path, 1), start(tmp_path, 1)]]
    for status, out, told in ended:
        assert status == 0, told
        assert "Report: " in out
    assert [len(each.trials) for each in whole(tmp_path).settings] == [6, 6]
    assert len(finished(tmp_path)) == RUNS
    count(record_property, "commands that shared a search", 2)


def test_a_killed_worker_of_two_costs_no_trial(tmp_path: Path, record_property: Any) -> None:
    process = start(tmp_path, 2)
    wait(lambda: len(workers(process)) == 2 and len(finished(tmp_path)) >= 1, process, seconds=300)
    os.kill(workers(process)[0], signal.SIGKILL)
    status, _, told = finish(process, 600)
    assert status == 0, told
    assert "a worker was killed: another one takes up its run" in told
    assert [len(each.trials) for each in whole(tmp_path).settings] == [6, 6]
    assert len(finished(tmp_path)) == RUNS
    count(record_property, "processes of a search killed")


def test_a_stopped_search_records_its_runs_and_resumes(tmp_path: Path) -> None:
    process = start(tmp_path, 2)
    wait(lambda: len(finished(tmp_path)) >= 1, process, seconds=300)
    os.kill(process.pid, signal.SIGTERM)
    status, out, told = finish(process)
    assert status == 128 + signal.SIGTERM, told
    assert "stopped; the same command runs what is left" in out
    assert whole(tmp_path).budget == 6
    status, _, told = finish(start(tmp_path, 2), 600)
    assert status == 0, told
    assert len(finished(tmp_path)) == RUNS
