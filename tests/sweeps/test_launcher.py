"""The launcher of this machine: how many workers, on which devices, and what it refuses."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from regbench.sweeps import launcher
from regbench.sweeps.launcher import ResilientLauncher, visible_devices
from regbench.sweeps.pool import MORE, run_pool


def environments(monkeypatch: pytest.MonkeyPatch, runs: int, accelerator: str = "cpu", **options: int) -> list[Any]:
    """Return the environments of the workers that would be started."""
    found: list[Any] = []
    monkeypatch.setattr(launcher, "run_pool", lambda target, arguments, on_death, places: found.extend(places))
    started = ResilientLauncher(**options)
    started.config = OmegaConf.create({"trainer": {"accelerator": accelerator}})
    started.train_runs(Path("s"), [f"run{number}" for number in range(runs)])
    return found


def test_there_is_a_worker_a_core_and_never_more_than_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.effective_n_jobs", lambda jobs: 4)
    assert environments(monkeypatch, 10) == [{}] * 4
    assert environments(monkeypatch, 3) == [{}] * 3
    assert environments(monkeypatch, 10, n_jobs=6) == [{}] * 6


def test_runs_on_accelerators_are_spread_over_the_visible_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5")
    seen = [each["CUDA_VISIBLE_DEVICES"] for each in environments(monkeypatch, 10, "gpu")]
    assert seen == ["2", "5"]
    seen = [each["CUDA_VISIBLE_DEVICES"] for each in environments(monkeypatch, 10, "gpu", jobs_per_device=2)]
    assert seen == ["2", "5", "2", "5"]
    seen = [each["CUDA_VISIBLE_DEVICES"] for each in environments(monkeypatch, 10, "gpu", n_jobs=3)]
    assert seen == ["2", "5", "2"]
    assert environments(monkeypatch, 1, "cpu") == [{}]


def test_devices_are_counted_by_the_drivers_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_devices() == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf 'GPU 0: A (UUID: x)\\nGPU 1: A (UUID: y)\\n'\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert visible_devices() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_devices() == []


@pytest.mark.parametrize("options", [{"n_jobs": 0}, {"n_jobs": -2}, {"n_jobs": "2"}, {"jobs_per_device": 0}])
def test_numbers_that_make_no_sense_are_refused_in_one_line(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=rf"^hydra\.launcher\.{name}: expected an integer above 0[^\n]*$"):
        ResilientLauncher(**options)


@pytest.mark.parametrize("killed", [True, False], ids=["killed before they begin", "ended with errors"])
def test_workers_that_end_badly_three_times_in_a_row_end_the_sweep_also_after_accidents(
    killed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: list[bool] = []

    def pool(target: Any, arguments: Any, on_death: Any, places: Any) -> None:
        (*_, begun), *_ = arguments
        for is_accident in (True, False, False, True, False, False, False, False):
            if is_accident or not killed:
                begun.set()
            answers.append(on_death(0, killed or is_accident))

    monkeypatch.setattr(launcher, "run_pool", pool)
    started = ResilientLauncher(n_jobs=1)
    started.config = OmegaConf.create({"trainer": {"accelerator": "cpu"}})
    with pytest.raises(RuntimeError, match="the workers end with errors, or before they have begun"):
        started.train_runs(Path("s"), ["run"])
    assert answers == [True] * 6
    told = capsys.readouterr().err
    assert told.count("a worker was killed: another one") == (6 if killed else 2)
    assert told.count("a worker ended with an error: another one") == (0 if killed else 4)


def note(place: Path, name: str) -> None:
    """Leave a trace; end to make room once, and in order then."""
    began = place / f"{name} {len(list(place.iterdir()))} {os.environ['SEEN']} {os.environ['OMP_NUM_THREADS']}"
    began.touch()
    raise SystemExit(MORE if len(list(place.iterdir())) == 1 else 0)


def die(place: Path, how: int | str) -> None:
    """End by a signal or with an exit status, or with a message and 1."""
    if isinstance(how, int) and how < 0:
        os.kill(os.getpid(), -how)
    raise SystemExit(how)


def test_a_worker_that_makes_room_is_followed_by_another_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEEN", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run_pool(note, [(tmp_path, "first")], lambda number, killed: False, [{"SEEN": "here"}])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first 0 here 1", "first 1 here 1"]
    assert "SEEN" not in os.environ


@pytest.mark.parametrize(("how", "is_killed"), [(-9, True), (143, True), ("a message", False)])
def test_a_worker_that_dies_is_followed_by_another_until_it_is_enough(
    how: int | str, is_killed: bool, tmp_path: Path
) -> None:
    deaths = []

    def on_death(number: int, killed: bool) -> bool:
        deaths.append((number, killed))
        if len(deaths) == 3:
            raise RuntimeError("enough")
        return True

    with pytest.raises(RuntimeError, match="enough"):
        run_pool(die, [(tmp_path, how)], on_death)
    assert deaths == [(0, is_killed)] * 3
