from pathlib import Path

from regbench.study import load
from regbench.study.varied_parameters import varied_parameters

from .synthetic import write_study


def test_a_strength_is_an_axis_from_the_baseline_on_with_the_pick_made_on_validation(tmp_path: Path) -> None:
    settings = {"none": 0.89, "dropout p=0.1": 0.95, "dropout p=0.3": 0.88, "dropout p=0.5": 0.87, "batchnorm": 0.9}
    (axis,) = varied_parameters(load(write_study(tmp_path / "study", settings, range(2), epochs=1)))
    assert (axis.key, axis.title) == ("config/regularizer.dropout.p", "dropout p")
    assert axis.values == (0.0, 0.1, 0.3, 0.5)
    assert not axis.log
    assert axis.pick == 0.1
    assert axis.runs.groupby("value")["label"].first().tolist() == ["none", *list(settings)[1:4]]


def test_strengths_over_orders_of_magnitude_ask_for_a_logarithmic_axis(tmp_path: Path) -> None:
    settings = {f"weight_decay coefficient={value}": 0.9 for value in ("0.0001", "0.001", "0.01")}
    (axis,) = varied_parameters(load(write_study(tmp_path / "study", settings | {"none": 0.9}, range(1), epochs=1)))
    assert axis.log
    assert axis.values == (0.0, 0.0001, 0.001, 0.01)


def test_two_strengths_and_the_baseline_are_three_values(tmp_path: Path) -> None:
    assert (
        varied_parameters(load(write_study(tmp_path / "few", {"none": 0.9, "dropout": 0.9}, range(1), epochs=1))) == []
    )
    settings = {"none": 0.9, "dropout p=0.1": 0.9, "dropout p=0.2": 0.9}
    assert len(varied_parameters(load(write_study(tmp_path / "more", settings, range(1), epochs=1)))) == 1


def test_a_strength_without_validation_has_no_pick(tmp_path: Path) -> None:
    settings = {"none": 0.9, "dropout p=0.1": 0.9, "dropout p=0.2": 0.9}
    (axis,) = varied_parameters(load(write_study(tmp_path / "study", settings, range(1), epochs=1, val_size=0)))
    assert axis.pick is None


def test_train_size_is_an_axis_for_all_settings_and_nothing_to_pick(tmp_path: Path) -> None:
    for size in (100, 1000, 10_000):
        overrides = {"dataset.train_size": size}
        write_study(tmp_path / "study", {"none": 0.9, "dropout": 0.9}, range(1), epochs=1, overrides=overrides)
    (axis,) = varied_parameters(load(tmp_path / "study"))
    assert (axis.key, axis.values, axis.log, axis.pick) == ("train_size", (100.0, 1000.0, 10_000.0), True, None)
    assert set(axis.runs["label"]) == {"none", "dropout"}


def test_a_combinations_strength_has_no_baseline_at_zero(tmp_path: Path) -> None:
    settings = {f"dropout+weight_decay dropout.p={p}": 0.9 for p in (0.1, 0.3, 0.5)}
    (axis,) = varied_parameters(load(write_study(tmp_path / "study", settings | {"none": 0.9}, range(1), epochs=1)))
    assert axis.values == (0.1, 0.3, 0.5)
