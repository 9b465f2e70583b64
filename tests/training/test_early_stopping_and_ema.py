"""Early stopping and weight averaging: Lightning's own callbacks, and what our run folder says of them."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pytorch_lightning.callbacks import StochasticWeightAveraging
from torch import Tensor
from typer.testing import CliRunner

from regbench.cli import app
from regbench.config import compose
from regbench.config.budget import averaging_decay, averaging_warning
from regbench.config.composing import check_choices
from regbench.config.identity import config_hash, run_name
from regbench.runs.evaluation import predict_splits, score_splits
from regbench.runs.parts import build
from regbench.runs.run import run
from regbench.storage.schema import HISTORY, WEIGHTS
from regbench.training.classifier import Classifier

Composed = Callable[..., dict[str, Any]]


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / HISTORY).open(newline="") as file:
        return list(csv.DictReader(file))


def weights(folder: Path, name: str = WEIGHTS) -> dict[str, Tensor]:
    return torch.load(folder / name, weights_only=True)  # type: ignore[no-any-return]  # torch.load is untyped


@pytest.mark.parametrize("monitor", ["val/acc", "val/loss"])
def test_training_stops_after_patience_epochs_without_improvement(
    monitor: str, composed: Composed, tmp_path: Path
) -> None:
    config = composed(
        "callbacks=early_stopping", "callbacks.early_stopping.patience=2", f"monitor={monitor}",
        "trainer.max_epochs=60", "optimizer.lr=0.01",
    )  # fmt: skip
    results = run(tmp_path, config, [])
    values = [float(row[monitor]) * (1 if monitor == "val/acc" else -1) for row in history(tmp_path)]
    best = values.index(max(values))
    assert results.best_epoch == best
    assert results.epochs_trained == len(values) == best + 1 + 2
    assert results.epochs_trained < 60
    assert results.images_per_second == pytest.approx(200 * results.epochs_trained / results.seconds.train, rel=0.01)
    kept = yaml.safe_load((tmp_path / "config.yaml").read_text())["config"]
    assert kept["trainer"]["max_epochs"] == 60


def test_a_run_that_never_waits_long_enough_trains_all_its_epochs(composed: Composed, tmp_path: Path) -> None:
    config = composed("callbacks=early_stopping", "callbacks.early_stopping.patience=3", "trainer.max_epochs=3")
    stopped = run(tmp_path / "stopped", config, [])
    plain = run(tmp_path / "plain", composed("trainer.max_epochs=3"), [])
    assert stopped.epochs_trained == 3
    assert stopped.metrics == plain.metrics


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["callbacks.early_stopping.monitor=test/acc", "track_test=true"], "expected one of probe/acc, .*'test/acc'"),
        (["dataset.val_size=0"], "expected one of probe/acc, probe/loss; received 'val/acc'"),
        (["callbacks.early_stopping.patience=long"], r"\.patience: expected a valid integer"),
        (["callbacks.early_stopping.mode=up"], "`mode` can be min, max, got up"),
    ],
)
def test_early_stopping_watches_only_what_is_measured_and_no_test_data(
    overrides: list[str], message: str, composed: Composed
) -> None:
    with pytest.raises(ValueError, match=rf"^callbacks\.early_stopping.*{message}") as caught:
        build(composed("callbacks=early_stopping", *overrides))
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], list[dict[str, Tensor]]]:
    """A run with weight averaging and batch norm, and the trained network's own state after each of its steps."""
    folder = tmp_path_factory.mktemp("ema")
    config = compose(
        ["dataset=digits", "regularizer=batchnorm", "callbacks=ema", "callbacks.ema.decay=0.9", "threads=1",
         "trainer.max_epochs=4", "dataset.train_size=200"]
    )  # fmt: skip
    states: list[dict[str, Tensor]] = []
    step = Classifier.optimizer_step

    def recording(self: Classifier, *arguments: Any, **named: Any) -> None:
        step(self, *arguments, **named)
        states.append({name: value.detach().clone() for name, value in self.net.state_dict().items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Classifier, "optimizer_step", recording)
        run(folder, config, [])
    return folder, config, states


def average(states: list[dict[str, Tensor]], decay: float) -> dict[str, Tensor]:
    """The average by hand, in double precision, statistics of batch norm included."""
    found = {name: value.double() for name, value in states[0].items()}
    for state in states[1:]:
        found = {name: decay * value + (1 - decay) * state[name].double() for name, value in found.items()}
    return found


@pytest.mark.parametrize("checkpoint", ["best", "last"])
def test_checkpoints_hold_the_average_of_the_weights_after_every_step(
    checkpoint: str, averaged: tuple[Path, dict[str, Any], list[dict[str, Tensor]]]
) -> None:
    folder, _, states = averaged
    assert len(states) == 16
    saved = torch.load(folder / f"checkpoints/{checkpoint}.ckpt", weights_only=True)
    expected = average(states[: 4 * (saved["epoch"] + 1)], 0.9)
    for name, value in expected.items():
        if "num_batches" not in name:
            torch.testing.assert_close(saved["state_dict"][f"net.{name}"].double(), value, rtol=1e-4, atol=1e-6)
    own = states[4 * (saved["epoch"] + 1) - 1]
    assert not torch.equal(saved["state_dict"]["net.output.weight"], own["output.weight"])
    assert torch.equal(saved["current_model_state"]["net.output.weight"], own["output.weight"])


def test_curves_results_and_weights_all_belong_to_the_average(
    averaged: tuple[Path, dict[str, Any], list[dict[str, Tensor]]],
) -> None:
    folder, config, _ = averaged
    results = json.loads((folder / "results.json").read_text())
    best = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(best[f"net.{name}"], value) for name, value in weights(folder).items())
    rows = history(folder)
    row = rows[results["best_epoch"]]
    assert float(row["val/acc"]) == max(float(each["val/acc"]) for each in rows)
    # 200 training images are all in the probe, so the curve's row is the chosen checkpoint's whole score.
    for curve, name in (
        ("probe/loss", "train/loss"), ("probe/acc", "train/acc"), ("val/loss", "val/loss"), ("val/acc", "val/acc")
    ):  # fmt: skip
        assert float(row[curve]) == pytest.approx(results["metrics"][name], abs=1e-6)
    built = build(config)
    built.classifier.net.load_state_dict(weights(folder))
    found = score_splits(predict_splits(built.classifier.net, built.data))
    assert found == pytest.approx(results["metrics"], abs=1e-7)


def test_averaged_weights_are_what_is_scored_without_validation(tmp_path: Path) -> None:
    config = compose(["dataset=digits", "model=mlp_small", "threads=1", "dataset.train_size=200", "dataset.val_size=0"])
    config["trainer"]["max_epochs"] = 2
    config["callbacks"] = {"average": {"_target_": "pytorch_lightning.callbacks.WeightAveraging"}}
    results = run(tmp_path, config)
    assert (results.checkpoint, results.best_epoch) == ("last", 1)
    saved = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    for name, value in weights(tmp_path).items():
        assert torch.equal(value, saved["state_dict"][f"net.{name}"])
    assert not torch.equal(weights(tmp_path)["output.weight"], saved["current_model_state"]["net.output.weight"])


@pytest.mark.parametrize("by", ["configuration", "call"])
def test_averaging_after_the_last_checkpoint_is_refused(by: str, composed: Composed, tmp_path: Path) -> None:
    config = composed("model=mlp_small")
    target = "pytorch_lightning.callbacks.StochasticWeightAveraging"
    given = []
    if by == "call":
        given.append(StochasticWeightAveraging(swa_lrs=0.1))
    else:
        config["callbacks"] = {"swa": {"_target_": target, "swa_lrs": 0.1}}
    with pytest.raises(ValueError, match=r"^callbacks(\.swa|\[0\]): StochasticWeightAveraging .* use callbacks=ema"):
        run(tmp_path, config, callbacks=given)
    assert not (tmp_path / "history.csv").exists()


def test_evaluate_reproduces_the_averages_numbers(
    averaged: tuple[Path, dict[str, Any], list[dict[str, Tensor]]],
) -> None:
    folder, _, _ = averaged
    ended = CliRunner().invoke(app, ["evaluate", str(folder)])
    assert ended.exit_code == 0, ended.output
    metrics = json.loads((folder / "results.json").read_text())["metrics"]
    for name, value in metrics.items():
        assert f"{name:<11}{value:.6f}" in ended.output


def test_averaging_leaves_the_trained_weights_alone_and_no_decay_is_no_averaging(
    composed: Composed, tmp_path: Path
) -> None:
    run(tmp_path / "none", composed("trainer.max_epochs=2"), [])
    run(tmp_path / "zero", composed("trainer.max_epochs=2", "callbacks=ema", "callbacks.ema.decay=0"), [])
    first, second = weights(tmp_path / "none"), weights(tmp_path / "zero")
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("steps", "decay"), [(1, 0), (10, 0), (100, 0.9), (1_000, 0.99), (11_000, 0.999), (10**6, 0.999)]
)
def test_the_default_averages_over_the_last_tenth_of_the_steps_and_1000_at_most(steps: int, decay: float) -> None:
    assert averaging_decay(steps) == decay
    # What is left of the first step's weights in the end is nothing.
    assert decay ** (steps - 1) < 1e-4 or steps == 1


def test_the_default_decay_follows_the_number_of_steps_and_long_runs_keep_theirs(composed: Composed) -> None:
    assert composed("callbacks=ema", "trainer.max_epochs=24")["callbacks"]["ema"]["decay"] == round(1 - 10 / 96, 4)
    long = ["callbacks=ema", "trainer.max_epochs=2500"]
    assert config_hash(composed(*long)) == config_hash(composed(*long, "callbacks.ema.decay=0.999"))


def test_the_default_average_of_a_short_run_is_about_as_good_as_the_weights_that_it_averages(
    composed: Composed, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plain = run(tmp_path / "none", composed("trainer.max_epochs=12"), [])
    averaged = run(tmp_path / "ema", composed("trainer.max_epochs=12", "callbacks=ema"), [])
    assert (averaged.metrics["test/acc"] or 0) > (plain.metrics["test/acc"] or 1) - 0.05
    assert capfd.readouterr().err == ""


def test_an_explicit_decay_over_more_steps_than_a_run_trains_is_kept_and_told(
    composed: Composed, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = composed("callbacks=ema", "callbacks.ema.decay=0.999", "trainer.max_epochs=3")
    run(tmp_path, config, [])
    assert capfd.readouterr().err == (
        "callbacks.ema.decay=0.999: after the 12 steps of this run 99% of the averaged weights are still the first "
        "step's; 0.1667 would average over the last tenth\n"
    )
    assert averaging_warning(composed("callbacks=ema", "callbacks.ema.decay=1.0")) is not None
    assert averaging_warning(composed("callbacks=ema", "callbacks.ema.decay=0.7", "trainer.max_epochs=3")) is None
    assert averaging_warning(composed("callbacks=[ema,early_stopping]")) is None


def test_a_decay_out_of_range_is_refused_by_its_key(composed: Composed) -> None:
    with pytest.raises(ValueError, match=r"^callbacks\.ema: .*decay.*1\.5"):
        build(composed("callbacks=ema", "callbacks.ema.decay=1.5"))


def test_both_callbacks_together_stop_by_the_averages_curve(composed: Composed, tmp_path: Path) -> None:
    config = composed(
        "callbacks=[ema,early_stopping]", "callbacks.ema.decay=0.8", "callbacks.early_stopping.patience=2",
        "optimizer.lr=0.01", "trainer.max_epochs=60",
    )  # fmt: skip
    results = run(tmp_path, config, [])
    assert results.epochs_trained == (results.best_epoch or 0) + 3 == len(history(tmp_path))


def test_callbacks_are_part_of_the_identity_in_any_order(
    composed: Composed,
) -> None:
    both = [run_name(composed(f"callbacks=[{names}]")) for names in ("ema,early_stopping", "early_stopping,ema")]
    assert both[0] == both[1]
    plain = composed()
    assert len({both[0], run_name(composed("callbacks=ema")), run_name(plain)}) == 3
    for override in ("callbacks=none", "callbacks=[]", "callbacks=[none]"):
        assert run_name(composed(override)) == run_name(plain)
    assert config_hash(composed("histograms=true")) == config_hash(plain)


def test_a_callback_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="expected each of callbacks once"):
        check_choices(["callbacks=[ema,ema]"])


def test_only_callbacks_are_built_as_such(composed: Composed) -> None:
    config = composed()
    config["callbacks"] = {"system": {"_target_": "os.system", "command": "true"}}
    with pytest.raises(ValueError, match=r"^callbacks\.system\._target_: expected a subclass of Callback"):
        build(config)
