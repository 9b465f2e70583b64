"""SLURM's launcher without a cluster: SLURM's commands are stand-ins that do what they are told."""

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from regbench.config.composing import CONFIGS
from regbench.search.plan import make_plan
from regbench.search.workers import make_launcher
from regbench.sweeps.launcher import Search
from regbench.sweeps.slurm_script import script
from tests.commands import ROOT, Command, Ended
from tests.faults.processes import wait

Sweep = Callable[..., Ended]

SWEEP = ["-m", "dataset=digits", "trainer.max_epochs=1", "dataset.train_size=100", "study=s"]
SWEEP += ["hydra/launcher=slurm", "hydra.launcher.check_seconds=0.01"]

STAND_IN = """\
#!/bin/bash
name=$(basename "$0")
echo "$name $*" >>calls
[ ! -e "$name.does" ] || . ./"$name.does"
"""


class Cluster:
    """SLURM's commands, which do nothing but what a test tells them to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        for name in ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "srun"):
            (bin_folder / name).write_text(STAND_IN)
            (bin_folder / name).chmod(0o755)
        self.let("sbatch", "echo 7")

    def let(self, command: str, *lines: str) -> None:
        """Let a command do what some lines of shell say."""
        (self.folder / f"{command}.does").write_text("\n".join([*lines, ""]))

    def calls(self, command: str) -> list[str]:
        """Return the arguments of each call of a command."""
        noted = self.folder / "calls"
        lines = noted.read_text().splitlines() if noted.exists() else []
        return [line.removeprefix(f"{command} ") for line in lines if line.startswith(f"{command} ")]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def sweep(command: Command, cluster: Cluster) -> Sweep:
    """Call train.py with SLURM's launcher, for three runs unless a test says otherwise."""

    def call(*given: str) -> Ended:
        seeds = [] if any(each.startswith("seed=") for each in given) else ["seed=range(3)"]
        return command("train.py", *SWEEP, *seeds, *given)

    return call


def test_one_array_is_submitted_with_what_is_asked_for(sweep: Sweep, cluster: Cluster) -> None:
    ended = sweep(
        "hydra.launcher.workers=2", "hydra.launcher.partition=low", "hydra.launcher.time=4:00:00",
        "hydra.launcher.gpus=1", "hydra.launcher.options=['--account mine','--exclusive']",
    )  # fmt: skip
    (asked,) = cluster.calls("sbatch")
    (batch,) = Path("outputs/sweeps/s/slurm").glob("*.sh")
    assert asked.split() == [
        "--parsable", "--job-name=regbench-s", "--array=0-1", "--nodes=1", "--ntasks=1", "--partition=low",
        "--time=4:00:00", "--cpus-per-task=1", "--mem=4G", "--gres=gpu:1", f"--chdir={Path.cwd()}",
        "--output=outputs/sweeps/s/slurm/%A_%a.log", "--open-mode=append", "--requeue", "--signal=B:USR2@60",
        "--account", "mine", "--exclusive", str(batch),
    ]  # fmt: skip
    listed = batch.with_suffix(".runs").read_text().splitlines()
    assert [re.sub(r"-[0-9a-f]{6}/", "-HASH/", line) for line in listed] == [
        f"digits-lenet5/none-HASH/seed{seed}" for seed in range(3)
    ]
    assert "outputs/sweeps/s: job 7, 2 workers for 3 runs; watch: squeue -j 7; cancel: scancel 7" in ended.out
    assert "logs: outputs/sweeps/s/slurm/7_*.log" in ended.out
    assert ended.status == 1  # The stand-in ran nothing.


def test_the_array_has_no_more_tasks_than_runs_or_than_the_cluster_allows(sweep: Sweep, cluster: Cluster) -> None:
    sweep()
    cluster.let("scontrol", 'echo "MaxArraySize            = 2"')
    sweep("seed=range(3,9)")
    assert [re.findall(r"--array=\S+", asked) for asked in cluster.calls("sbatch")] == [
        ["--array=0-2"],
        ["--array=0-1"],
    ]


def test_runs_that_an_array_is_at_are_not_submitted_again(sweep: Sweep, cluster: Cluster) -> None:
    assert sweep("hydra.launcher.wait=false").status == 1
    cluster.let("sbatch", "echo 8")
    cluster.let("squeue", "echo 7 RUNNING None", "echo 9 PENDING Priority")
    ended = sweep("seed=range(5)", "hydra.launcher.wait=false")
    assert "outputs/sweeps/s: job 7 of an earlier call is at 3 runs" in ended.out
    assert "outputs/sweeps/s: job 8, 2 workers for 2 runs" in ended.out
    assert "watch: squeue -j 7,8; cancel: scancel 7 8" in ended.out
    ended = sweep("hydra.launcher.wait=false")
    assert len(cluster.calls("sbatch")) == 2


def test_a_waiting_command_shows_the_tasks_and_the_log_of_an_array_that_got_nowhere(
    sweep: Sweep, cluster: Cluster
) -> None:
    cluster.let("sbatch", "echo 7", "printf 'module: command not found\nsrun: error\n' >outputs/sweeps/s/slurm/7_0.log")
    cluster.let(
        "squeue",
        "case $(grep -c squeue calls) in",
        "1) echo 7 PENDING Priority; echo 7 RUNNING None;;",
        "2) echo 'squeue: error: Unable to contact slurm controller' >&2; exit 1;;",
        "esac",
    )
    ended = sweep()
    assert ended.out.splitlines()[3:6] == [
        "0 done, 0 failed, 3 left | job 7: 1 running, 1 pending (Priority)",
        "squeue: Unable to contact slurm controller; asked again",
        "job 7 ended with 3 runs left; outputs/sweeps/s/slurm/7_0.log ends in: module: command not found",
    ]


def search_of(counts: Sequence[dict[str, int]]) -> None:
    """Search by SLURM's launcher; how far the search is, is as given at each look."""
    asked = ["study=s", "regularizer=none", "trials=1", "dataset=digits", "compile=false", *SWEEP[-2:]]
    looks = iter(counts)
    make_launcher(make_plan(asked).base).search(
        Search(Path("s"), NotImplemented, ["tune"], 1, lambda: next(looks), lambda: not counts)
    )


def test_the_last_line_of_a_waiting_command_says_how_far_the_array_came(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.let("squeue", "[ $(grep -c squeue calls) -gt 1 ] || echo 7 RUNNING None")
    search_of([{"done": 0, "left": 2}, {"done": 2, "left": 0}])
    assert capsys.readouterr().out.splitlines()[2:] == [
        "0 done, 2 left | job 7: 1 running",
        "2 done, 0 left | job 7: ended",
    ]


def test_for_a_finished_search_slurm_is_asked_nothing(cluster: Cluster) -> None:
    cluster.let("squeue", "exit 1")
    search_of([])
    Path("s/slurm").mkdir(parents=True)
    Path("s/slurm/1.job").write_text("7\n")
    search_of([])
    assert not Path("calls").exists()


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ("Batch job submission failed: Invalid partition name specified", "partition=null"),
        ("Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)", "time=2"),
        ("Batch job submission failed: Memory required by task is not available", "mem=4G"),
        ("Batch job submission failed: Invalid generic resource (gres) specification", "gpus=0"),
        ("unrecognized option '--acount=x'", "options=['--acount=x']"),
    ],
)
def test_what_sbatch_refuses_is_told_in_one_line_that_names_the_key(
    said: str, key: str, sweep: Sweep, cluster: Cluster
) -> None:
    cluster.let("sbatch", f'echo "sbatch: error: {said}" >&2', "exit 1")
    ended = sweep("hydra.launcher.time=2", "hydra.launcher.options=['--acount=x']")
    assert ended.status == 1
    assert ended.err == f"error: hydra.launcher.{key}: sbatch: {said}\n"


def test_without_slurm_one_line_says_what_is_missing(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    ended = command("train.py", *SWEEP)
    assert ended.status == 1
    assert re.fullmatch(
        r"error: hydra/launcher=slurm: expected SLURM's commands, but \w+ is not on the PATH; .*\n", ended.err
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("workers=0", "hydra.launcher.workers: expected an integer of at least 1; received 0"),
        ("on_interrupt=ask", "hydra.launcher.on_interrupt: expected 'cancel' or 'leave'; received 'ask'"),
        ("options=['--array=0-9']", "received '--array=0-9', which the launcher gives itself"),
        (
            "options=[mine]",
            "hydra.launcher.options: expected options of sbatch such as --account=NAME; received 'mine'",
        ),
        (
            "foo=1",
            "hydra.launcher.foo: no such key; expected one of check_seconds, cpus_per_task, gpus, mem",
        ),
        ("time=1:00", "which is 60 s"),
        ("time=14400", "expected at most 1,440 minutes as a bare number, or a time in quotes"),
        ("time=0-0:1:20", "which is 80 s"),
        ("time=0:01:10", "which is 70 s"),
    ],
)
def test_a_wrong_value_is_told_in_one_line_before_anything_is_submitted(
    given: str, message: str, sweep: Sweep, cluster: Cluster
) -> None:
    ended = sweep(f"{'+' if given.startswith('foo') else ''}hydra.launcher.{given}")
    assert ended.status == 1
    assert re.fullmatch(rf"error: .*{re.escape(message)}.*\n", ended.err), ended.err
    assert cluster.calls("sbatch") == []


def test_a_jobs_own_variables_do_not_reach_the_job_that_it_submits(
    sweep: Sweep, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SLURM_JOB_ID": "3", "SLURM_MEM_PER_CPU": "100", "SLURM_CONF": "here"}.items():
        monkeypatch.setenv(name, value)
    cluster.let("sbatch", "env | grep ^SLURM_ >seen", "echo 7")
    sweep()
    assert Path("seen").read_text() == "SLURM_CONF=here\n"


WORK = ["work", "a study", "--runs", "a study/slurm/1.runs", "$HOME; it's"]


class Batch:
    """The batch script of one task, as SLURM starts it."""

    def __init__(self, setup: Sequence[str] = ()) -> None:
        Path("a study/slurm").mkdir(parents=True, exist_ok=True)
        Path("task.sh").write_text(script(Path("a study"), WORK, setup, "sbatch …"))
        task = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0", "SLURM_CPUS_PER_TASK": "1"}
        self.process = subprocess.Popen(
            ["bash", "task.sh"], env=os.environ | task, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def end(self) -> tuple[int, str]:
        """Return the exit status and what is in the log."""
        out, err = self.process.communicate(timeout=60)
        assert err == ""
        return self.process.returncode, out


WORKS = ["trap 'touch told; exit 143' TERM", "echo $$ >worker", "while true; do sleep 0.01; done"]
TELLS = 'kill -TERM "$(cat worker)"'


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETING"])
def test_a_stopped_task_is_requeued_unless_it_is_cancelled(state: str, cluster: Cluster) -> None:
    cluster.let("srun", *WORKS)
    cluster.let("scancel", TELLS)
    cluster.let("squeue", f"echo {state}")
    batch = Batch()
    wait(Path("worker").exists, batch.process)
    batch.process.terminate()
    status, log = batch.end()
    assert Path("told").exists()
    assert set(cluster.calls("scancel")) == {"--signal=TERM 7_0"}
    if state == "RUNNING":
        assert (status, cluster.calls("scontrol")) == (0, ["requeue 7_0"])
        assert "7_0: stopped by SIGTERM, requeued" in log
    else:
        assert (status, cluster.calls("scontrol")) == (143, [])
        assert "7_0: stopped by SIGTERM, COMPLETING" in log
        assert not list(Path("a study/slurm").glob(".*"))
    assert cluster.calls("squeue") == ["--noheader --jobs=7_0 --format=%T"]


def test_a_task_is_requeued_where_the_worker_alone_was_told_to_stop(cluster: Cluster) -> None:
    cluster.let("srun", "exit 143")
    cluster.let("squeue", "echo RUNNING")
    assert Batch().end()[0] == 0
    assert cluster.calls("scontrol") == ["requeue 7_0"]


def test_a_task_that_is_stopped_before_its_worker_starts_none(cluster: Cluster) -> None:
    cluster.let("squeue", "echo RUNNING")
    assert Batch(setup=["kill -TERM $$"]).end()[0] == 0
    assert cluster.calls("srun") == []
    assert cluster.calls("scontrol") == ["requeue 7_0"]


def test_a_task_whose_time_is_over_is_requeued_unless_no_epoch_ends_three_times_in_a_row(cluster: Cluster) -> None:
    cluster.let("squeue", "echo RUNNING")
    kill = "kill -USR2 $PPID; sleep 0.1; exit 143"
    cluster.let("srun", kill)
    assert [Batch().end()[0] for _ in range(2)] == [0, 0]
    cluster.let("srun", "sleep 0.01; touch 'a study/last.ckpt'", kill)
    assert Batch().end()[0] == 0
    cluster.let("srun", "touch -d yesterday 'a study/last.ckpt'", kill)
    assert [Batch().end()[0] for _ in range(2)] == [0, 0]
    status, log = Batch().end()
    assert status == 143
    assert "7_0: three times in a row its time was over before an epoch was; raise hydra.launcher.time" in log
    assert cluster.calls("scontrol") == ["requeue 7_0"] * 5


def test_a_killed_worker_is_followed_by_another_one_but_not_for_ever(cluster: Cluster) -> None:
    cluster.let("srun", "[ $(grep -c srun calls) -gt 1 ] || exit 137")
    status, log = Batch().end()
    assert status == 0
    assert len(cluster.calls("srun")) == 2
    assert "7_0: its worker was killed (exit status 137)" in log
    cluster.let("srun", "exit 139")
    assert Batch().end()[0] == 139
    assert len(cluster.calls("srun")) == 12
    assert cluster.calls("scontrol") == []


def test_the_script_gives_the_worker_the_callers_interpreter_and_quotes_what_the_shell_would_read(
    cluster: Cluster,
) -> None:
    assert Batch().end()[0] == 0
    (given,) = cluster.calls("srun")
    assert given.endswith(f"/python -P -m regbench {' '.join(WORK)}")


@pytest.mark.parametrize("launcher", ["slurm", "ray"])
def test_the_page_on_scaling_shows_the_launchers_keys(launcher: str) -> None:
    shown = (CONFIGS / f"hydra/launcher/{launcher}.yaml").read_text()
    assert f"```yaml\n{shown}```" in (ROOT / "docs/scaling.md").read_text()
