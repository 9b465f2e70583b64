"""What makes a tuned comparison fair, and that it goes on where it was stopped: each promise a test; nothing trains."""

import ast
import functools
import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

import regbench.search
from regbench.runs.spec import RunSpec
from regbench.search import worker
from regbench.search.plan import FIRST_SEARCH_SEED, make_plan
from regbench.search.records import setting_record
from regbench.search.schedule import Schedule
from regbench.search.states import TunedReader
from regbench.storage.study_folder import find_runs, read_plan
from regbench.storage.tuning import Range, Tuning, read_tuning
from regbench.training.history import DivergedError
from tests.search.synthetic import OPTIMUM, QUICK, Config, Trainer, planted, search

SMALL = ["regularizer=none,dropout", "trials=6", "finalists=2", "finalist_seeds=2", "seeds=3"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def of_kind(trainer: Trainer, kind: str) -> list[Config]:
    """The configurations of the runs below one folder of the search; those that confirm for an empty kind."""
    found = []
    for folder, config in trainer.configs.items():
        below = folder.relative_to("outputs/sweeps/s").parts
        if (below[1] if below[0] == "search" else "") == kind:
            found.append(config)
    return found


@pytest.fixture(scope="module")
def found_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trainer, Tuning]:
    """A search that several tests look at, and its working folder."""
    trainer, folder = Trainer(planted), tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _, tuning = search(patch, trainer, *SMALL)
    return folder, trainer, tuning


@pytest.fixture
def searched(found_once: tuple[Path, Trainer, Tuning], monkeypatch: pytest.MonkeyPatch) -> tuple[Trainer, Tuning]:
    """What that search trained and recorded, seen from its folder."""
    folder, trainer, tuning = found_once
    monkeypatch.chdir(folder)
    return trainer, tuning


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Tuning]:
    """What is recorded of a search that nothing stopped, by its sampler."""

    @functools.cache
    def ended(sampler: str) -> Tuning:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path_factory.mktemp(sampler))
            return search(patch, Trainer(planted), *SMALL, f"sampler={sampler}")[1]

    return ended


def test_every_setting_has_the_same_trials_finalists_and_confirming_runs(searched: tuple[Trainer, Tuning]) -> None:
    trainer, tuning = searched
    assert [each.setting for each in tuning.settings] == ["none", "dropout"]
    assert [len(each.trials) for each in tuning.settings] == [6, 6]
    assert [[len(finalist.scores) for finalist in each.finalists] for each in tuning.settings] == [[2, 2], [2, 2]]
    for kind, expected in (("trials", 6 + 4), ("", 3), ("defaults", 3)):
        for setting in ("none", "dropout"):
            runs = [
                each for each in of_kind(trainer, kind) if ("dropout" in each["regularizer"]) == (setting != "none")
            ]
            assert len(runs) == expected, (kind, setting)


def test_every_run_has_the_same_epochs_at_most_and_what_was_spent_is_counted(searched: tuple[Trainer, Tuning]) -> None:
    trainer, tuning = searched
    assert {each["trainer"]["max_epochs"] for each in trainer.configs.values()} == {4}
    assert [each.epochs for each in tuning.settings] == [4 * (6 + 4)] * 2


def test_no_seed_and_no_split_of_the_search_is_one_that_confirms(searched: tuple[Trainer, Tuning]) -> None:
    trainer, _ = searched
    for name in ("seed", "split_seed"):
        search_side, confirming = (
            {getattr(RunSpec(each), name) for each in found}
            for found in (of_kind(trainer, "trials"), of_kind(trainer, "") + of_kind(trainer, "defaults"))
        )
        assert search_side == {FIRST_SEARCH_SEED, FIRST_SEARCH_SEED + 1, FIRST_SEARCH_SEED + 2}
        assert confirming == {0, 1, 2}


def test_a_split_that_is_given_is_the_confirmations_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(planted)
    search(monkeypatch, trainer, "trials=2", "seeds=2", "dataset.split_seed=5")
    assert {RunSpec(each).split_seed for each in of_kind(trainer, "") + of_kind(trainer, "defaults")} == {5}
    assert min(RunSpec(each).split_seed for each in of_kind(trainer, "trials")) == FIRST_SEARCH_SEED


def test_poisoned_test_scores_change_no_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = []
    for name, test in (("honest", planted), ("poisoned", lambda config: 1.0 - planted(config))):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        search(monkeypatch, Trainer(planted, test), *SMALL)
        found.append((tmp_path / name / "outputs/sweeps/s/search/tuning.json").read_text())
    assert found[0] == found[1]


def test_no_code_of_the_search_names_a_test_score() -> None:
    folder = Path(regbench.search.__file__).parent
    names = {"test/acc", "test/loss", "test/ece", "gap", "test"}
    files = [path for path in folder.glob("*.py") if path.name != "command.py"]  # which ends in the report
    assert len(files) > 8
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not names & texts, path
        metrics = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "metrics"]
        assert bool(metrics) == (path.name == "scores.py"), path


@pytest.mark.parametrize("sampler", ["tpe", "quasi_random"])
def test_a_planted_optimum_is_found(sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, tuning = search(
        monkeypatch, Trainer(planted), "trials=20", "seeds=1", f"sampler={sampler}", "defaults_too=false"
    )
    (record,) = tuning.settings
    assert record.chosen is not None
    assert float(record.chosen.values["optimizer.lr"]) == pytest.approx(OPTIMUM, rel=0.25)
    assert record.chosen.number == max(record.trials, key=lambda each: each.score or 0).number


def test_the_luckiest_trial_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def lucky(config: Config) -> float:
        rate = float(config["optimizer"]["lr"])
        is_trial = config["seed"] == FIRST_SEARCH_SEED
        return 0.99 if is_trial and rate < 2e-4 else planted(config)

    _, tuning = search(monkeypatch, Trainer(lucky), "trials=12", "seeds=1", "sampler=quasi_random", "finalists=4")
    (record,) = tuning.settings
    luckiest = max(record.trials, key=lambda each: each.score or 0)
    assert luckiest.score == 0.99
    assert record.finalists[0].trial == luckiest.number
    assert record.chosen is not None
    assert record.chosen.score != 0.99


def test_the_study_holds_the_confirming_runs_alone(searched: tuple[Trainer, Tuning]) -> None:
    folder = Path("outputs/sweeps/s")
    runs, sweeps = find_runs(folder)
    assert len(runs) == 6
    assert [run.relative_to(folder).as_posix() for run in runs] == sorted(read_plan(sweeps[0]).runs)
    assert len(find_runs(Path("outputs"))[0]) == 6
    assert len(find_runs(folder / "search/trials")[0]) == 20
    assert len(find_runs(folder / "search/defaults")[0]) == 6


def without_place(tuning: Tuning) -> Any:
    return json.loads(tuning.model_dump_json())


@pytest.mark.parametrize(
    ("stops", "sampler"), [(1, "tpe"), (7, "tpe"), (7, "quasi_random"), (13, "tpe"), (21, "tpe"), (30, "tpe")]
)
def test_a_search_that_is_stopped_goes_on_to_the_same_end(
    stops: int, sampler: str, unbroken: Callable[[str], Tuning], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [*SMALL, f"sampler={sampler}"]
    first, second = Trainer(planted, stops_at=stops), Trainer(planted)
    with pytest.raises(KeyboardInterrupt):
        search(monkeypatch, first, *asked)
    _, ended = search(monkeypatch, second, *asked)
    assert without_place(ended) == without_place(unbroken(sampler))
    assert max((first.trained + second.trained).values()) == 1
    third = Trainer(planted)
    search(monkeypatch, third, *asked)
    assert not third.trained


def test_more_trials_and_seeds_add_to_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Trainer(planted), Trainer(planted)
    _, before = search(monkeypatch, first, *SMALL)
    more = [each for each in SMALL if not each.startswith(("trials", "seeds"))] + ["trials=9", "seeds=4"]
    _, after = search(monkeypatch, second, *more)
    assert not set(first.trained) & set(second.trained)
    for old, new in zip(before.settings, after.settings, strict=True):
        assert new.trials[:6] == old.trials
        assert len(new.trials) == 9
    assert len(find_runs(Path("outputs/sweeps/s"))[0]) == 8


def test_runs_of_a_choice_that_no_longer_holds_are_set_aside_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    lone = ["trials=4", "finalists=1", "finalist_seeds=1", "seeds=2", "sampler=quasi_random", "defaults_too=false"]
    _, before = search(monkeypatch, Trainer(planted), *lone)
    better = Trainer(lambda config: 0.99 if planted(config) > planted_best(before) else planted(config))
    _, after = search(monkeypatch, better, *[each.replace("trials=4", "trials=16") for each in lone])
    assert before.settings[0].choice != after.settings[0].choice
    folder = Path("outputs/sweeps/s")
    assert len(find_runs(folder)[0]) == 2
    assert len(find_runs(folder / "search/earlier")[0]) == 2


def test_seeds_that_are_added_after_a_look_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [each for each in SMALL if not each.startswith("seeds")]
    search(monkeypatch, Trainer(planted), *asked, "seeds=2")
    folder = Path("outputs/sweeps/s")
    assert read_plan(folder / "sweep.json").added == {}
    search(monkeypatch, Trainer(planted), *asked, "seeds=2")
    assert read_plan(folder / "sweep.json").added == {}
    search(monkeypatch, Trainer(planted), *asked, "seeds=3")
    added = read_plan(folder / "sweep.json").added
    assert {Path(name).name: seeds for name, seeds in added.items()} == {"seed2": 2}
    assert len(added) == 2


def test_trials_that_share_a_run_are_counted_once_in_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["optimizer.lr=1e-3", "regularizer=none,dropout", "trials=3", "finalists=1", "finalist_seeds=1", "seeds=1"]
    trainer = Trainer(planted)
    plan, tuning = search(monkeypatch, trainer, *asked, "defaults_too=false")
    trained = Counter(each.parents[1].name for each in trainer.trained if "trials" in each.parts)
    assert trained.total() == (1 + 1) + (3 + 1)  # none has nothing to search
    assert [each.epochs for each in tuning.settings] == [2 * 4, 4 * 4]
    (none, dropout) = TunedReader(plan.folder, tuning).read()
    assert (none.counts["trials"], none.left) == ((3, 3), 0)
    assert (dropout.counts["trials"], dropout.left) == ((3, 3), 0)


def test_a_loss_above_chance_counts_as_one_that_diverged() -> None:
    plan = make_plan([*QUICK, "regularizer=none", "monitor=val/loss"])
    study = optuna.create_study(direction="minimize")
    for loss in (0.4, 12_392.0):
        told = {"state": "finished", "score": loss, "accuracy": 0.5, "epochs": 4, "folder": "search/trials/x"}
        study.add_trial(optuna.trial.create_trial(value=loss, user_attrs=told))
    record = setting_record(plan, plan.settings[0], study)
    assert [trial.score for trial in record.trials] == [0.4, pytest.approx(math.log(10))]


def planted_best(tuning: Tuning) -> float:
    return max(each.score or 0 for each in tuning.settings[0].trials)


def test_two_workers_never_share_a_trial_and_never_ask_for_too_many() -> None:
    plan = make_plan([*QUICK, "regularizer=none", "trials=3"])
    first, second = Schedule(plan), Schedule(plan)
    jobs = [schedule.next_job() for schedule in (first, second, first, second)]
    titles = [job.title if job else None for job in jobs]
    # Nothing but the defaults is left to do while the three trials are under way.
    assert titles[:3] == [f"none, trial {number} of 3" for number in (1, 2, 3)]
    assert titles[3] == "none, default on seed 0"


def test_a_trial_whose_worker_died_is_taken_up_again_with_its_values() -> None:
    plan = make_plan([*QUICK, "regularizer=dropout", "trials=3"])
    first = Schedule(plan)
    job = first.next_job()
    assert job is not None
    job.claim.release()  # as the system does when the process is gone
    again = Schedule(plan).next_job()
    assert again is not None
    assert (again.title, again.folder, again.config) == (job.title, job.folder, job.config)


def test_a_line_that_was_cut_off_in_the_journal_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _, before = search(monkeypatch, Trainer(planted), *SMALL)
    with Path("outputs/sweeps/s/search/journal.log").open("a") as journal:
        journal.write('{"op_code":4,"wor')
    trainer = Trainer(planted)
    _, after = search(monkeypatch, trainer, *SMALL)
    assert after == before
    assert not trainer.trained


def test_a_trial_that_diverges_counts_as_chance_and_one_that_fails_is_left(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Fragile(Trainer):
        def __call__(self, folder: Path, config: Config, overrides: list[str], *, callbacks: Any = ()) -> None:
            rate = float(config["optimizer"]["lr"])
            if rate > 5e-3:
                raise DivergedError("not finite")
            if rate < 3e-4 and self.stops_at is None:
                raise RuntimeError("broken")
            super().__call__(folder, config, overrides)

    arguments = ["trials=8", "seeds=1", "sampler=quasi_random", "defaults_too=false"]
    plan, tuning = search(monkeypatch, Fragile(planted), *arguments)
    (record,) = tuning.settings
    diverged = [each for each in record.trials if each.state == "diverged"]
    still_open = [each for each in record.trials if each.state == "open"]
    assert diverged
    assert {each.score for each in diverged} == {0.1}
    assert still_open
    assert record.choice is None
    assert "broken (see outputs/sweeps/s/search/trials/" in capfd.readouterr().err
    assert len(Schedule(plan).left()) == len(still_open)
    _, mended = search(monkeypatch, Fragile(planted, stops_at=0), *arguments)
    assert mended.settings[0].choice is not None


def test_a_choice_at_the_edge_of_its_range_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["trials=8", "seeds=1", "+space.optimizer.lr={low: 0.02, high: 0.2, log: true}", "finalists=1"]
    _, tuning = search(monkeypatch, Trainer(planted), *arguments)
    (record,) = tuning.settings
    assert record.chosen is not None
    from regbench.study.report.tuned_notices import tuned_notices

    nearer = record.model_copy(deep=True)
    assert nearer.chosen is not None
    nearer.chosen.values["optimizer.lr"] = 0.0201
    edge = tuned_notices(tuning.model_copy(update={"settings": [nearer]}))
    assert edge == [
        "none: optimizer.lr = 0.0201 lies at the low end of its range (0.02 to 0.2 (log)), "
        "so a wider one may do better."
    ]


def test_the_last_step_of_a_range_is_its_edge() -> None:
    steps = Range(low=0.0, high=1.0, step=0.3)
    assert [steps.edge(value) for value in (0.0, 0.3, 0.6, 0.9)] == ["low", None, None, "high"]
    assert Range(low=0.0, high=1.0, step=0.1).edge(0.9) is None


def test_the_search_of_another_study_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    search(monkeypatch, Trainer(planted), *SMALL)
    for change, told in [
        ("trainer.max_epochs=5", r"trainer\.max_epochs is 4 there and 5 here"),
        ("sampler=quasi_random", "sampler is tpe there and quasi_random here"),
        ("dataset.val_size=100", r"dataset\.val_size is 237 there and 100 here"),
        ("space.optimizer.lr.high=0.1", r"space\.optimizer\.lr is 0\.0001 to 0\.01 \(log\) there"),
    ]:
        with pytest.raises(ValueError, match=rf"search: holds the search of another study: {told}"):
            search(monkeypatch, Trainer(planted), *SMALL, change)


def test_a_file_that_is_no_journal_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path("outputs/sweeps/s/search")
    folder.mkdir(parents=True)
    (folder / "journal.log").write_text("not a journal\n")
    with pytest.raises(ValueError, match=r"journal\.log: line 1: expected a line of Optuna's journal"):
        search(monkeypatch, Trainer(planted), *SMALL)


def test_pruning_stops_what_falls_behind_and_spends_fewer_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Watched(Trainer):
        def __call__(self, folder: Path, config: Config, overrides: list[str], *, callbacks: Any = ()) -> None:
            for epoch in range(config["trainer"]["max_epochs"]):
                lightning: Any = type("Stub", (), {})()
                lightning.current_epoch, lightning.max_epochs = epoch, config["trainer"]["max_epochs"]
                lightning.callback_metrics = {"val/acc": self.score(config) * (epoch + 1) / 9}
                folder.mkdir(parents=True, exist_ok=True)
                rows = [f"{each},{self.score(config) * (each + 1) / 9}" for each in range(epoch + 1)]
                (folder / "history.csv").write_text("epoch,val/acc\n" + "\n".join(rows) + "\n")
                for callback in callbacks:
                    callback.on_validation_end(lightning, lightning)
            super().__call__(folder, config, overrides)

    arguments = ["trials=20", "seeds=1", "trainer.max_epochs=9", "defaults_too=false", "pruning=halving"]
    _, tuning = search(monkeypatch, Watched(planted), *arguments)
    (record,) = tuning.settings
    pruned = [each for each in record.trials if each.state == "pruned"]
    assert len(pruned) > 5
    assert all(0 < each.epochs < 9 and each.score is not None for each in pruned)
    assert record.epochs < 20 * 9
    assert all(record.trials[each.trial].state == "finished" for each in record.finalists)
    assert worker.Pruned.__mro__[1] is BaseException  # so that the run is recorded as one that can be resumed


def test_what_is_recorded_is_read_back(searched: tuple[Trainer, Tuning]) -> None:
    assert read_tuning(Path("outputs/sweeps/s")) == searched[1]
