"""`PlainSteps` must train as Lightning's own loop does, and stand back where it cannot."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import GradientAccumulationScheduler

from regbench import experiment
from regbench.experiment import build, run
from regbench.lean import PlainSteps, take_plain_steps
from tests.bits import final_bits

Composed = Callable[..., dict[str, Any]]


class Watching(pl.Callback):
    """Does nothing at a step, but asks to be called."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        pass


def trained(folder: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *callbacks: Any) -> type:
    """Run the configuration with further callbacks, and return the class of the loop that trained."""
    loops: list[type] = []

    def build_more(config: dict[str, Any]) -> experiment.Experiment:
        built = build(config)
        built.callbacks.extend([*callbacks, Noting(loops)])
        return built

    with monkeypatch.context() as patched:
        patched.setattr(experiment, "build", build_more)
        run(folder, config, [])
    return loops[0]


class Noting(pl.Callback):
    """Notes which loop trains."""

    def __init__(self, loops: list[type]) -> None:
        self.loops = loops

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.loops.append(type(trainer.fit_loop.epoch_loop))


@pytest.mark.parametrize(
    "overrides",
    [
        ["regularizer=[batchnorm,dropout]"],
        ["optimizer=sgd", "scheduler=one_cycle", "monitor=val/loss"],
        ["callbacks=early_stopping", "dataset.batch_size=64"],
    ],
    ids=" ".join,
)
def test_plain_steps_end_in_the_bits_and_the_progress_of_lightnings_own_loop(
    overrides: list[str], composed: Composed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = composed("trainer.max_epochs=3", *overrides)
    assert trained(tmp_path / "plain", config, monkeypatch) is PlainSteps
    assert trained(tmp_path / "own", config, monkeypatch, Watching()) is not PlainSteps
    assert final_bits(tmp_path / "plain") == final_bits(tmp_path / "own")
    plain, own = (torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True) for name in ("plain", "own"))
    assert plain["loops"] == own["loops"]
    assert plain["global_step"] == own["global_step"] > 0
    assert plain["lr_schedulers"] == own["lr_schedulers"]


def test_an_optimizer_that_wants_gradients_more_than_once_gets_them(
    composed: Composed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = composed("model=mlp_small")
    config["optimizer"] = {"_target_": "torch.optim.LBFGS", "name": "lbfgs", "lr": 0.1, "max_iter": 3}
    assert trained(tmp_path / "plain", config, monkeypatch) is PlainSteps
    trained(tmp_path / "own", config, monkeypatch, Watching())
    assert final_bits(tmp_path / "plain") == final_bits(tmp_path / "own")


def loop_of(module: pl.LightningModule, **asked: Any) -> type:
    """Return the class of the loop that trains a module."""
    off = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False)
    trainer = pl.Trainer(**{"accelerator": "cpu", "devices": 1, "max_epochs": 1} | off | asked)
    take_plain_steps(trainer, module)
    return type(trainer.fit_loop.epoch_loop)


def test_gradients_are_accumulated_from_the_epoch_on_that_a_callback_names(
    composed: Composed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = composed("trainer.max_epochs=3", "dataset.batch_size=20")
    assert trained(tmp_path / "plain", config, monkeypatch, GradientAccumulationScheduler({1: 2})) is PlainSteps
    trained(tmp_path / "own", config, monkeypatch, GradientAccumulationScheduler({1: 2}), Watching())
    assert final_bits(tmp_path / "plain") == final_bits(tmp_path / "own")
    steps = torch.load(tmp_path / "plain/checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert steps == 10 + 5 + 5


@pytest.mark.parametrize(
    "asked",
    [
        {"gradient_clip_val": 1.0},
        {"precision": "bf16-mixed"},
        {"profiler": "simple"},
        {"callbacks": [Watching()]},
        {"strategy": "ddp"},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_lightnings_own_loop_stays_where_more_is_asked_of_a_step(asked: dict[str, Any], composed: Composed) -> None:
    module = build(composed()).classifier
    assert loop_of(module) is PlainSteps
    assert loop_of(module, **asked) is not PlainSteps


@pytest.mark.parametrize("hook", ["on_after_backward", "optimizer_step", "configure_gradient_clipping"])
def test_lightnings_own_loop_stays_for_a_module_with_a_step_of_its_own(
    hook: str, composed: Composed, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = build(composed()).classifier
    monkeypatch.setattr(type(module), hook, lambda *_: None)
    assert loop_of(module) is not PlainSteps


def test_limits_of_the_trainer_count_plain_steps(
    composed: Composed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = composed("dataset.batch_size=20")
    config["trainer"] |= {"limit_train_batches": 3, "max_epochs": 2}
    assert trained(tmp_path, config, monkeypatch) is PlainSteps
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 6
