"""What a tuned study's report says, from a search without training."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from regbench.storage.tuning import Tuning
from regbench.study import Study, load
from regbench.study.comparisons import comparisons
from regbench.study.expected_best import expected_best
from regbench.study.report import write_report
from regbench.study.report.tuned_notices import certainty_notices
from regbench.study.statistics import compare
from tests.search.synthetic import Config, Trainer, planted, search

FOLDER = Path("outputs/sweeps/s")


def validation(config: Config) -> float:
    """Dropout gains a point, and its best rate is another one."""
    lead = 0.01 if config["regularizer"] else 0.0
    lr = float(config["optimizer"]["lr"]) * (0.5 if config["regularizer"] else 1.0)
    return planted({"optimizer": {"lr": lr}}) + lead + 0.001 * math.sin(7 * config["seed"] + 10 * lead)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tuning]:
    place = tmp_path_factory.mktemp("tuned")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        arguments = ["regularizer=none,dropout", "trials=8", "seeds=4", "sampler=quasi_random"]
        _, tuning = search(patch, Trainer(validation, validation), *arguments)
    return place, tuning


@pytest.fixture
def study(tuned: tuple[Path, Tuning], monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.chdir(tuned[0])
    return load(FOLDER)


def test_settings_are_one_family_whatever_rate_each_has_chosen(study: Study, tuned: tuple[Path, Tuning]) -> None:
    rates = {each.chosen.values["optimizer.lr"] for each in tuned[1].settings if each.chosen}
    assert len(rates) == 2
    (family,) = comparisons(study)
    assert family.labels == ("none", "dropout")
    assert len(family.runs) == 8
    assert study.tuning == tuned[1]


def test_a_table_that_a_report_wrote_keeps_the_family_and_its_intervals(
    study: Study, tmp_path: Path, unrendered: None
) -> None:
    write_report(study, tmp_path)
    (family,) = comparisons(load(tmp_path))
    assert family.labels == ("none", "dropout")
    (found,), (expected,) = compare(family), compare(*comparisons(study))
    assert (found.low, found.high, found.verdict) == (expected.low, expected.high, expected.verdict)
    assert "with the search's own uncertainty" in found.sentence


def test_runs_of_one_rate_each_that_no_search_chose_stay_apart(tuned: tuple[Path, Tuning]) -> None:
    trials = load(tuned[0] / FOLDER / "search/trials")
    assert trials.tuning is None
    assert len(comparisons(trials)) > 2


def test_the_interval_counts_seeds_and_search(study: Study, tuned: tuple[Path, Tuning]) -> None:
    (family,) = comparisons(study)
    (found,) = compare(family)
    by_seed = study.runs.pivot(index="seed", columns="setting", values="test/acc")
    difference = (by_seed["dropout"] - by_seed["none"]).to_numpy()
    scores = [[trial.score for trial in each.trials] for each in tuned[1].settings]
    search_variance = sum(expected_best([s for s in each if s is not None]).sd[-1] ** 2 for each in scores)
    error = math.sqrt(difference.var(ddof=1) / 4 + search_variance)
    half = stats.t.ppf(0.975, 3) * error
    assert (found.low, found.high) == pytest.approx((difference.mean() - half, difference.mean() + half))
    assert half > 1.2 * stats.t.ppf(0.975, 3) * difference.std(ddof=1) / 2
    assert "with the search's own uncertainty" in found.sentence


def test_losses_are_compared_over_seeds_alone(study: Study) -> None:
    (family,) = comparisons(study)
    (found,) = compare(family, "test/loss")
    assert "search" not in found.sentence


def notices(study: Study, metric: str = "test/acc") -> str:
    return " ".join(certainty_notices(study, metric))


def test_what_the_verdicts_do_not_count_is_said(study: Study, tmp_path: Path) -> None:
    assert notices(study) == ""
    assert "Verdicts on test/loss count the seeds alone" in notices(study, "test/loss")
    assert study.tuning is not None
    few = replace(study, tuning=study.tuning.model_copy(update={"budget": 1}))
    assert notices(few).startswith("1 trial tells next to nothing of what another search would choose")
    for number, left in enumerate(("sweep.json", "sweep.json search/journal.log search/trials")):
        copied = tmp_path / f"copy{number}"
        shutil.copytree(FOLDER / "digits-lenet5", copied / "digits-lenet5")
        for name in left.split():
            (copied / name).parent.mkdir(exist_ok=True)
            (shutil.copytree if (FOLDER / name).is_dir() else shutil.copy)(FOLDER / name, copied / name)
        lost = load(copied)
        assert len(lost.runs) == len(study.runs)
        assert "its search/tuning.json is not there: verdicts count the seeds alone" in notices(lost)


def test_settings_of_two_searches_are_neither_averaged_nor_compared(
    study: Study, tuned: tuple[Path, Tuning], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["regularizer=none,label_smoothing", "trials=6", "seeds=4", "sampler=quasi_random", "study=other"]
    search(monkeypatch, Trainer(validation, validation), *arguments, "space.optimizer.lr.high=2e-4")
    both = load(tuned[0] / FOLDER, "outputs/sweeps/other")
    families = {family.where["study"]: family for family in comparisons(both)}
    assert {name: each.labels for name, each in families.items()} == {
        "s": ("none", "dropout"),
        "other": ("none", "label_smoothing"),
    }
    (alone,) = compare(comparisons(study)[0])
    (beside,) = compare(families["s"])
    assert (beside.mean, beside.low, beside.high) == (alone.mean, alone.low, alone.high)
    assert "settings of different searches are not compared" in notices(both)


def test_a_setting_whose_search_chose_a_strength_of_nothing_is_not_the_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["regularizer=none,dropout", "trials=4", "seeds=3", "finalists=1", "defaults_too=false"]
    ends = ["space.regularizer.dropout.p.low=0.0", "space.regularizer.dropout.p.high=0.9"]
    steps = ["+space.regularizer.dropout.p.step=0.9", "sampler=quasi_random"]

    def without(config: Config) -> float:
        dropout = config["regularizer"].get("dropout")
        return validation(config) - (0.3 if dropout and dropout["p"] else 0.0)

    _, tuning = search(monkeypatch, Trainer(without, without), *arguments, *ends, *steps)
    chosen = tuning.settings[1].chosen
    assert chosen is not None
    assert chosen.values["regularizer.dropout.p"] == 0
    (family,) = comparisons(load("outputs/sweeps/s"))
    assert family.labels == ("none", "dropout")


def test_a_choice_that_changed_after_it_was_confirmed_is_told(study: Study, tmp_path: Path) -> None:
    copied = shutil.copytree(FOLDER, tmp_path / "s")
    place = next((copied / "digits-lenet5").iterdir())
    shutil.copytree(place, copied / "search/earlier/digits-lenet5/none-123456")
    assert "changed a choice after it was confirmed (4 runs in search/earlier)" in notices(load(copied))


def test_the_page_tells_budgets_choices_gains_and_both_figures(
    study: Study, tuned: tuple[Path, Tuning], tmp_path: Path, unrendered: None
) -> None:
    page, _ = write_report(study, tmp_path)
    text = page.read_text(encoding="utf-8")
    for heading in (
        "The search",
        "What each setting was given",
        "What was searched and chosen",
        "Tuned beside default",
    ):
        assert heading in text
    record = tuned[1].settings[1]
    assert record.chosen is not None
    for key in record.space:
        assert key in text
        assert f"{float(record.chosen.values[key]):.3g}" in text
    assert "with 5 trials dropout leads" in text
    drawn = {path.name for path in (tmp_path / "figures/tuning").glob("*.png")}
    assert drawn == {
        "expected-best.png",
        "sensitivity-none-lr.png",
        "sensitivity-dropout-lr.png",
        "sensitivity-dropout-p.png",
    }


def test_the_gain_over_the_default_is_that_of_the_same_seeds(study: Study, tmp_path: Path, unrendered: None) -> None:
    defaults = load(FOLDER / "search/defaults")
    before, after = (
        each.runs[each.runs["setting"] == "dropout"].set_index("seed")["test/acc"] for each in (defaults, study)
    )
    gain = 100 * (after - before)
    assert np.all(gain > 0)
    half = stats.t.ppf(0.975, 3) * gain.std(ddof=1) / 2
    page, _ = write_report(study, tmp_path)
    assert f"+{gain.mean():.2f} (+{gain.mean() - half:.2f} to +{gain.mean() + half:.2f})" in page.read_text()


def test_a_search_that_is_not_whole_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unrendered: None
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        search(monkeypatch, Trainer(validation, stops_at=4), "regularizer=none,dropout", "trials=8", "seeds=2")
    page, _ = write_report(load(FOLDER), tmp_path / "report")
    assert "The search is not whole: nothing is chosen yet for none, dropout." in page.read_text()


def test_a_damaged_record_of_the_search_is_named(tuned: tuple[Path, Tuning], tmp_path: Path) -> None:
    import shutil

    shutil.copytree(tuned[0] / FOLDER, tmp_path / "s")
    (tmp_path / "s/search/tuning.json").write_text("{}")
    found = load(tmp_path / "s")
    assert found.tuning is None
    (reason,) = found.unfinished["reason"]
    assert reason.startswith("search/tuning.json: not what a search writes, ")
