from pathlib import Path

import pytest

from regbench.study import load
from regbench.study.axes import comparisons, strength_axes

from .synthetic import write_run, write_study


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


def test_one_study_of_settings_is_one_comparison(tmp_path: Path) -> None:
    study = load(write_study(tmp_path / "study", seeds=range(2), epochs=5))
    (family,) = comparisons(study)
    assert family.title == "fashion_mnist, lenet5, 5 epochs"
    assert family.baseline == "none"
    assert family.labels == ("none", "batchnorm", "dropout", "weight_decay")
    assert family.where == {}
    assert len(family.runs) == len(study.runs)
    assert len(family.history) == len(study.history)


@pytest.mark.parametrize(
    ("other", "where", "title"),
    [
        ({"dataset": "digits"}, {"dataset": "digits"}, "digits, lenet5, 2 epochs"),
        ({"model": "mlp"}, {"model": "mlp"}, "fashion_mnist, mlp, 2 epochs"),
        ({"epochs": 1}, {"epochs": 1}, "fashion_mnist, lenet5, 1 epoch"),
        (
            {"overrides": {"dataset.train_size": 2000}},
            {"train_size": 2000},
            "fashion_mnist, lenet5, 2 epochs, train_size 2,000",
        ),
        (
            {"overrides": {"optimizer.lr": 0.1}},
            {"config/optimizer.lr": 0.1},
            "fashion_mnist, lenet5, 2 epochs, optimizer.lr 0.1",
        ),
        (
            {"overrides": {"optimizer": {"_target_": "torch.optim.SGD", "lr": 0.1, "momentum": 0.9}}},
            {"optimizer": "sgd"},
            "fashion_mnist, lenet5, 2 epochs, sgd",
        ),
    ],
)
def test_only_runs_that_share_all_else_are_compared(tmp_path: Path, other: dict, where: dict, title: str) -> None:
    settings = {"none": 0.9, "dropout": 0.9}
    write_study(tmp_path / "study", settings, range(2), **{"epochs": 2})
    study = load(write_study(tmp_path / "study", settings, range(2), **{"epochs": 2, **other}))
    families = comparisons(study)
    assert len(families) == 2
    (family,) = [family for family in families if family.where == where]
    assert family.title == title
    assert family.labels == ("none", "dropout")
    assert len(family.runs) == 4
    assert set(family.history["config_hash"]) == set(family.runs["config_hash"])


def test_a_setting_trained_otherwise_is_not_compared_with_the_baseline(tmp_path: Path) -> None:
    write_study(tmp_path / "study", {"none": 0.9}, range(2), epochs=1)
    path = write_study(tmp_path / "study", {"dropout": 0.9}, range(2), epochs=1, overrides={"optimizer.lr": 0.01})
    families = comparisons(load(path))
    assert sorted((family.baseline or "", family.labels) for family in families) == [
        ("", ("dropout",)),
        ("none", ("none",)),
    ]


def test_threads_compile_and_data_root_do_not_part_runs(tmp_path: Path) -> None:
    write_study(tmp_path / "study", {"none": 0.9}, range(2), epochs=1)
    overrides = {"threads": 2, "compile": True, "dataset.root": "elsewhere"}
    path = write_study(tmp_path / "study", {"dropout": 0.9}, range(2), epochs=1, overrides=overrides)
    assert len(comparisons(load(path))) == 1


def test_another_baseline_may_be_named(tmp_path: Path) -> None:
    study = load(write_study(tmp_path / "study", seeds=range(2), epochs=1))
    (family,) = comparisons(study, "dropout")
    assert family.labels == ("dropout", "batchnorm", "none", "weight_decay")
    with pytest.raises(
        ValueError, match="baseline: expected one of batchnorm, dropout, none, weight_decay, got dropuot"
    ):
        comparisons(study, "dropuot")


def test_labels_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    settings = {f"weight_decay coefficient={value}": 0.9 for value in ("0.01", "0.00001", "0.0001", "0.1")}
    (family,) = comparisons(load(write_study(tmp_path / "study", settings | {"none": 0.9}, range(1), epochs=1)))
    numbers = [label.rpartition("=")[2] for label in family.labels[1:]]
    assert numbers == ["1e-05", "0.0001", "0.01", "0.1"]


def test_optimizers_are_compared_where_nothing_else_differs(tmp_path: Path) -> None:
    write_study(tmp_path / "study", {"none": 0.9}, range(2), epochs=1)
    overrides = {"optimizer": {"_target_": "torch.optim.SGD", "lr": 0.1}}
    study = load(write_study(tmp_path / "study", {"none": 0.89}, range(2), epochs=1, overrides=overrides))
    (family,) = comparisons(study)
    assert (family.baseline, family.labels) == ("adam", ("adam", "sgd"))
    assert set(family.history["label"]) == {"adam", "sgd"}
    assert comparisons(study, "sgd")[0].labels == ("sgd", "adam")


def test_data_sets_are_laid_side_by_side_and_never_compared(tmp_path: Path) -> None:
    write_study(tmp_path / "study", {"none": 0.9}, range(2), epochs=1)
    families = comparisons(load(write_study(tmp_path / "study", {"none": 0.9}, range(2), epochs=1, dataset="digits")))
    assert [family.where for family in families] == [{"dataset": "digits"}, {"dataset": "fashion_mnist"}]


def test_a_strength_is_an_axis_from_the_baseline_on_with_the_pick_made_on_validation(tmp_path: Path) -> None:
    settings = {"none": 0.89, "dropout p=0.1": 0.95, "dropout p=0.3": 0.88, "dropout p=0.5": 0.87, "batchnorm": 0.9}
    (axis,) = strength_axes(load(write_study(tmp_path / "study", settings, range(2), epochs=1)))
    assert (axis.key, axis.title) == ("config/regularizer.dropout.p", "dropout p")
    assert axis.values == (0.0, 0.1, 0.3, 0.5)
    assert not axis.log
    assert axis.pick == 0.1
    assert axis.runs.groupby("value")["label"].first().tolist() == ["none", *list(settings)[1:4]]


def test_strengths_over_orders_of_magnitude_ask_for_a_logarithmic_axis(tmp_path: Path) -> None:
    settings = {f"weight_decay coefficient={value}": 0.9 for value in ("0.0001", "0.001", "0.01")}
    (axis,) = strength_axes(load(write_study(tmp_path / "study", settings | {"none": 0.9}, range(1), epochs=1)))
    assert axis.log
    assert axis.values == (0.0, 0.0001, 0.001, 0.01)


def test_two_strengths_and_the_baseline_are_three_values(tmp_path: Path) -> None:
    assert strength_axes(load(write_study(tmp_path / "few", {"none": 0.9, "dropout": 0.9}, range(1), epochs=1))) == []
    settings = {"none": 0.9, "dropout p=0.1": 0.9, "dropout p=0.2": 0.9}
    assert len(strength_axes(load(write_study(tmp_path / "more", settings, range(1), epochs=1)))) == 1


def test_a_strength_without_validation_has_no_pick(tmp_path: Path) -> None:
    settings = {"none": 0.9, "dropout p=0.1": 0.9, "dropout p=0.2": 0.9}
    (axis,) = strength_axes(load(write_study(tmp_path / "study", settings, range(1), epochs=1, val_size=0)))
    assert axis.pick is None


def test_train_size_is_an_axis_for_all_settings_and_nothing_to_pick(tmp_path: Path) -> None:
    for size in (100, 1000, 10_000):
        overrides = {"dataset.train_size": size}
        write_study(tmp_path / "study", {"none": 0.9, "dropout": 0.9}, range(1), epochs=1, overrides=overrides)
    (axis,) = strength_axes(load(tmp_path / "study"))
    assert (axis.key, axis.values, axis.log, axis.pick) == ("train_size", (100.0, 1000.0, 10_000.0), True, None)
    assert set(axis.runs["label"]) == {"none", "dropout"}


def test_a_combinations_strength_has_no_baseline_at_zero(tmp_path: Path) -> None:
    settings = {f"dropout+weight_decay dropout.p={p}": 0.9 for p in (0.1, 0.3, 0.5)}
    (axis,) = strength_axes(load(write_study(tmp_path / "study", settings | {"none": 0.9}, range(1), epochs=1)))
    assert axis.values == (0.1, 0.3, 0.5)


def test_callbacks_are_one_axis_named_with_their_arguments(tmp_path: Path) -> None:
    """Each has arguments that the others lack, and none has no value: they must not split families any further."""
    study = tmp_path / "study"
    ema = {"ema": {"_target_": "x.EMA", "decay": 0.99}}
    for seed in range(3):
        for setting in ("none", "dropout"):
            write_run(study, setting, seed=seed, epochs=2, overrides={"callbacks": {}, "histograms": False})
            write_run(study, setting, seed=seed, epochs=2, overrides={"callbacks": ema, "histograms": True})
    families = comparisons(load(study))
    assert [family.labels for family in families] == [("none", "dropout")] * 2
    assert sorted(family.where["config/callbacks"] for family in families) == ["ema (decay=0.99)", "none"]


def test_callbacks_alone_are_compared_with_none(tmp_path: Path) -> None:
    study = tmp_path / "study"
    for seed in range(3):
        for callbacks in ({}, {"ema": {"_target_": "x.EMA", "decay": 0.99}}):
            write_run(study, "dropout", seed=seed, epochs=2, overrides={"callbacks": callbacks})
    (family,) = comparisons(load(study))
    assert family.labels == ("none", "ema (decay=0.99)")
