from pathlib import Path

import pytest

from regbench.study import load
from regbench.study.comparisons import comparisons

from .synthetic import write_study


def labels(path: Path) -> list[str]:
    return sorted(load(path).runs["label"].unique())


def test_settings_that_occur_once_are_called_by_their_techniques(tmp_path: Path) -> None:
    settings = {"none": 0.9, "dropout": 0.9, "dropout+weight_decay": 0.9}
    assert labels(write_study(tmp_path / "study", settings, range(1), epochs=1)) == sorted(settings)


def test_strengths_that_differ_are_in_the_label(tmp_path: Path) -> None:
    settings = {"none": 0.9, "dropout p=0.3": 0.9, "dropout p=0.5": 0.9, "weight_decay coefficient=1e-05": 0.9}
    path = write_study(tmp_path / "study", settings, range(1), epochs=1)
    assert labels(path) == ["dropout p=0.3", "dropout p=0.5", "none", "weight_decay"]


def test_a_combination_names_only_what_differs(tmp_path: Path) -> None:
    settings = {f"dropout+weight_decay dropout.p={p} weight_decay.coefficient=0.001": 0.9 for p in (0.3, 0.5)}
    path = write_study(tmp_path / "study", settings, range(1), epochs=1)
    assert labels(path) == ["dropout+weight_decay p=0.3", "dropout+weight_decay p=0.5"]


def test_parameters_of_one_name_are_told_apart(tmp_path: Path) -> None:
    settings = {"dropout+noise dropout.p=0.3 noise.p=0.1": 0.9, "dropout+noise dropout.p=0.5 noise.p=0.2": 0.9}
    path = write_study(tmp_path / "study", settings, range(1), epochs=1)
    assert labels(path) == ["dropout+noise dropout.p=0.3 noise.p=0.1", "dropout+noise dropout.p=0.5 noise.p=0.2"]


@pytest.mark.parametrize(
    "off",
    [
        "dropout p=0",
        "dropout p=0.0",
        "weight_decay coefficient=0",
        "elastic_net coefficient=0 l1_ratio=0.5",
        "cutout size=0",
        "dropout+weight_decay dropout.p=0 weight_decay.coefficient=0",
    ],
)
def test_strength_zero_counts_as_the_baseline(tmp_path: Path, off: str) -> None:
    path = write_study(tmp_path / "study", {off: 0.9, "batchnorm": 0.9}, range(2), epochs=1)
    assert labels(path) == ["batchnorm", "none"]
    (family,) = comparisons(load(path))
    assert (family.baseline, family.labels) == ("none", ("none", "batchnorm"))


@pytest.mark.parametrize("on", ["batchnorm eps=0 momentum=0.1", "augmentation shift=0 flip=true", "dropout p=0.01"])
def test_a_technique_that_acts_is_not_the_baseline(tmp_path: Path, on: str) -> None:
    path = write_study(tmp_path / "study", {on: 0.9}, range(1), epochs=1)
    assert labels(path) == [on.split(" ", maxsplit=1)[0]]


def test_a_half_switched_off_combination_keeps_its_name(tmp_path: Path) -> None:
    settings = {"dropout+weight_decay dropout.p=0 weight_decay.coefficient=0.001": 0.9}
    assert labels(write_study(tmp_path / "study", settings, range(1), epochs=1)) == ["dropout+weight_decay"]


def test_what_a_technique_of_ones_own_does_at_zero_is_not_taken_for_nothing(tmp_path: Path) -> None:
    own = {"regularizer.dropout._target_": "mine.Own"}
    path = write_study(tmp_path / "study", {"dropout p=0": 0.8}, range(2), epochs=1, overrides=own)
    write_study(path, {"none": 0.9}, range(2), epochs=1)
    assert sorted(set(load(path).runs["label"])) == ["dropout", "none"]
