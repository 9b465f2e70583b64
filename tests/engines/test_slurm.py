"""Sweeps on a SLURM cluster of two nodes: preempted, killed, out of time, cancelled, interrupted, left alone."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engines.paced import set_pace
from tests.engines.sweeps import SEARCH, STUDY, both_held, grid, held_after_epochs, outcomes, statuses, tuned
from tests.faults.counts import count
from tests.faults.processes import finish, held, train, wait

Begin = Callable[..., subprocess.Popen[str]]

pytestmark = [pytest.mark.engines, pytest.mark.slow, pytest.mark.usefixtures("slurm")]

SLURM = ["hydra/launcher=slurm", "hydra.launcher.mem=null", "hydra.launcher.check_seconds=0.5"]


def call(*command: str) -> str:
    """Call a command of SLURM."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def jobs(study: Path) -> list[str]:
    return [path.read_text().strip() for path in sorted((study / "slurm").glob("*.job"))]


def logs(study: Path) -> str:
    return "\n".join(path.read_text() for path in sorted((study / "slurm").glob("*.log")))


def test_a_preempted_killed_timed_out_and_cancelled_sweep_ends_in_the_bits_of_an_unbroken_one(
    tmp_path: Path, begin: Begin, record_property: Any
) -> None:
    study = tmp_path / "broken" / STUDY
    runs = grid("none,batchnorm", seeds=4, epochs=12)
    # SLURM looks at its jobs' limits every 30 s, so a worker of one minute is stopped 10 to 40 s after its start.
    limits = ["hydra.launcher.workers=2", "hydra.launcher.time=1", "hydra.launcher.signal_seconds=20"]
    set_pace(tmp_path / "broken", 0.6)
    process = begin(tmp_path / "broken", *runs, *SLURM, *limits)
    wait(lambda: both_held(study), process)

    call("sbatch", "--partition=high", "--output=/dev/null", "--wrap=sleep 1")
    wait(lambda: "stopped by SIGTERM, requeued" in logs(study), process)
    os.kill(wait(lambda: held(study), process)[0], signal.SIGKILL)
    wait(lambda: "its worker was killed (exit status 137)" in logs(study), process)
    wait(lambda: "stopped by SIGUSR2, requeued" in logs(study), process)
    wait(lambda: held(study), process)
    (job,) = jobs(study)
    call("scancel", job)
    status, out, told = finish(process)
    assert status == 1, out + told
    assert re.search(rf"job {job} ended with \d runs left; \S+\.log ends in: ", out)
    assert "interrupted" in statuses(study)

    set_pace(tmp_path / "broken", 0)
    status, out, told = train(tmp_path / "broken", *runs, *SLURM)
    assert status == 0, out + told
    assert "8 done, 0 failed, 0 left" in out
    assert train(tmp_path / "whole", *runs, "hydra/launcher=basic")[0] == 0
    whole = outcomes(tmp_path / "whole" / STUDY)
    assert len(whole) == 8
    assert outcomes(study) == whole
    for what in ("workers preempted", "workers killed", "workers out of time", "arrays cancelled"):
        count(record_property, what)
    count(record_property, "runs lost", 0)


def test_ctrl_c_leaves_the_array_where_asked_and_the_same_command_waits_for_it_again(
    tmp_path: Path, begin: Begin
) -> None:
    study, arguments = tmp_path / STUDY, [*grid("none", seeds=2), *SLURM, "hydra.launcher.on_interrupt=leave"]
    set_pace(tmp_path, 0.4)
    process = begin(tmp_path, *arguments)
    wait(lambda: len(held(study)) == 2, process)
    os.killpg(process.pid, signal.SIGINT)
    status, out, told = finish(process)
    assert status == 130, out + told
    (job,) = jobs(study)
    assert f"job {job} goes on (hydra.launcher.on_interrupt=leave); watch: squeue -j {job}; " in out
    assert len(held(study)) == 2

    set_pace(tmp_path, 0)
    status, out, told = train(tmp_path, *arguments)
    assert status == 0, out + told
    assert f"{STUDY}: job {job} of an earlier call is at 2 runs" in out
    assert jobs(study) == [job]
    assert "2 done, 0 failed, 0 left" in out


def test_ctrl_c_cancels_the_array_where_asked_and_no_array_is_larger_than_the_cluster_allows(
    tmp_path: Path, begin: Begin
) -> None:
    study = tmp_path / STUDY
    set_pace(tmp_path, 0.4)
    process = begin(tmp_path, *grid("none", seeds=6), *SLURM, "hydra.launcher.workers=1000")
    wait(lambda: both_held(study), process)
    os.killpg(process.pid, signal.SIGINT)
    status, out, told = finish(process)
    assert status == 130, out + told
    (job,) = jobs(study)
    assert f"{STUDY}: job {job}, 4 workers for 6 runs" in out
    assert f"job {job} is cancelled (hydra.launcher.on_interrupt=cancel)" in out
    assert f"{STUDY}: 0 done, 0 failed, 6 left" in out
    assert statuses(study) == ["interrupted", "interrupted"]
    assert call("squeue", "--noheader") == ""


def test_a_command_that_does_not_wait_leaves_its_runs_to_workers_which_a_signal_at_their_start_does_not_end(
    tmp_path: Path,
) -> None:
    study, arguments = tmp_path / STUDY, [*grid("none", seeds=2, epochs=2), *SLURM, "hydra.launcher.wait=false"]
    status, out, told = train(tmp_path, *arguments)
    assert status == 1, out + told
    (job,) = jobs(study)
    assert f"the runs go on without this command (hydra.launcher.wait=false); watch: squeue -j {job}" in out
    assert f"{STUDY}: 0 done, 0 failed, 2 left" in out
    wait(lambda: call("squeue", "--noheader", "--steps", "--format=%i"))
    time.sleep(0.5)  # The worker is at its imports.
    call("scancel", "--signal=TERM", job)
    wait(lambda: "stopped by SIGTERM, requeued" in logs(study))
    wait(lambda: not call("squeue", "--noheader"))
    assert statuses(study) == ["finished", "finished"]
    status, out, told = train(tmp_path, *arguments)
    assert status == 0, out + told
    assert "2 done, 0 failed, 0 left" in out
    assert jobs(study) == [job]


def test_a_run_that_was_planned_with_a_compiler_fails_with_a_reason_where_there_is_none(tmp_path: Path) -> None:
    if not any(map(shutil.which, ("g++", "clang++", "c++"))):
        pytest.skip("needs a C++ compiler: apt-get install g++")
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("srun", "squeue", "find", "date", "hostname", "touch", "rm"):
        (bare / name).symlink_to(str(shutil.which(name)))
    hidden = f"hydra.launcher.setup=['export PATH={bare}; unset CXX']"
    long = ["-m", "study=s", "trainer.max_epochs=501", "compile=${compile_pays:}"]  # 2,004 steps
    status, out, told = train(tmp_path, *long, *SLURM, hidden)
    assert status == 1
    assert "0 done, 1 failed, 0 left" in out, out + told  # the folder is the planned one
    (results,) = (tmp_path / STUDY).rglob("results.json")
    assert json.loads(results.read_text())["error"] == (
        "compile: expected false, since no C++ compiler (g++ or clang++) is found; received true"
    )


def test_a_search_by_two_nodes_one_of_whose_workers_is_killed_ends_as_one_on_this_machine(
    unbroken: Path, tmp_path: Path, begin: Begin, record_property: Any
) -> None:
    study = tmp_path / STUDY
    process = begin(tmp_path, *SEARCH, *SLURM, "hydra.launcher.workers=2")
    os.kill(wait(lambda: held_after_epochs(study, 2), process)[0], signal.SIGKILL)
    status, out, told = finish(process)
    assert status == 0, out + told
    (job,) = jobs(study)
    assert f"{STUDY}: job {job}, 2 workers for the search; watch: squeue -j {job}" in out
    assert re.search(rf"^12 done, 0 failed, 0 left \| job {job}: ", out, re.MULTILINE)
    assert "its worker was killed (exit status 137)" in logs(study)
    assert "Report: " in out
    assert tuned(study) == tuned(unbroken)
    assert outcomes(study) == outcomes(unbroken)
    count(record_property, "workers killed")


def test_a_search_goes_on_without_its_command_and_the_same_one_reports_it(tmp_path: Path, begin: Begin) -> None:
    study, arguments = tmp_path / STUDY, [*SEARCH, *SLURM, "regularizer=none", "trials=1", "hydra.launcher.wait=false"]
    arguments = [each for each in arguments if each not in {"regularizer=none,dropout", "trials=3"}]
    status, out, told = finish(begin(tmp_path, *arguments))
    assert status == 1, out + told
    assert "the runs go on without this command (hydra.launcher.wait=false)" in out
    assert f"{STUDY}: runs are left; the same command goes on, and reports" in out
    wait(lambda: not call("squeue", "--noheader"))
    status, out, told = finish(begin(tmp_path, *arguments))
    assert status == 0, out + told
    assert "Report: " in out
    assert len(jobs(study)) == 1


def test_what_slurm_refuses_is_told_in_one_line_that_names_the_key(tmp_path: Path) -> None:
    status, _, told = train(tmp_path, *grid("none", seeds=1), *SLURM, "hydra.launcher.partition=nowhere")
    assert status == 1
    refused = r"error: hydra\.launcher\.partition=nowhere: sbatch: .*[Ii]nvalid partition.*"
    assert re.fullmatch(rf"{refused}; expected one of high, low\n", told)
