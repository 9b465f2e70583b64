import math
from pathlib import Path

import pytest
from scipy import stats

from regbench.study import load
from regbench.study.comparisons import Comparison, comparisons
from regbench.study.statistics import advantage_by_epoch
from tests.study.synthetic import write_study


def test_the_advantage_by_epoch_is_the_difference_at_that_epoch(tmp_path: Path) -> None:
    study = load(write_study(tmp_path / "study", {"none": 0.89, "batchnorm": 0.90, "dropout": 0.88}, epochs=4))
    (comparison,) = comparisons(study)
    frame = advantage_by_epoch(comparison, "val/acc")
    assert list(frame.columns) == ["label", "epoch", "mean", "low", "high"]
    assert len(frame) == 2 * 4
    at = study.history[study.history["epoch"] == 2].pivot(index="seed", columns="label", values="val/acc")
    reference = stats.ttest_rel(at["dropout"], at["none"]).confidence_interval(1 - 0.05 / 2)
    row = frame[(frame["label"] == "dropout") & (frame["epoch"] == 2)].iloc[0]
    assert row["mean"] == pytest.approx((at["dropout"] - at["none"]).mean())
    assert (row["low"], row["high"]) == pytest.approx((reference.low, reference.high))


def test_the_advantage_leaves_out_seeds_that_stopped_earlier(tmp_path: Path) -> None:
    study = load(write_study(tmp_path / "study", {"none": 0.89, "dropout": 0.88}, seeds=range(3), epochs=4))
    (comparison,) = comparisons(study)
    short = (comparison.history["label"] == "dropout") & (comparison.history["seed"] < 2)
    history = comparison.history[~(short & (comparison.history["epoch"] == 3))]
    frame = advantage_by_epoch(Comparison("", "none", comparison.labels, comparison.runs, history), "val/acc")
    last = frame[frame["epoch"] == 3].iloc[0]
    assert not math.isnan(last["mean"])
    assert math.isnan(last["low"])


def test_the_advantage_compares_unshared_seeds_as_groups(tmp_path: Path) -> None:
    write_study(tmp_path / "study", {"none": 0.89}, seeds=range(4), epochs=2)
    study = load(write_study(tmp_path / "study", {"dropout": 0.88}, seeds=range(10, 14), epochs=2))
    (comparison,) = comparisons(study)
    row = advantage_by_epoch(comparison, "val/acc").iloc[-1]
    at = study.history[study.history["epoch"] == 1].groupby("label")["val/acc"]
    ours, theirs = at.get_group("dropout"), at.get_group("none")
    reference = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((reference.low, reference.high))


def test_there_is_no_advantage_in_what_was_not_recorded(tmp_path: Path) -> None:
    (comparison,) = comparisons(load(write_study(tmp_path / "study", epochs=2, val_size=0)))
    assert advantage_by_epoch(comparison, "val/acc").empty
    assert advantage_by_epoch(comparison, "test/acc").empty
