"""`ChunkedModule`: a LightningModule that takes many steps in one call of Lightning's loop, where nothing watches them.

Lightning surrounds each batch with hooks, plugins and checks: some 1,000 calls of Python functions, which take longer
than a small network's step. So a chunk of batches is what Lightning knows as a batch, and the module itself takes the
steps (manual optimization). Where something asks for single steps, they are Lightning's own (automatic optimization).
"""

from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import GradientAccumulationScheduler
from pytorch_lightning.plugins import Precision
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor
from torch.optim import Optimizer

from regbench.data import ImageData
from regbench.data.chunks import Chunk

_STEP_HOOKS = (
    *("on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward"),
    *("on_before_optimizer_step", "on_train_batch_end"),
)
_STEP_METHODS = (
    *("optimizer_zero_grad", "backward", "configure_gradient_clipping", "optimizer_step", "lr_scheduler_step"),
)
_TRANSFER_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
# The trainer's options that count, limit or change steps, with the values at which they do not.
_INDIFFERENT = {
    "accumulate_grad_batches": 1,
    "gradient_clip_val": None,
    "limit_train_batches": 1.0,
    "overfit_batches": 0.0,
    "max_steps": -1,
    "min_steps": None,
    "val_check_interval": 1.0,
    "log_every_n_steps": 0,
}


class ChunkedModule(pl.LightningModule):
    """Takes its training steps by chunks, to the same bits as step by step.

    Within a chunk no hook is called, and Lightning's counts of batches are counts of chunks. `trainer.global_step` and
    the schedules are those of single steps; a run resumes from checkpoints of either way.
    """

    def batch_loss(self, batch: Any) -> Tensor:
        """Return the loss of a batch, a scalar, from which gradients are taken."""
        raise NotImplementedError

    def on_fit_start(self) -> None:
        """Decide once whether this training goes by chunks; the trainer's loaders follow `automatic_optimization`."""
        self.automatic_optimization = asks_for_single_steps(self.trainer)

    def on_train_epoch_start(self) -> None:
        """Refuse what asks for single steps too late.

        Raises:
            RuntimeError: A callback, or what else changed the trainer since training began, asks for them now.
        """
        if not self.automatic_optimization and asks_for_single_steps(self.trainer):
            raise RuntimeError(
                f"callbacks: expected what asks for single steps to be there when training begins; in epoch "
                f"{self.current_epoch + 1} a hook or an option of the trainer asks for them that did not before"
            )

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """Return the loss of a batch, from which Lightning takes its step; or take the steps of a whole chunk."""
        if self.automatic_optimization:
            return self.batch_loss(batch)
        self._take_steps(batch if isinstance(batch, Chunk) else Chunk([batch]))
        return None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let `trainer.global_step` resume from a checkpoint of either way: each counts steps in its own place."""
        if "loops" not in checkpoint:  # weights alone
            return
        loop = checkpoint["loops"]["fit_loop"]
        for progress in (
            loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"],
            loop["epoch_loop.manual_optimization.optim_step_progress"],
        ):
            progress["total"] = {"ready": checkpoint["global_step"], "completed": checkpoint["global_step"]}

    def _take_steps(self, chunk: Chunk) -> None:
        """Train on each batch as Lightning's automatic optimization does where no hook is filled.

        Raises:
            SIGTERMException: The process was told to end.
        """
        trainer = self.trainer
        (optimizer,) = trainer.optimizers
        each_step, each_epoch = schedules(trainer, "step"), schedules(trainer, "epoch")
        # Lightning itself counts the steps of its wrapper of the optimizer, which calls the hooks of a step each time.
        counted = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        for batch in chunk:
            self._take_step(optimizer, batch)
            counted.increment_by(1)
            for scheduler in each_step:
                scheduler.step()
            # Lightning itself looks after a chunk only, and would finish the epoch after the last one.
            if trainer.received_sigterm:
                raise SIGTERMException
        if trainer.is_last_batch:
            for scheduler in each_epoch:
                scheduler.step()

    def _take_step(self, optimizer: Optimizer, batch: Any) -> None:
        """Take the step on a batch.

        Raises:
            RuntimeError: The optimizer asked for no gradients.
        """
        called = False

        def differentiate() -> Tensor:
            nonlocal called
            called = True
            with torch.enable_grad():
                loss = self.batch_loss(batch)
                optimizer.zero_grad()
                loss.backward()
            return loss

        # Handed over, since some optimizers (L-BFGS) want the gradients more than once.
        optimizer.step(closure=differentiate)  # type: ignore[arg-type]  # torch's closures return tensors
        if not called:
            raise RuntimeError(
                "optimizer: expected a step that calls its closure, as those of torch.optim do; that of "
                f"{type(optimizer).__name__} does not, so nothing would be learned"
            )


def schedules(trainer: pl.Trainer, interval: Literal["step", "epoch"]) -> list[Any]:
    """Return the schedules that move on after every step, or after every epoch."""
    return [config.scheduler for config in trainer.lr_scheduler_configs if config.interval == interval]


def asks_for_single_steps(trainer: pl.Trainer) -> bool:
    """Return whether anything asks to see, to count or to change single steps or batches.

    That is any hook of a step or of a batch's way to the device that a callback, the module or the data fills; another
    `training_step`; a callback that accumulates gradients in later epochs; any option of the trainer about steps; any
    strategy, precision or profiler but the plain ones; any schedule that looks at a metric or skips steps; and data of
    which no chunks are known.
    """
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set at run time
    module, data = trainer.lightning_module, trainer.datamodule  # type: ignore[attr-defined]  # set at run time
    return (
        any(map(watches_steps, callbacks))
        or _fills(module, pl.LightningModule, _STEP_HOOKS + _STEP_METHODS + _TRANSFER_HOOKS)
        or _fills(module, ChunkedModule, ("training_step",))
        or not isinstance(data, ImageData)
        or _fills(data, ImageData, ("train_dataloader", *_TRANSFER_HOOKS))
        or any(getattr(trainer, option, "absent") != value for option, value in _INDIFFERENT.items())
        or any(config.reduce_on_plateau or config.frequency != 1 for config in trainer.lr_scheduler_configs)
        or type(trainer.precision_plugin) is not Precision
        or type(trainer.strategy) is not SingleDeviceStrategy
        or not isinstance(trainer.profiler, PassThroughProfiler)  # type: ignore[attr-defined]  # set at run time
    )


def watches_steps(callback: pl.Callback) -> bool:
    """Return whether a callback is called at single steps, or changes what they are."""
    return _fills(callback, pl.Callback, _STEP_HOOKS) or isinstance(callback, GradientAccumulationScheduler)


def _fills(owner: Any, base: type, hooks: tuple[str, ...]) -> bool:
    """Return whether the owner, or its class, defines one of the hooks that the base leaves as they are."""
    return any(getattr(getattr(owner, hook), "__func__", None) is not getattr(base, hook) for hook in hooks)
