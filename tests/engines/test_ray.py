"""Sweeps on a Ray cluster of two nodes, one of which is lost, and on one that the command itself starts."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.conftest import free_ports
from tests.engines.paced import set_pace
from tests.engines.sweeps import SEARCH, STUDY, both_held, grid, held_after_epochs, outcomes, statuses, tuned
from tests.faults.counts import count
from tests.faults.processes import finish, held, train, wait

Begin = Callable[..., subprocess.Popen[str]]

pytestmark = [
    pytest.mark.engines,
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'regbench[ray]'"),
]

# Within how many milliseconds the head misses a node: by default, after some 15 seconds.
QUICK_TO_MISS = (
    '{"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}'
)


def session(leader: int) -> list[int]:
    """Return the living processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            state, _, _, member = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(member) == leader and state != "Z":
                found.append(int(folder.name))
    return found


def resumed_after(study: Path) -> list[int | None]:
    """Return after how many epochs each finished run was resumed."""
    return [json.loads(each.read_text())["provenance"]["resumed_after"] for each in study.rglob("results.json")]


def kill_session(leader: int) -> None:
    for process in session(leader):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


class Nodes:
    """A head and a second node of Ray, each of one core, on this machine."""

    def __init__(self, folder: Path) -> None:
        (port,) = free_ports(1)
        self.folder = folder
        self.address = f"127.0.0.1:{port}"
        self.nodes: list[subprocess.Popen[str]] = []
        self._port = port

    def begin(self) -> None:
        """Start both."""
        self._start("--head", "--include-dashboard=false", f"--system-config={QUICK_TO_MISS}", f"--port={self._port}")
        self._start(f"--address={self.address}")

    def _start(self, *arguments: str) -> None:
        said = self.folder / f"{len(self.nodes)}.txt"
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", *arguments]
        command += [f"--temp-dir={self.folder}"] if "--head" in arguments else []
        with said.open("w") as file:
            process = subprocess.Popen(
                [*command, "--disable-usage-stats"], stdout=file, stderr=file, text=True, start_new_session=True
            )
        self.nodes.append(process)
        wait(lambda: "Ray runtime started" in said.read_text(), process)

    def kill(self, number: int) -> None:
        kill_session(self.nodes[number].pid)
        self.nodes[number].wait()

    def end(self) -> None:
        for number in range(len(self.nodes)):
            self.kill(number)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give Ray a home folder of its own: a token that it keeps there decides whom later clusters let in."""
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    made = Nodes(Path(tempfile.mkdtemp(prefix="ray", dir="/tmp")))  # paths of Ray's sockets must be short
    try:
        made.begin()
        yield made
    finally:
        made.end()


def test_a_sweep_that_loses_a_node_ends_in_the_bits_of_an_unbroken_one(
    nodes: Nodes, tmp_path: Path, begin: Begin, record_property: Any
) -> None:
    study, runs = tmp_path / "broken" / STUDY, grid("none,batchnorm", seeds=3, epochs=12)
    set_pace(tmp_path / "broken", 0.4)
    process = begin(tmp_path / "broken", *runs, "hydra/launcher=ray", f"hydra.launcher.address={nodes.address}")
    wait(lambda: both_held(study), process)
    nodes.kill(1)
    wait(lambda: sum(Path(f"/proc/{worker}").exists() for worker in held(study)) == 1, process)
    set_pace(tmp_path / "broken", 0)
    status, out, told = finish(process)
    assert status == 0, out + told
    assert "6 done, 0 failed, 0 left" in out
    assert any(resumed_after(study))
    assert train(tmp_path / "whole", *runs, "hydra/launcher=basic")[0] == 0
    whole = outcomes(tmp_path / "whole" / STUDY)
    assert len(whole) == 6
    assert outcomes(study) == whole
    count(record_property, "nodes of Ray lost")
    count(record_property, "runs lost", 0)


def test_on_this_machine_a_killed_worker_costs_no_run_and_a_diverged_run_is_not_tried_again(
    tmp_path: Path, begin: Begin
) -> None:
    study, runs = (
        tmp_path / STUDY,
        [*grid("none", seeds=2), "model=lenet5_relu", "optimizer=sgd", "optimizer.lr=0.01,1e30"],
    )
    set_pace(tmp_path, 0.4)
    process = begin(tmp_path, *runs, "hydra/launcher=ray")
    os.kill(wait(lambda: held_after_epochs(study), process)[0], signal.SIGKILL)
    set_pace(tmp_path, 0)
    status, out, told = finish(process)
    assert status == 1, out + told
    assert "2 done, 2 failed, 0 left" in out
    assert (out + told).count(" failed: ") == 2


def test_a_search_by_rays_workers_ends_as_one_without_ray(
    unbroken: Path, tmp_path: Path, begin: Begin, record_property: Any
) -> None:
    study = tmp_path / STUDY
    process = begin(tmp_path, *SEARCH, "hydra/launcher=ray")
    os.kill(wait(lambda: held_after_epochs(study), process)[0], signal.SIGKILL)
    status, out, told = finish(process)
    assert status == 0, out + told
    assert "12 done, 0 failed, 0 left" in out
    assert re.search(rf"{STUDY}: worker \d was lost \(.+\); another one takes its place", told)
    assert tuned(study) == tuned(unbroken)
    assert outcomes(study) == outcomes(unbroken)
    count(record_property, "workers of Ray killed")


def test_ctrl_c_records_the_runs_that_are_under_way(tmp_path: Path, begin: Begin) -> None:
    study, arguments = tmp_path / STUDY, [*grid("none", seeds=3), "hydra/launcher=ray"]
    set_pace(tmp_path, 0.4)
    process = begin(tmp_path, *arguments)
    wait(lambda: both_held(study), process)
    os.kill(process.pid, signal.SIGINT)
    status, out, told = finish(process)
    assert status == 130, out + told
    assert statuses(study) == ["interrupted", "interrupted"]
    assert "0 done, 0 failed, 3 left" in out


def test_a_cluster_that_does_not_answer_is_told_in_one_line(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    arguments = [*grid("none", seeds=1), "hydra/launcher=ray", f"hydra.launcher.address=127.0.0.1:{port}"]
    status, _, told = train(tmp_path, *arguments)
    assert status == 1
    assert f"error: hydra.launcher.address=127.0.0.1:{port}: no Ray cluster answers there" in told.splitlines()[-1]
