"""A search's workers: on whatever launcher, and what becomes of a job that a worker cannot do."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regbench.config.identity import run_name
from regbench.search import worker
from regbench.search.command import save, tune
from regbench.search.plan import Plan, make_plan
from regbench.search.schedule import Schedule
from regbench.search.worker import SearchWorker
from regbench.search.workers import make_launcher, worker_arguments
from regbench.storage.lock import HOLDER, LockError
from regbench.sweeps.launcher import Search, Works
from regbench.sweeps.on_ray import RayLauncher
from regbench.sweeps.slurm import SlurmLauncher
from regbench.sweeps.work import work_alone
from tests.search.synthetic import QUICK, Trainer, planted
from tests.sweeps.ray_stand_in import Ray

ASKED = [*QUICK, "regularizer=none,dropout", "trials=3", "finalists=1", "finalist_seeds=1", "seeds=1"]


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Plan]:
    def plan_with(trainer: Any) -> Plan:
        monkeypatch.setattr(worker, "run", trainer)
        plan = make_plan(ASKED)
        save(plan, Schedule(plan), "regbench tune")
        return plan

    return plan_with


def test_the_launcher_is_the_one_that_a_sweep_would_have() -> None:
    def launcher(*arguments: str) -> Any:
        return make_launcher(make_plan([*ASKED, *arguments]).base)

    assert launcher("hydra.launcher.n_jobs=3").n_jobs == 3
    assert launcher("hydra/launcher=basic").n_jobs == 1
    slurm = launcher("hydra/launcher=slurm", "hydra.launcher.workers=5")
    assert isinstance(slurm, SlurmLauncher)
    assert (slurm.options.workers, slurm.options.cpus_per_task) == (5, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hydra/launcher=together"], "hydra/launcher: expected resilient, slurm, ray or basic for regbench tune"),
        (["hydra/launcher=slurm", "hydra.launcher.workers=0"], r"^hydra\.launcher\.workers: "),
        (["hydra.launcher._target_=builtins.print"], r"^hydra\.launcher\._target_: expected a subclass of Launcher, "),
        (["+hydra.launcher.n_job=2"], r"^hydra\.launcher\.n_job: no such key"),
        (["hydra.launcher.n_jobs=0"], r"hydra\.launcher\.n_jobs: expected an integer above 0, or -1 for all cores"),
    ],
)
def test_a_launcher_that_cannot_search_is_refused_before_anything_is_written(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        tune([*ASKED, *arguments])
    assert list(tmp_path.iterdir()) == []


def test_workers_share_a_gpu_or_have_their_own_as_in_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    seen: list[Any] = []
    monkeypatch.setattr("regbench.sweeps.launcher.run_pool", lambda *arguments: seen.extend(arguments[3]))
    plan = make_plan([*ASKED, "trainer.accelerator=gpu", "hydra.launcher.jobs_per_device=2"])
    search = Search(plan.folder, lambda: SearchWorker(plan), [], 3, dict, lambda: False)
    make_launcher(plan.base).search(search)
    assert [each["CUDA_VISIBLE_DEVICES"] for each in seen] == ["4", "5", "4"]


def test_a_worker_elsewhere_makes_the_same_runs_whether_it_finds_a_compiler_or_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = [each for each in ASKED if not each.startswith("compile=")] + ["trainer.max_epochs=900"]
    asked.remove("trainer.max_epochs=4")
    compilers = "regbench.config.resolvers.has_compiler"
    folders = []
    for here, there in ((True, False), (False, True)):
        monkeypatch.setattr(compilers, lambda found=here: found)
        plan = make_plan(asked)
        tune_it, begin, *arguments = worker_arguments(plan, asked)
        assert (tune_it, begin) == ("tune", "--worker")
        monkeypatch.setattr(compilers, lambda found=there: found)
        others = make_plan(arguments)
        for ours, theirs in zip(plan.settings, others.settings, strict=True):
            assert run_name(theirs.confirming_config({}, 0)) == run_name(ours.confirming_config({}, 0))
        folders.append(run_name(plan.settings[0].confirming_config({}, 0)))
    assert folders[0] != folders[1]
    assert worker_arguments(plan, [*asked, "++compile=false"])[-1] == "++compile=false"


def test_rays_workers_get_the_plan_itself(monkeypatch: pytest.MonkeyPatch, planned: Callable[[Any], Plan]) -> None:
    made: list[Works] = []
    ray = Ray(cores=3)
    monkeypatch.setattr("regbench.sweeps.on_ray._ray", lambda: ray)
    monkeypatch.setattr(RayLauncher, "_connect", lambda self, ray: None)
    plan = planned(trainer := Trainer(planted))
    launcher = make_launcher(make_plan([*ASKED, "hydra/launcher=ray"]).base)
    schedule = Schedule(plan)
    counts: dict[str, int] = {"done": 0}

    def make() -> Works:
        made.append(SearchWorker(plan))
        return made[-1]

    launcher.search(Search(plan.folder, make, [], 2, lambda: counts, schedule.is_done))
    assert len(made) == 2  # no more than can have something to do
    assert schedule.is_done()
    assert set(trainer.trained.values()) == {1}


def test_who_is_asked_to_work_on_a_search_tells_how_to(planned: Callable[[Any], Plan]) -> None:
    plan = planned(Trainer(planted))
    with pytest.raises(ValueError, match=r"s: expected a planned sweep, received a search; one more worker of it is: "):
        work_alone(plan.folder)


def test_a_job_that_has_killed_two_workers_is_left_and_tried_by_the_next_call(
    planned: Callable[[Any], Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned(trainer := Trainer(planted))
    schedule = Schedule(plan)
    job = schedule.next_job()
    assert job is not None
    job.folder.mkdir(parents=True)
    (job.folder / HOLDER).write_text("process 1 on elsewhere\ndeaths 1\n")
    os.utime(job.folder / HOLDER, (0, 0))
    job.claim.release()
    searching = SearchWorker(plan)
    assert searching.work(wait=True)
    assert f"{job.title}: its worker was killed twice; left for the next call" in capsys.readouterr().err
    assert (searching.leaves_runs(), schedule.left()) == (True, [job.name])
    assert job.folder not in trainer.trained
    schedule.forget_left()
    assert SearchWorker(plan).work(wait=True)
    assert trainer.trained[job.folder] == 1
    assert schedule.left() == []


def test_a_job_that_ends_with_an_error_wherever_it_comes_from_is_left_and_tried_by_the_next_call(
    planned: Callable[[Any], Plan], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned(Trainer(planted))
    with monkeypatch.context() as patch:

        def fail(*arguments: Any) -> None:
            raise PermissionError("no space for the score")

        patch.setattr(worker, "_tell", fail)
        searching = SearchWorker(plan)
        assert searching.work(wait=True)
        assert searching.leaves_runs()
    assert "none, trial 1 of 3 failed: " in (told := capsys.readouterr().err)
    assert "no space for the score" in told
    Schedule(plan).forget_left()
    assert SearchWorker(plan).work(wait=True)
    assert (Schedule(plan).left(), Schedule(plan).is_done()) == ([], True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [*ASKED, "study=another"],
            r"^outputs/sweeps/another: expected a search, whose worker this would be; received",
        ),
        ([*ASKED, "trials=9"], r"^trials: expected 3 of a worker, as the search has; received 9$"),
        ([*ASKED, "seeds=2"], r"^seeds: expected 1 of a worker, as the search has; received 2$"),
        ([*ASKED, "regularizer=l1"], r"^regularizer: expected the search's settings, dropout, none; received l1; give"),
        ([*ASKED, "bogus=1"], r"^bogus: no such key"),
    ],
)
def test_a_worker_begins_no_search_and_adds_to_none(
    arguments: list[str], message: str, planned: Callable[[Any], Plan]
) -> None:
    plan = planned(Trainer(planted))
    keys = {each.partition("=")[0] for each in arguments[len(ASKED) :]}
    asked = [each for each in ASKED if each.partition("=")[0] not in keys]
    before = sorted(plan.folder.parent.rglob("*"))
    with pytest.raises(ValueError, match=message):
        tune(["--worker", *asked, *arguments[len(ASKED) :]])
    assert sorted(plan.folder.parent.rglob("*")) == before


def test_a_job_whose_holder_on_another_machine_was_just_heard_of_is_tried_later(
    planned: Callable[[Any], Plan], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("regbench.search.worker.time.sleep", waited.append)
    train = Trainer(planted)

    def distrust_once(folder: Path, *arguments: Any, **options: Any) -> None:
        if not waited:
            raise LockError(f"{folder}: its lock is free, but process 1 on elsewhere was heard of 2 s ago")
        train(folder, *arguments, **options)

    plan = planned(distrust_once)
    assert SearchWorker(plan).work(wait=True)
    assert waited == [20.0]
    assert "was heard of 2 s ago" in capsys.readouterr().err
    assert Schedule(plan).left() == []
    assert set(train.trained.values()) == {1}
