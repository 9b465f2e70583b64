"""What makes a comparison fair: settings of one seed differ in nothing but the technique."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regbench.regularizers import Regularizer
from regbench.runs.parts import Parts, build
from regbench.runs.run import run
from regbench.training.classifier import Classifier

SETTINGS = ["none", "dropout", "weight_decay", "batchnorm", "[batchnorm,dropout,weight_decay]"]
Composed = Callable[..., dict[str, Any]]


def weights(experiment: Parts) -> dict[str, Tensor]:
    return dict(experiment.classifier.net.named_parameters())


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("model", ["lenet5", "mlp"])
def test_all_settings_start_from_the_same_weights_where_shapes_match(
    setting: str, model: str, composed: Composed
) -> None:
    baseline = weights(build(composed(f"model={model}")))
    other = weights(build(composed(f"model={model}", f"regularizer={setting}")))
    assert set(baseline) <= set(other)
    assert all(torch.equal(baseline[name], other[name]) for name in baseline)


class RandomLayer(Regularizer):
    """A technique that draws random weights of its own, as a newcomer's may."""

    def before_activation(self, features: int, dims: int) -> list[nn.Module]:
        return [nn.Linear(features, features)] if dims == 0 else []


def test_a_technique_with_random_weights_of_its_own_shifts_no_other_layer(composed: Composed) -> None:
    config = composed()
    baseline = weights(build(config))
    config["regularizer"] = {"random_layer": {"_target_": f"{__name__}.RandomLayer"}}
    other = weights(build(config))
    assert len(other) > len(baseline)
    assert all(torch.equal(baseline[name], other[name]) for name in baseline)


def test_another_seed_gives_other_weights(composed: Composed) -> None:
    first, second = weights(build(composed("seed=0"))), weights(build(composed("seed=1")))
    assert not any(torch.equal(first[name], second[name]) for name in first)


def record_batches(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Record every training batch's images as the network is given them."""
    seen: list[Tensor] = []
    loss = Classifier.batch_loss

    def recording(self: Classifier, batch: tuple[Tensor, Tensor]) -> Tensor:
        seen.append(batch[0].clone())
        return loss(self, batch)

    monkeypatch.setattr(Classifier, "batch_loss", recording)
    return seen


def test_all_settings_see_the_same_batches_in_every_epoch_and_the_epochs_differ(
    composed: Composed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = record_batches(monkeypatch)
    by_setting = []
    for number, setting in enumerate(SETTINGS):
        seen.clear()
        run(tmp_path / str(number), composed(f"regularizer={setting}", "trainer.max_epochs=2"), [])
        by_setting.append(torch.cat(seen))
    assert by_setting[0].shape[0] == 400
    assert all(torch.equal(by_setting[0], other) for other in by_setting[1:])
    first, second = by_setting[0].split(200)
    assert not torch.equal(first, second)
    assert torch.equal(first.flatten(1).sum(1).sort().values, second.flatten(1).sum(1).sort().values)


def validation(*overrides: str, composed: Composed) -> Tensor:
    data = build(composed(*overrides)).data
    data.setup()
    return data.splits["val"].images


@pytest.mark.parametrize("setting", SETTINGS)
def test_all_settings_of_a_seed_have_the_same_split(setting: str, composed: Composed) -> None:
    baseline = validation("seed=5", composed=composed)
    assert torch.equal(validation("seed=5", f"regularizer={setting}", composed=composed), baseline)


def test_each_seed_has_a_split_of_its_own(composed: Composed) -> None:
    splits = [validation(f"seed={seed}", composed=composed) for seed in range(3)]
    assert not any(torch.equal(first, second) for first, second in itertools.combinations(splits, 2))


def test_a_fixed_split_is_the_same_for_all_seeds_and_that_of_the_seed_of_its_number(composed: Composed) -> None:
    fixed = [validation(f"seed={seed}", "dataset.split_seed=3", composed=composed) for seed in (0, 7)]
    assert torch.equal(*fixed)
    assert torch.equal(fixed[0], validation("seed=3", composed=composed))


def test_a_dataset_that_says_nothing_of_its_split_has_split_0_for_all_seeds_as_ever(composed: Composed) -> None:
    config = composed("seed=4")
    del config["dataset"]["split_seed"]
    data = build(config).data
    data.setup()
    assert torch.equal(data.splits["val"].images, validation("dataset.split_seed=0", composed=composed))


@pytest.mark.parametrize(
    ("technique", "strength"),
    [("dropout", "regularizer.dropout.p=0"), ("weight_decay", "regularizer.weight_decay.coefficient=0")],
)
def test_strength_zero_trains_to_the_very_weights_of_none(
    technique: str, strength: str, composed: Composed, tmp_path: Path
) -> None:
    run(tmp_path / "none", composed(), [])
    run(tmp_path / "zero", composed(f"regularizer={technique}", strength), [])
    first, second = (
        torch.load(tmp_path / name / "checkpoints/weights.pt", weights_only=True) for name in ("none", "zero")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_same_configuration_gives_the_same_bits_twice(setting: str, composed: Composed, tmp_path: Path) -> None:
    config = composed(f"regularizer={setting}", "trainer.max_epochs=2")
    results = [run(tmp_path / name, config, []) for name in ("first", "second")]
    first, second = (
        torch.load(tmp_path / name / "checkpoints/weights.pt", weights_only=True) for name in ("first", "second")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert results[0].metrics == results[1].metrics


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "muon"])
def test_none_has_no_hidden_decay_under_any_optimizer(optimizer: str, composed: Composed) -> None:
    groups = build(composed(f"optimizer={optimizer}")).classifier.configure_optimizers()["optimizer"].param_groups
    assert {group["weight_decay"] for group in groups} == {0.0}


def test_tracking_the_test_curve_changes_no_choice_and_no_weight(composed: Composed, tmp_path: Path) -> None:
    plain = run(tmp_path / "plain", composed("trainer.max_epochs=3"), [])
    tracked = run(tmp_path / "tracked", composed("trainer.max_epochs=3", "track_test=true"), [])
    assert plain.metrics == tracked.metrics
    assert plain.best_epoch == tracked.best_epoch
    assert "test/acc" in (tmp_path / "tracked/history.csv").read_text()
    assert "test/acc" not in (tmp_path / "plain/history.csv").read_text()


def test_curves_and_checkpoint_follow_validation_whatever_the_test_labels_are(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from regbench.data.module import ImageData, Split

    config = composed("trainer.max_epochs=3", "track_test=true")
    honest = run(tmp_path / "honest", config, [])
    setup = ImageData.setup

    def shuffled_test(self: ImageData, stage: str | None = None) -> None:
        setup(self, stage)
        images, labels = self.splits["test"]
        self.splits["test"] = Split(images, labels.roll(1))

    monkeypatch.setattr(ImageData, "setup", shuffled_test)
    spoiled = run(tmp_path / "spoiled", config, [])
    assert honest.best_epoch == spoiled.best_epoch
    assert honest.metrics["val/acc"] == spoiled.metrics["val/acc"]
    assert honest.metrics["test/acc"] > spoiled.metrics["test/acc"]
