from pathlib import Path

import pytest

from regbench.study import load
from regbench.study.comparisons import comparisons

from .synthetic import write_run, write_study


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


def test_callbacks_are_one_axis_named_with_their_arguments(tmp_path: Path) -> None:
    """Each has arguments that the others lack, and none has no value: they must not split families any further."""
    study = tmp_path / "study"
    ema = {"ema": {"_target_": "pytorch_lightning.callbacks.EMAWeightAveraging", "decay": 0.99}}
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
        for callbacks in ({}, {"ema": {"_target_": "pytorch_lightning.callbacks.EMAWeightAveraging", "decay": 0.99}}):
            write_run(study, "dropout", seed=seed, epochs=2, overrides={"callbacks": callbacks})
    (family,) = comparisons(load(study))
    assert family.labels == ("none", "ema (decay=0.99)")
