"""Checkpoints after whole epochs: written atomically, read without running code that a file may contain."""

import functools
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins import CheckpointIO
from pytorch_lightning.callbacks import Checkpoint

from regbench.storage.files import replace_file
from regbench.training.weights import read_tensors, write_tensors

BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"

RUN = "run"  # the key of what is ours in Lightning's checkpoint

_NEXT = "next.ckpt"


class AtomicCheckpointIO(CheckpointIO):
    """Replaces checkpoints in one step, and reads nothing but tensors and plain values from them."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the checkpoint: a reader sees the old file or the new one."""
        write_tensors(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint; `weights_only` is true whatever is asked for.

        Raises:
            ValueError: The file is missing, damaged or holds more than tensors and plain values.
        """
        return read_checkpoint(Path(path), map_location)

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


class Checkpoints(Checkpoint):
    """Keeps the last whole epoch's checkpoint, the one before it and, where there is validation, the first best one.

    Each is written when its epoch is over, after all other callbacks, and holds whose run it is, so that
    `find_start` can tell it from another's.

    Args:
        folder: Where checkpoints are kept.
        monitor: `val/acc`, `val/loss` or another metric; `None` without validation, when the last epoch is the chosen
            one.
        higher_is_better: Whether the monitored metric is better when it is larger.
        identity: What `run_identity` gives.
        elapsed: Gives the run's seconds so far, over all calls.
        engine: What is to be known of who computes, when the run resumes.
    """

    def __init__(
        self,
        folder: Path,
        monitor: str | None,
        higher_is_better: bool,
        identity: Mapping[str, Any],
        elapsed: Callable[[], float],
        engine: Mapping[str, Any],
    ) -> None:
        self.folder = folder
        self.monitor = monitor
        self.higher_is_better = higher_is_better
        self.identity = dict(identity)
        self.elapsed = elapsed
        self.engine = dict(engine)
        self.best_score: float | None = None
        self.best_epoch: int | None = None
        self._stopped = False

    @property
    def chosen(self) -> Path:
        """The checkpoint that a finished run is scored with."""
        return self.folder / (BEST if self.monitor else LAST)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stay stopped where a callback had ended the training before the process did: Lightning forgets it."""
        trainer.should_stop = trainer.should_stop or self._stopped

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the epoch's checkpoints, the best one first: the last one must not name a best that is not there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        epoch = trainer.current_epoch
        following = self.folder / _NEXT
        if self.monitor is None:
            self.best_epoch = epoch
        elif self._is_better(score := trainer.callback_metrics[self.monitor].item()):
            self.best_score, self.best_epoch = score, epoch
            trainer.save_checkpoint(self.chosen)
            replace_file(following, functools.partial(shutil.copyfile, self.chosen))
        if self.best_epoch != epoch or self.monitor is None:
            trainer.save_checkpoint(following)
        if (self.folder / LAST).exists():
            (self.folder / LAST).replace(self.folder / PREVIOUS)
        following.replace(self.folder / LAST)

    def on_save_checkpoint(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Add whose run it is, how far it is and what is best so far."""
        checkpoint[RUN] = {
            "identity": self.identity,
            "epochs": trainer.current_epoch + 1,
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
            "seconds": self.elapsed(),
            "stopped": trainer.should_stop,
            "engine": self.engine,
        }

    def on_load_checkpoint(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Take up what was best so far."""
        state = checkpoint[RUN]
        self.best_score, self.best_epoch, self._stopped = (
            state["best_score"],
            state["best_epoch"],
            state["stopped"],
        )

    def _is_better(self, score: float) -> bool:
        if self.best_score is None:
            return True
        return score > self.best_score if self.higher_is_better else score < self.best_score


def read_checkpoint(path: Path, map_location: Any = None) -> dict[str, Any]:
    """Return a checkpoint's content; nothing in the file is ever run.

    Raises:
        ValueError: The file is missing, damaged or holds more than tensors and plain values.
    """
    checkpoint = read_tensors(path, map_location or "cpu")
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ValueError(f"{path}: expected a checkpoint of a run, received {type(checkpoint).__name__}")
    return checkpoint
