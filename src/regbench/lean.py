"""Takes away what Lightning and the system do at each step though nothing needs it: a small network's step is short."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loops.fetchers import _DataFetcher
from pytorch_lightning.loops.progress import _OptimizerProgress
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.plugins import Precision
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor

_STEP_HOOKS = (
    *("on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward"),
    *("on_before_optimizer_step", "on_train_batch_end"),
)
_STEP_METHODS = ("optimizer_zero_grad", "backward", "configure_gradient_clipping", "optimizer_step")
_NVML_CHECK = "PYTORCH_NVML_BASED_CUDA_CHECK"
# Of glibc's malloc.h: above how much free memory, and for how large a block, memory goes back to the system; in bytes.
_MALLOPT = {-1: 1 << 30, -3: 1 << 25}  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD


class PlainSteps(_TrainingEpochLoop):
    """Lightning's loop over an epoch's batches with a training step as one writes it by hand.

    Progress, schedules, validation, checkpoints and signals stay Lightning's: a run goes on from a checkpoint of either
    loop, to the same bits. What goes is what surrounds each step for hooks, plugins and devices that are not there,
    some 950 calls of Python functions, which take 600 µs beside LeNet-5's arithmetic.

    Attributes:
        plain: Whether this epoch's steps are plain. Where something asks for more of them, they are Lightning's own.
    """

    plain = False

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        """Look at the start of each epoch for what asks for more: callbacks may change the trainer in between."""
        super().on_run_start(data_fetcher)
        if not self.restarting:
            self.val_loop.restarting = False  # as Lightning does at every step
        self.plain = not _asks_for_more(self.trainer)

    def advance(self, data_fetcher: _DataFetcher) -> None:
        """Train on the next batch."""
        if self.restarting or not self.plain:
            super().advance(data_fetcher)
            return
        progress = self.automatic_optimization.optim_progress.optimizer
        batch, _, _ = next(data_fetcher)
        self.batch_progress.is_last_batch = data_fetcher.done
        self.batch_progress.increment_ready()
        self.batch_progress.increment_started()
        progress.step.increment_ready()
        self._optimize(batch, progress)
        progress.step.increment_completed()
        self.batch_progress.increment_processed()
        self.update_lr_schedulers("step", update_plateau_schedulers=False)
        if self._num_ready_batches_reached():
            self.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        self.batch_progress.increment_completed()

    def _optimize(self, batch: Any, progress: _OptimizerProgress) -> None:
        module, optimizer = self.trainer.lightning_module, self.trainer.optimizers[0]
        called = False

        def differentiate() -> Tensor:
            nonlocal called
            called = True
            with torch.enable_grad():
                loss: Tensor = module.training_step(batch, self.batch_idx)
                progress.zero_grad.increment_ready()
                progress.zero_grad.increment_started()
                optimizer.zero_grad()
                progress.zero_grad.increment_completed()
                loss.backward()
            return loss

        # Handed over, since some optimizers (L-BFGS) want the gradients more than once.
        optimizer.step(closure=differentiate)
        if not called:
            raise RuntimeError(
                "optimizer: expected a step that calls its closure, as those of torch.optim do; that of "
                f"{type(optimizer).__name__} does not, so nothing would be learned"
            )


def take_plain_steps(trainer: pl.Trainer) -> None:
    """Put `PlainSteps` in the place of the trainer's own loop over an epoch's batches."""
    own = trainer.fit_loop.epoch_loop
    trainer.fit_loop.epoch_loop = PlainSteps(trainer, own.min_steps, own.max_steps)


def _asks_for_more(trainer: pl.Trainer) -> bool:
    """Return whether a step is more than forwards, backwards and an update, on batches that are on the device."""
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set at run time
    return (
        any(_fills(callback, pl.Callback, _STEP_HOOKS) for callback in callbacks)
        or _fills(trainer.lightning_module, pl.LightningModule, _STEP_HOOKS + _STEP_METHODS)
        or not trainer.lightning_module.automatic_optimization
        or trainer.accumulate_grad_batches != 1
        or trainer.gradient_clip_val is not None
        or type(trainer.precision_plugin) is not Precision
        or type(trainer.strategy) is not SingleDeviceStrategy
        or not isinstance(trainer.profiler, PassThroughProfiler)  # type: ignore[attr-defined]  # set at run time
    )


def _fills(owner: Any, base: type, hooks: tuple[str, ...]) -> bool:
    """Return whether the owner, or its class, defines one of the hooks that the base leaves as they are."""
    return any(getattr(getattr(owner, hook), "__func__", None) is not getattr(base, hook) for hook in hooks)


@contextlib.contextmanager
def cheap_device_check() -> Iterator[None]:
    """Let Adam's question for a GPU, asked at each step, be answered by the CUDA runtime.

    Importing Lightning has it answered by NVML, so that asking does not keep a process from forking; where there is no
    GPU, each answer loads a library in vain then.
    """
    asked = os.environ.pop(_NVML_CHECK, None)
    try:
        yield
    finally:
        if asked is not None:
            os.environ[_NVML_CHECK] = asked


def keep_freed_memory() -> None:
    """Let freed memory be used again by the process instead of going back to the system.

    A step frees some 12 MB of activations. Where glibc gives them back, the next step gets them as pages that the
    system fills with zeros first: 2,900 pages in 6 ms, most of what the step itself takes. Elsewhere nothing is done.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for parameter, value in _MALLOPT.items():
            libc.mallopt(parameter, value)
