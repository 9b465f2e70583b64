"""Stochastic weight averaging: the mean of the last epochs' weights is what is scored, checkpointed and saved."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F
from typer.testing import CliRunner

from regbench.cli import app
from regbench.config.budget import averaging_warning
from regbench.runs.parts import build
from regbench.runs.run import run
from tests.bits import final_bits

Composed = Callable[..., dict[str, Any]]
SWA = "callbacks=stochastic_weight_averaging"


class States(pl.Callback):
    """Keeps the training's own weights at each epoch's end, before they give way to the average."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Tensor]] = []
        self.by_chunks: list[bool] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.seen.append({name: value.detach().clone() for name, value in pl_module.net.state_dict().items()})
        self.by_chunks.append(not pl_module.automatic_optimization)


def trained(folder: Path, config: dict[str, Any]) -> States:
    states = States()
    run(folder, config, callbacks=[states])
    return states


def saved(folder: Path, name: str = "last.ckpt") -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / name, weights_only=True)  # type: ignore[no-any-return]  # it is untyped


def history(folder: Path, column: str) -> list[float]:
    with (folder / "history.csv").open(newline="") as file:
        return [float(row[column]) for row in csv.DictReader(file)]


def test_the_last_epochs_are_averaged_in_equal_shares_and_training_goes_on_by_chunks_as_without(
    composed: Composed, tmp_path: Path
) -> None:
    epochs = ["model=mlp_small", "trainer.max_epochs=5", "optimizer.lr=0.01"]
    plain = trained(tmp_path / "plain", composed(*epochs))
    config = composed(*epochs, SWA, "callbacks.stochastic_weight_averaging.start=0.4")
    averaged = trained(tmp_path / "averaged", config)
    assert averaged.by_chunks == [True] * 5
    for own, other in zip(averaged.seen, plain.seen, strict=True):
        assert all(torch.equal(own[name], other[name]) for name in own)
    checkpoint = saved(tmp_path / "averaged")
    assert checkpoint["epoch"] == 4
    for name, value in checkpoint["state_dict"].items():
        if name.startswith("net."):
            mean = torch.stack([state[name.removeprefix("net.")].double() for state in plain.seen[2:]]).mean(0)
            torch.testing.assert_close(value.double(), mean, rtol=1e-5, atol=1e-7)
    for column in ("val/loss", "probe/loss"):
        own, other = history(tmp_path / "averaged", column), history(tmp_path / "plain", column)
        assert own[:3] == other[:3]  # an average of one is no other
        assert own[3] != other[3]


def test_results_and_weights_belong_to_the_average(composed: Composed, tmp_path: Path) -> None:
    config = composed("model=mlp_small", "trainer.max_epochs=4", "dataset.val_size=0", SWA)
    config["callbacks"]["stochastic_weight_averaging"]["start"] = 0.25
    states = trained(tmp_path, config)
    net = build(config).classifier.net
    kept = torch.load(tmp_path / "checkpoints/weights.pt", weights_only=True)
    mean = {name: torch.stack([state[name] for state in states.seen[1:]]).mean(0) for name in kept}
    for name, value in kept.items():
        torch.testing.assert_close(value, mean[name], rtol=1e-5, atol=1e-7)
    net.load_state_dict(mean)
    data = build(config).data
    data.setup()
    images, labels = data.splits["test"]
    loss = F.cross_entropy(net.eval()(images), labels).item()
    metrics = json.loads((tmp_path / "results.json").read_text())["metrics"]
    assert metrics["test/loss"] == pytest.approx(loss, rel=1e-4)
    assert CliRunner().invoke(app, ["evaluate", str(tmp_path)]).exit_code == 0


def test_batch_norms_statistics_are_those_of_the_averaged_weights(composed: Composed, tmp_path: Path) -> None:
    config = composed("model=mlp_small", "regularizer=batchnorm", "trainer.max_epochs=3", SWA, "dataset.val_size=0")
    config["callbacks"]["stochastic_weight_averaging"]["start"] = 0.4
    states = trained(tmp_path, config)
    net = build(config).classifier.net
    kept = torch.load(tmp_path / "checkpoints/weights.pt", weights_only=True)
    net.load_state_dict(kept)
    data = build(config).data
    data.setup()
    features: list[Tensor] = []
    net.get_submodule("h1").register_forward_hook(lambda module, inputs, output: features.append(output))
    with torch.no_grad():
        net(data.splits["train"].images)
    (found,) = features
    torch.testing.assert_close(kept["h1_before.0.running_mean"], found.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(kept["h1_before.0.running_var"], found.var(0), rtol=1e-4, atol=1e-5)
    # The training's own are left to it.
    assert not torch.equal(states.seen[-1]["h1_before.0.running_mean"], kept["h1_before.0.running_mean"])


class Stop(pl.Callback):
    """Interrupts a run when its last epoch begins."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 3:
            raise KeyboardInterrupt


def test_a_run_stopped_among_the_averaged_epochs_resumes_to_the_same_bits(composed: Composed, tmp_path: Path) -> None:
    config = composed("model=mlp_small", "regularizer=[batchnorm,dropout]", "trainer.max_epochs=4", SWA)
    config["callbacks"]["stochastic_weight_averaging"]["start"] = 0.25
    run(tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", config, callbacks=[Stop()])
    assert run(tmp_path / "broken", config).provenance["resumed_after"] == 3
    assert final_bits(tmp_path / "broken") == final_bits(tmp_path / "whole")


def test_two_averages_of_the_weights_are_refused(composed: Composed) -> None:
    config = composed("callbacks=[ema,stochastic_weight_averaging]")
    expected = r"^callbacks: expected one that averages weights, .* received ema, stochastic_weight_averaging$"
    with pytest.raises(ValueError, match=expected):
        build(config)


def test_an_average_of_one_epoch_is_told(composed: Composed) -> None:
    told = averaging_warning(composed(SWA, "trainer.max_epochs=4"))
    assert told is not None
    assert told.startswith(
        "callbacks.stochastic_weight_averaging.start=0.75: of the 4 epochs of this run the last alone"
    )
    assert averaging_warning(composed(SWA, "trainer.max_epochs=8")) is None
