import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from regbench.study import load
from regbench.study.comparisons import Comparison, comparisons
from regbench.study.statistics import compare, new_images
from regbench.study.statistics.new_images import differences_by_image, with_new_images
from regbench.study.statistics.seeds_and_images import from_image_groups, from_paired_images
from regbench.study.statistics.sentences import interval_lines
from tests.study.synthetic import write_study

SETTINGS = {"none": 0.89, "batchnorm": 0.90, "dropout": 0.88}


def read(folder: Path) -> Comparison:
    (comparison,) = comparisons(load(folder))
    return comparison


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    return read(write_study(tmp_path / "study", SETTINGS, seeds=range(4), test_size=200, noise=0.01))


def folders(comparison: Comparison, label: str) -> list[Path]:
    rows = comparison.runs[comparison.runs["label"] == label]
    return [Path(folder) for folder in rows.sort_values("seed")["folder"]]


def rightness(comparison: Comparison, label: str) -> np.ndarray:
    stored = [np.load(folder / "predictions.npz") for folder in folders(comparison, label)]
    return np.array([each["logits"].argmax(1) == each["labels"] for each in stored])


def test_accuracies_are_compared_by_which_images_are_answered_rightly(comparison: Comparison) -> None:
    found = differences_by_image(comparison)
    assert list(found) == ["batchnorm", "dropout"]
    for label, each in found.items():
        assert each == from_paired_images(rightness(comparison, label), rightness(comparison, "none"))


@pytest.mark.parametrize("metric", ["test/acc", "test/loss"])
def test_on_this_test_set_the_interval_is_the_one_that_verdicts_are_read_off(
    comparison: Comparison, metric: str
) -> None:
    found = differences_by_image(comparison, metric)
    for difference in compare(comparison, metric):
        each = found[difference.label]
        assert each is not None
        assert each.mean == pytest.approx(difference.mean, rel=1e-5)
        assert each.on_this_test_set(0.05 / 2) == pytest.approx((difference.low, difference.high), rel=1e-4)


def test_other_metrics_are_no_means_over_images(comparison: Comparison) -> None:
    assert differences_by_image(comparison, "test/ece") == {"batchnorm": None, "dropout": None}


@pytest.mark.parametrize(("ours", "is_paired"), [([0, 1, 2, 3], True), ([2, 3, 4, 5], True), ([3, 4, 5, 6], False)])
def test_seeds_are_paired_where_the_verdicts_pair_them(tmp_path: Path, ours: Sequence[int], is_paired: bool) -> None:
    write_study(tmp_path / "study", {"none": 0.89}, seeds=range(4), test_size=200)
    comparison = read(write_study(tmp_path / "study", {"dropout": 0.88}, seeds=ours, test_size=200))
    setting, baseline = rightness(comparison, "dropout"), rightness(comparison, "none")
    shared = sorted(set(ours) & set(range(4)))
    (difference,) = compare(comparison)
    assert difference.paired == is_paired
    assert differences_by_image(comparison)["dropout"] == (
        from_paired_images(setting[[ours.index(seed) for seed in shared]], baseline[shared])
        if is_paired
        else from_image_groups(setting, baseline)
    )


def test_several_runs_of_one_seed_count_as_their_mean(tmp_path: Path) -> None:
    comparison = read(write_study(tmp_path / "study", SETTINGS, seeds=range(4), test_size=200))
    runs = comparison.runs.copy()
    dropout = runs["label"] == "dropout"
    runs.loc[dropout & (runs["seed"] == 3), "seed"] = 2
    values = rightness(comparison, "dropout").astype(float)
    values = np.array([values[0], values[1], values[2:].mean(0)])
    found = differences_by_image(replace(comparison, runs=runs))["dropout"]
    assert found == from_paired_images(values, rightness(comparison, "none")[:3])


@pytest.mark.parametrize("damage", ["missing", "truncated", "other labels", "fewer images", "read from a CSV"])
@pytest.mark.parametrize("label", ["dropout", "none"])
def test_without_whole_predictions_of_the_same_images_nothing_is_said(
    comparison: Comparison, label: str, damage: str
) -> None:
    file = folders(comparison, label)[1] / "predictions.npz"
    content = dict(np.load(file))
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(file.read_bytes()[:200])
    elif damage == "other labels":
        np.savez(file, **(content | {"labels": content["labels"][::-1]}))
    elif damage == "fewer images":
        np.savez(file, **(content | {name: content[name][:100] for name in ("logits", "labels")}))
    else:
        comparison = replace(comparison, runs=comparison.runs.assign(folder=""))
    found = differences_by_image(comparison)
    assert found["dropout"] is None
    assert (found["batchnorm"] is None) == (label == "none" or damage == "read from a CSV")


def test_without_a_baseline_there_is_nothing_to_compare(comparison: Comparison) -> None:
    assert differences_by_image(replace(comparison, baseline=None)) == {}


def test_every_file_is_read_once(comparison: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def counted(folder: Path, metric: str) -> tuple[np.ndarray, np.ndarray] | None:
        opened.append(folder)
        return original(folder, metric)

    original = new_images.read_image_values
    monkeypatch.setattr(new_images, "read_image_values", counted)
    differences_by_image(comparison)
    assert sorted(opened) == sorted(map(Path, comparison.runs["folder"]))


def test_the_interval_on_new_images_is_added_at_the_level_of_the_one_on_this_test_set(comparison: Comparison) -> None:
    plain = compare(comparison)
    by_image = differences_by_image(comparison)
    for before, after in zip(plain, with_new_images(comparison, plain), strict=True):
        found = by_image[before.label]
        assert found is not None
        bounds = found.on_new_images(0.05 / len(plain))
        assert (after.low_new_images, after.high_new_images) == bounds
        assert (after.low, after.high) == (before.low, before.high)
        assert bounds[0] < after.low < after.high < bounds[1]
        lines = interval_lines(after)
        assert lines[0].startswith("On this test set: ")
        assert lines[1].startswith("On new images: ")


def test_without_predictions_the_interval_on_new_images_is_not_known(comparison: Comparison) -> None:
    from_csv = replace(comparison, runs=comparison.runs.assign(folder=""))
    for each in with_new_images(from_csv, compare(from_csv)):
        assert math.isnan(each.low_new_images)
        assert interval_lines(each)[1] == (
            "On new images: not known, since that takes the predictions of all runs on the same test images."
        )
