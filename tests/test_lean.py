"""`PlainSteps` must train as Lightning's own loop does, and leave to it what asks for more of a step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import GradientAccumulationScheduler, LambdaCallback
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch.utils.data import DataLoader, TensorDataset

from regbench import experiment
from regbench.classifier import Classifier
from regbench.experiment import build, run
from regbench.lean import PlainSteps, take_plain_steps
from tests.bits import final_bits

Composed = Callable[..., dict[str, Any]]


class Watching(pl.Callback):
    """Does nothing at a step, but asks to be called."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        pass


class Noting(pl.Callback):
    """Notes of each epoch whether its steps were plain."""

    def __init__(self) -> None:
        self.plain: list[bool] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(trainer.fit_loop.epoch_loop, PlainSteps)
        self.plain.append(trainer.fit_loop.epoch_loop.plain)


def plain_epochs(
    folder: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *callbacks: pl.Callback
) -> list[bool]:
    """Run the configuration with further callbacks, and return which epochs' steps were plain."""
    noting = Noting()

    def build_more(config: dict[str, Any]) -> experiment.Experiment:
        built = build(config)
        built.callbacks.extend([*callbacks, noting])
        return built

    with monkeypatch.context() as patched:
        patched.setattr(experiment, "build", build_more)
        run(folder, config, [])
    return noting.plain


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
    assert plain_epochs(tmp_path / "plain", config, monkeypatch) == [True] * 3
    assert plain_epochs(tmp_path / "own", config, monkeypatch, Watching()) == [False] * 3
    assert final_bits(tmp_path / "plain") == final_bits(tmp_path / "own")
    plain, own = (torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True) for name in ("plain", "own"))
    assert plain["global_step"] > 0
    for key in ("loops", "global_step", "lr_schedulers"):
        assert plain[key] == own[key]
    for key in ("optimizer_states", "state_dict"):
        torch.testing.assert_close(plain[key], own[key], rtol=0, atol=0)


@pytest.mark.parametrize("stopped_at", [6, 8])
def test_a_run_stopped_within_a_plain_step_goes_on_to_the_same_bits(
    stopped_at: int, composed: Composed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = composed("trainer.max_epochs=3", "regularizer=[batchnorm,dropout]", "scheduler=one_cycle")
    assert plain_epochs(tmp_path / "whole", config, monkeypatch) == [True] * 3
    step, seen = Classifier.training_step, 0

    def stopping(self: Classifier, *batch: Any) -> torch.Tensor:
        nonlocal seen
        seen += 1
        if seen > stopped_at:
            raise KeyboardInterrupt
        return step(self, *batch)

    with monkeypatch.context() as patched:
        patched.setattr(Classifier, "training_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "broken", config, [])
    assert plain_epochs(tmp_path / "broken", config, monkeypatch) == [True] * (3 - stopped_at // 4)
    assert final_bits(tmp_path / "broken") == final_bits(tmp_path / "whole")


def test_an_optimizer_that_wants_gradients_more_than_once_gets_them(
    composed: Composed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = composed("model=mlp_small")
    config["optimizer"] = {"_target_": "torch.optim.LBFGS", "name": "lbfgs", "lr": 0.1, "max_iter": 3}
    assert plain_epochs(tmp_path / "plain", config, monkeypatch) == [True]
    plain_epochs(tmp_path / "own", config, monkeypatch, Watching())
    assert final_bits(tmp_path / "plain") == final_bits(tmp_path / "own")


class Careless(torch.optim.SGD):
    """Takes its step without gradients, and lets its closure see to them, as Lightning does."""

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor]) -> torch.Tensor:
        loss = closure()
        super().step()
        return loss


def test_the_closure_sees_to_gradients_itself(
    composed: Composed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = composed()
    config["optimizer"] = {"_target_": f"{__name__}.Careless", "name": "careless", "lr": 0.1}
    assert plain_epochs(tmp_path / "plain", config, monkeypatch) == [True]
    plain_epochs(tmp_path / "own", config, monkeypatch, Watching())
    assert final_bits(tmp_path / "plain") == final_bits(tmp_path / "own")


class Idle(torch.optim.SGD):
    """Never asks for gradients."""

    def step(self, closure: object = None) -> None:
        pass


def test_an_optimizer_that_never_asks_for_gradients_is_refused(composed: Composed, tmp_path: Path) -> None:
    config = composed()
    config["optimizer"] = {"_target_": f"{__name__}.Idle", "name": "idle", "lr": 0.1}
    with pytest.raises(RuntimeError, match=r"optimizer: expected a step that calls its closure.*Idle does not"):
        run(tmp_path, config, [])


def test_gradients_are_accumulated_from_the_epoch_on_that_a_callback_names(
    composed: Composed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = composed("trainer.max_epochs=3", "dataset.batch_size=20")
    accumulate = GradientAccumulationScheduler({1: 2})
    assert plain_epochs(tmp_path / "plain", config, monkeypatch, accumulate) == [True, False, False]
    plain_epochs(tmp_path / "own", config, monkeypatch, accumulate, Watching())
    assert final_bits(tmp_path / "plain") == final_bits(tmp_path / "own")
    steps = torch.load(tmp_path / "plain/checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert steps == 10 + 5 + 5


def test_limits_of_the_trainer_hold_for_plain_steps(
    composed: Composed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = composed("dataset.batch_size=20")
    config["trainer"] |= {"limit_train_batches": 3, "max_epochs": 2}
    assert plain_epochs(tmp_path, config, monkeypatch) == [True, True]
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 6


class Line(pl.LightningModule):
    """A straight line, fitted as Lightning's users write it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return ((self.layer(batch[0]) - batch[1]) ** 2).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class Manual(Line):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False


class Strategy(SingleDeviceStrategy):
    """A strategy that may do anything at a step."""


def fitted(module: pl.LightningModule, **asked: Any) -> bool:
    """Fit a module for an epoch of two batches, and return whether its steps were plain."""
    off = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False)
    trainer = pl.Trainer(**{"accelerator": "cpu", "devices": 1, "max_epochs": 1} | off | asked)
    take_plain_steps(trainer)
    trainer.fit(module, DataLoader(TensorDataset(torch.ones(4, 1), torch.ones(4, 1)), 2))
    assert isinstance(trainer.fit_loop.epoch_loop, PlainSteps)
    return trainer.fit_loop.epoch_loop.plain


@pytest.mark.filterwarnings("ignore")  # Lightning's advice on loaders
@pytest.mark.parametrize(
    "asked",
    [
        {"gradient_clip_val": 1.0},
        {"accumulate_grad_batches": 2},
        {"precision": "bf16-mixed"},
        {"profiler": "simple"},
        {"callbacks": [Watching()]},
        {"callbacks": [LambdaCallback(on_after_backward=lambda *_: None)]},
        {"strategy": Strategy(device="cpu")},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_steps_are_lightnings_own_where_the_trainer_asks_for_more(asked: dict[str, Any]) -> None:
    assert fitted(Line())
    assert not fitted(Line(), **asked)


STEP_HOOKS = [
    *("on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward"),
    *("on_before_optimizer_step", "on_train_batch_end"),
]


@pytest.mark.filterwarnings("ignore")  # Lightning's advice on loaders
@pytest.mark.parametrize("hook", STEP_HOOKS)
def test_steps_are_lightnings_own_for_every_hook_of_a_callback(hook: str) -> None:
    assert not fitted(Line(), callbacks=[type("Hooked", (pl.Callback,), {hook: lambda *_: None})()])


@pytest.mark.filterwarnings("ignore")  # Lightning's advice on loaders
@pytest.mark.parametrize(
    "hook", [*STEP_HOOKS, "optimizer_zero_grad", "backward", "configure_gradient_clipping", "optimizer_step"]
)
def test_steps_are_lightnings_own_for_every_hook_of_a_module(hook: str) -> None:
    def filled(self: Line, *args: Any, **more: Any) -> Any:
        return getattr(super(type(self), self), hook)(*args, **more)

    assert not fitted(type("Hooked", (Line,), {hook: filled})())


@pytest.mark.filterwarnings("ignore")  # Lightning's advice on loaders
def test_steps_are_lightnings_own_for_manual_optimization() -> None:
    assert not fitted(Manual())
