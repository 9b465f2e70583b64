"""Ray's launcher without Ray: what it says where Ray or a value is missing or wrong, and who follows a worker."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regbench.search.plan import make_plan
from regbench.search.workers import make_launcher
from regbench.sweeps.launcher import Search
from regbench.sweeps.on_ray import RayLauncher
from regbench.sweeps.pool import MOST_RUNS
from tests.commands import Command
from tests.sweeps.ray_stand_in import LostError, Ray

SWEEP = ["-m", "dataset=digits", "trainer.max_epochs=1", "dataset.train_size=100", "study=s", "seed=range(2)"]
SWEEP += ["hydra/launcher=ray"]


def test_without_ray_one_line_says_what_to_install(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    ended = command("train.py", *SWEEP)
    assert ended.status == 1
    assert ended.err == (
        "error: hydra/launcher=ray: expected the package ray, which is not installed: pip install 'regbench[ray]'\n"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("cpus_per_run=0", "hydra.launcher.cpus_per_run: expected a finite number above 0; received 0"),
        ("gpus_per_run=-1", "hydra.launcher.gpus_per_run: expected a finite number of at least 0; received -1"),
        ("max_retries=some", "hydra.launcher.max_retries: expected an integer of at least -1; received 'some'"),
    ],
)
def test_a_wrong_value_is_told_in_one_line(given: str, message: str, command: Command) -> None:
    ended = command("train.py", *SWEEP, f"hydra.launcher.{given}")
    assert ended.status == 1
    assert ended.err == f"error: {message}\n"


class Searching:
    """A search of a number of runs, whose workers do what a test says at each call.

    Attributes:
        ray: The cluster, of one core.
        left: How many runs are left.
        taken: How many runs each worker was allowed to train.
    """

    def __init__(self, runs: int, does: Callable[["Searching", int], None]) -> None:
        self.ray = Ray(cores=1)
        self.left = runs
        self.taken: list[int | None] = []
        self._does = does

    def make(self) -> "Searching":
        self._does(self, len(self.ray.submitted))
        return self

    def work(self, most: int | None = None, *, wait: bool) -> bool:
        self.taken.append(most)
        self.left -= min(self.left, most or self.left)
        if self.left == 5:
            raise LostError("the worker died\nsee the logs")
        return wait and not self.left

    def counts(self) -> dict[str, int]:
        return {"left": self.left}


def nothing(*_: object) -> None:
    """Do nothing at a worker's start."""


def lose(*_: object) -> None:
    raise LostError("the node died")


def end(searching: Searching, _: int) -> None:
    searching.left = 0
    lose()


def refuse(*_: object) -> None:
    raise FileNotFoundError("no such folder")


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Searching], None]:
    """Search by Ray's launcher."""
    monkeypatch.chdir(tmp_path)
    asked = ["study=s", "regularizer=none", "trials=1", "dataset=digits", "compile=false", "hydra/launcher=ray"]
    Path("s").mkdir()

    def call(searching: Searching) -> None:
        monkeypatch.setattr("regbench.sweeps.on_ray._ray", lambda: searching.ray)
        monkeypatch.setattr(RayLauncher, "_connect", lambda self, ray: None)
        launcher = make_launcher(make_plan(asked).base)
        search = Search(Path("s"), searching.make, [], 2, searching.counts, lambda: not searching.left)
        launcher.search(search)
        assert list(Path("s").iterdir()) == []

    return call


def test_a_search_worker_that_has_trained_many_runs_is_followed_by_one_in_a_process_of_its_own(
    search: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    searching = Searching(2 * MOST_RUNS + 1, nothing)
    search(searching)
    assert searching.taken == [MOST_RUNS] * 3
    assert searching.ray.submitted == ["worker0"] * 3
    assert [(each["max_calls"], each["max_retries"]) for each in searching.ray.asked] == [(1, 0)]
    assert capsys.readouterr().out.endswith("0 left\n")


@pytest.mark.parametrize(
    ("runs", "does", "submitted", "told"),
    [
        (MOST_RUNS + 5, nothing, 2, ["was lost (the worker died); another one takes its place"]),
        (1, end, 1, ["was lost (the node died)"]),
        (1, refuse, 1, ["failed (FileNotFoundError: no such folder)"]),
        (
            1,
            lose,
            3,
            ["was lost (the node died); another one takes its place"] * 2
            + ["was lost (the node died); 3 times in a row before it had begun, so no other one takes its place"],
        ),
    ],
    ids=["begun", "done", "raised", "early"],
)
def test_a_lost_search_worker_is_followed_while_the_search_goes_on_but_not_without_end(
    runs: int,
    does: Callable[[Searching, int], None],
    submitted: int,
    told: list[str],
    search: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    searching = Searching(runs, does)
    search(searching)
    assert len(searching.ray.submitted) == submitted
    assert capsys.readouterr().err.splitlines() == [f"s: worker 0 {each}" for each in told]
