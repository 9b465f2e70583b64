"""Steps by chunks must train as Lightning's own single steps do, and leave to it what asks for single steps."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, GradientAccumulationScheduler, LambdaCallback, Timer
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.utils.data import DataLoader

from regbench.data import ImageData, chunks
from regbench.data.chunks import Chunks
from regbench.runs.parts import build
from regbench.runs.run import run
from regbench.training.classifier import Classifier
from regbench.training.fitting import fit
from regbench.training.interruption import Terminated
from tests.bits import final_bits

Composed = Callable[..., dict[str, Any]]
STEPS = 4  # of an epoch of the composed run
SMALL = "model=mlp_small"


class Watching(pl.Callback):
    """Does nothing at a step, but asks to be called."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        pass


class Noting(pl.Callback):
    """Notes of each epoch whether its steps went by chunks, and the steps until then."""

    def __init__(self) -> None:
        self.by_chunks: list[bool] = []
        self.steps: list[int] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.by_chunks.append(not pl_module.automatic_optimization)
        self.steps.append(trainer.global_step)


def followed(folder: Path, config: dict[str, Any], *callbacks: pl.Callback) -> Noting:
    """Run the configuration with further callbacks, and return what was noted of its epochs."""
    noting = Noting()
    run(folder, config, callbacks=[*callbacks, noting])
    return noting


def checkpoint(folder: Path, name: str = "last.ckpt") -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / name, weights_only=True)  # type: ignore[no-any-return]  # it is untyped


@pytest.mark.parametrize(
    ("length", "overrides"),
    [
        (200, ["regularizer=[batchnorm,dropout]"]),
        (3, [SMALL, "optimizer=sgd", "scheduler=one_cycle", "monitor=val/loss"]),
        (3, [SMALL, "optimizer=adamw", "scheduler=cosine", "regularizer=[augmentation,mixup]"]),
        (1, [SMALL, "callbacks=early_stopping", "dataset.batch_size=64"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_chunks_of_any_length_end_in_the_bits_of_single_steps(
    length: int, overrides: list[str], composed: Composed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(chunks, "STEPS_PER_CHUNK", length)
    config = composed("trainer.max_epochs=3", *overrides)
    by_chunks = followed(tmp_path / "chunks", config)
    single = followed(tmp_path / "single", config, Watching())
    assert by_chunks.by_chunks == [True] * 3
    assert single.by_chunks == [False] * 3
    assert by_chunks.steps == single.steps == [STEPS, 2 * STEPS, 3 * STEPS]
    assert final_bits(tmp_path / "chunks") == final_bits(tmp_path / "single")
    first, second = checkpoint(tmp_path / "chunks"), checkpoint(tmp_path / "single")
    for key in ("global_step", "lr_schedulers"):
        assert first[key] == second[key]
    for key in ("optimizer_states", "state_dict"):
        torch.testing.assert_close(first[key], second[key], rtol=0, atol=0)


def test_weights_alone_are_loaded_though_they_tell_of_no_steps(composed: Composed) -> None:
    classifier = build(composed()).classifier
    saved = {"state_dict": classifier.state_dict()}
    classifier.on_load_checkpoint(saved)
    assert saved.keys() == {"state_dict"}


@pytest.mark.parametrize("watched", [False, True], ids=["chunks", "single steps"])
@pytest.mark.parametrize("stopped_at", [STEPS + 2, 2 * STEPS])
def test_a_run_stopped_within_a_chunk_resumes_to_the_same_bits_either_way(
    stopped_at: int, watched: bool, composed: Composed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = composed(SMALL, "trainer.max_epochs=3", "regularizer=[batchnorm,dropout]", "scheduler=one_cycle")
    followed(tmp_path / "whole", config)
    loss, seen = Classifier.batch_loss, 0

    def stopping(self: Classifier, batch: Any) -> Tensor:
        nonlocal seen
        seen += 1
        if seen > stopped_at:
            raise KeyboardInterrupt
        return loss(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(Classifier, "batch_loss", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "broken", config)
    assert checkpoint(tmp_path / "broken")["global_step"] == stopped_at // STEPS * STEPS
    resumed = followed(tmp_path / "broken", config, *([Watching()] if watched else []))
    assert resumed.by_chunks == [not watched] * (3 - stopped_at // STEPS)
    assert resumed.steps[-1] == 3 * STEPS
    assert final_bits(tmp_path / "broken") == final_bits(tmp_path / "whole")


class Stop(pl.Callback):
    """Interrupts the run at a step of its second epoch."""

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.current_epoch == 1 and batch_idx == 1:
            raise KeyboardInterrupt


def test_a_run_of_single_steps_resumes_by_chunks_to_the_same_bits_and_count(composed: Composed, tmp_path: Path) -> None:
    config = composed(SMALL, "trainer.max_epochs=3", "regularizer=dropout", "scheduler=cosine")
    followed(tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        followed(tmp_path / "broken", config, Stop())
    resumed = followed(tmp_path / "broken", config)
    assert resumed.by_chunks == [True, True]
    assert resumed.steps == [2 * STEPS, 3 * STEPS]
    assert final_bits(tmp_path / "broken") == final_bits(tmp_path / "whole")


def test_a_sigterm_that_the_program_around_only_notes_ends_the_run_within_its_chunk(
    composed: Composed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loss, seen, noted = Classifier.batch_loss, 0, []

    def signalled(self: Classifier, batch: Any) -> Tensor:
        nonlocal seen
        seen += 1
        if seen == 2 * STEPS - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(self, batch)

    monkeypatch.setattr(Classifier, "batch_loss", signalled)
    before = signal.signal(signal.SIGTERM, lambda number, frame: noted.append(number))
    try:
        with pytest.raises(Terminated):
            run(tmp_path, composed(SMALL, "trainer.max_epochs=3"))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert noted
    assert seen == 2 * STEPS - 1
    assert checkpoint(tmp_path)["global_step"] == STEPS
    assert json.loads((tmp_path / "results.json").read_text())["status"] == "interrupted"


def test_an_optimizer_that_wants_gradients_more_than_once_gets_them(composed: Composed, tmp_path: Path) -> None:
    config = composed(SMALL)
    config["optimizer"] = {"_target_": "torch.optim.LBFGS", "name": "lbfgs", "lr": 0.1, "max_iter": 3}
    assert followed(tmp_path / "chunks", config).by_chunks == [True]
    followed(tmp_path / "single", config, Watching())
    assert final_bits(tmp_path / "chunks") == final_bits(tmp_path / "single")


class Careless(torch.optim.SGD):
    """Takes its step without gradients, and lets its closure see to them, as Lightning does."""

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor]) -> torch.Tensor:
        loss = closure()
        super().step()
        return loss


def test_the_closure_sees_to_gradients_itself(composed: Composed, tmp_path: Path) -> None:
    config = composed(SMALL)
    config["optimizer"] = {"_target_": f"{__name__}.Careless", "name": "careless", "lr": 0.1}
    assert followed(tmp_path / "chunks", config).by_chunks == [True]
    followed(tmp_path / "single", config, Watching())
    assert final_bits(tmp_path / "chunks") == final_bits(tmp_path / "single")


class Idle(torch.optim.SGD):
    """Never asks for gradients."""

    def step(self, closure: object = None) -> None:
        pass


def test_an_optimizer_that_never_asks_for_gradients_is_refused(composed: Composed, tmp_path: Path) -> None:
    config = composed(SMALL)
    config["optimizer"] = {"_target_": f"{__name__}.Idle", "name": "idle", "lr": 0.1}
    with pytest.raises(RuntimeError, match=r"optimizer: expected a step that calls its closure.*Idle does not"):
        run(tmp_path, config)


def test_a_schedule_that_looks_at_a_metric_is_refused(composed: Composed, tmp_path: Path) -> None:
    config = composed(SMALL)
    config["scheduler"] = {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "name": "plateau"}
    with pytest.raises(Exception, match="must include a monitor when a `ReduceLROnPlateau`"):
        run(tmp_path, config)


def test_gradients_are_accumulated_from_the_epoch_on_that_a_callback_names(composed: Composed, tmp_path: Path) -> None:
    config = composed(SMALL, "trainer.max_epochs=3", "dataset.batch_size=20")
    noted = followed(tmp_path, config, GradientAccumulationScheduler({1: 2}))
    assert noted.by_chunks == [False] * 3
    assert noted.steps == [10, 10 + 5, 10 + 5 + 5]


class Late(pl.Callback):
    """Asks for accumulated gradients when training has begun already."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.accumulate_grad_batches = 1 + trainer.current_epoch


def test_what_asks_for_single_steps_too_late_is_refused(composed: Composed, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"callbacks: expected what asks for single steps .* in epoch 2"):
        followed(tmp_path, composed(SMALL, "trainer.max_epochs=2"), Late())
    assert checkpoint(tmp_path)["global_step"] == STEPS


class Strategy(SingleDeviceStrategy):
    """A strategy that may do anything at a step."""


def fitted(
    config: dict[str, Any],
    module: type[Classifier] = Classifier,
    data: type[ImageData] = ImageData,
    **asked: Any,
) -> Noting:
    """Train for an epoch with a trainer, module or data of one's own, and return what was noted."""
    off = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False)
    arguments: dict[str, Any] = {"accelerator": "cpu", "devices": 1, "max_epochs": 1, "limit_val_batches": 0}
    arguments |= {"log_every_n_steps": 0} | off | asked
    built, noting = build(config), Noting()
    built.classifier.__class__, built.data.__class__ = module, data
    arguments["callbacks"] = [*asked.get("callbacks", []), noting]
    fit(lambda: pl.Trainer(**arguments), built.classifier, built.data)
    return noting


def named(asked: dict[str, Any]) -> str:
    """Name what is asked for; objects by their class, as every test process must."""

    def shown(value: Any) -> str:
        values = value if isinstance(value, list) else [value]
        return "+".join(str(each) if isinstance(each, (int, float, str)) else type(each).__name__ for each in values)

    return " ".join(f"{key}={shown(value)}" for key, value in asked.items())


@pytest.mark.filterwarnings("ignore")  # Lightning's advice on loaders and loggers
@pytest.mark.parametrize(
    "asked",
    [
        {"gradient_clip_val": 1.0},
        {"accumulate_grad_batches": 2},
        {"limit_train_batches": 2},
        {"limit_train_batches": 0.5},
        {"overfit_batches": 2},
        {"fast_dev_run": True},
        {"max_steps": 4},
        {"min_steps": 2},
        {"max_time": "00:01:00:00"},
        {"val_check_interval": 2},
        {"val_check_interval": 0.5},
        {"val_check_interval": "00:00:10:00"},
        {"log_every_n_steps": 1},
        {"precision": "bf16-mixed"},
        {"profiler": "simple"},
        {"callbacks": [Watching()]},
        {"callbacks": [EMAWeightAveraging()]},
        {"callbacks": [Timer()]},
        {"callbacks": [LambdaCallback(on_after_backward=lambda *_: None)]},
        {"strategy": Strategy(device="cpu")},
    ],
    ids=named,
)
def test_steps_are_lightnings_own_where_the_trainer_asks_for_them(asked: dict[str, Any], composed: Composed) -> None:
    assert fitted(composed(SMALL), **asked).by_chunks == [False]


@pytest.mark.parametrize(
    "asked", [{}, {"check_val_every_n_epoch": 2}, {"callbacks": [LambdaCallback(on_fit_end=print)]}]
)
def test_steps_go_by_chunks_where_nothing_asks_for_single_ones(asked: dict[str, Any], composed: Composed) -> None:
    assert fitted(composed(SMALL), **asked).by_chunks == [True]


STEP_HOOKS = [
    *("on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward"),
    *("on_before_optimizer_step", "on_train_batch_end"),
]


def filling(owner: type, hook: str, calls: list[str]) -> Any:
    """Return a subclass of an owner of hooks that fills one of them, and notes its calls."""

    def filled(self: Any, *args: Any, **more: Any) -> Any:
        calls.append(hook)
        return getattr(owner, hook)(self, *args, **more)

    return type("Hooked", (owner,), {hook: filled})


@pytest.mark.parametrize("hook", STEP_HOOKS)
def test_every_hook_of_a_callback_is_called_at_each_step(hook: str, composed: Composed) -> None:
    calls: list[str] = []
    assert fitted(composed(SMALL), callbacks=[filling(pl.Callback, hook, calls)()]).by_chunks == [False]
    assert len(calls) == STEPS


@pytest.mark.parametrize(
    "hook",
    [
        *STEP_HOOKS,
        *("optimizer_zero_grad", "backward", "configure_gradient_clipping", "optimizer_step", "lr_scheduler_step"),
        "training_step",
    ],
)
def test_every_hook_of_the_module_is_called_at_each_step(hook: str, composed: Composed) -> None:
    calls: list[str] = []
    noted = fitted(composed(SMALL, "scheduler=one_cycle"), filling(Classifier, hook, calls))
    assert noted.by_chunks == [False]
    assert len(calls) == STEPS


@pytest.mark.filterwarnings("ignore:You have overridden")  # Lightning tells which of the two it uses
@pytest.mark.parametrize(
    ("owner", "hook"),
    [
        (ImageData, "on_before_batch_transfer"),
        (ImageData, "transfer_batch_to_device"),
        (ImageData, "on_after_batch_transfer"),
        (Classifier, "on_before_batch_transfer"),
        (Classifier, "on_after_batch_transfer"),
    ],
)
def test_every_hook_of_a_batchs_way_to_the_device_is_called(owner: type, hook: str, composed: Composed) -> None:
    calls: list[str] = []
    hooked = filling(owner, hook, calls)
    noted = fitted(composed(SMALL), **{"module" if owner is Classifier else "data": hooked})
    assert noted.by_chunks == [False]
    assert len(calls) == STEPS


class OtherLoader(ImageData):
    """Data that serves its training batches in its own way."""

    def train_dataloader(self) -> Any:
        return DataLoader(list(self.training_batches()), batch_size=None)


@pytest.mark.filterwarnings("ignore")  # Lightning's advice on loaders
def test_a_loader_of_ones_own_is_left_to_lightning(composed: Composed) -> None:
    noted = fitted(composed(SMALL), data=OtherLoader)
    assert noted.by_chunks == [False]
    assert noted.steps == [STEPS]


class Loader:
    """Counts the batches that it was asked for."""

    def __init__(self, count: int) -> None:
        self.count, self.fetched = count, 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        for number in range(self.count):
            self.fetched += 1
            yield number


@pytest.mark.parametrize("count", [1, 3, 4, 6, 7])
def test_chunks_hold_every_batch_once_in_its_order_in_each_pass(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "STEPS_PER_CHUNK", 3)
    served = Chunks(Loader(count))
    for _ in range(2):
        lengths = [list(chunk) for chunk in served]
        assert len(lengths) == len(served)
        assert [batch for chunk in lengths for batch in chunk] == list(range(count))
        assert all(len(chunk) == 3 for chunk in lengths[:-1])


def test_a_chunk_fetches_a_batch_when_its_turn_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "STEPS_PER_CHUNK", 3)
    loader = Loader(7)
    for number, batch in enumerate(batch for chunk in Chunks(loader) for batch in chunk):
        assert batch == number
        assert loader.fetched == number + 1
