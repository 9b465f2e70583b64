"""Checkpoints at whole epochs: written atomically, verified before use, and where an unfinished run goes on from."""

import functools
import importlib.metadata
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
from lightning_fabric.plugins import CheckpointIO
from pytorch_lightning.callbacks import Checkpoint

from regbench import run_folder
from regbench.composition import config_hash
from regbench.weights import read_tensors, write_tensors

BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"

_NEXT = "next.ckpt"
_RUN = "run"  # the key of what is ours in Lightning's checkpoint


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
        monitor: `val/acc` or `val/loss`; `None` without validation, when the last epoch is the chosen one.
        identity: What `run_identity` gives.
        elapsed: Gives the run's seconds so far, over all calls.
    """

    def __init__(
        self, folder: Path, monitor: str | None, identity: Mapping[str, Any], elapsed: Callable[[], float]
    ) -> None:
        self.folder = folder
        self.monitor = monitor
        self.identity = dict(identity)
        self.elapsed = elapsed
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
            run_folder.replace_file(following, functools.partial(shutil.copyfile, self.chosen))
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
        checkpoint[_RUN] = {
            "identity": self.identity,
            "epochs": trainer.current_epoch + 1,
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
            "seconds": self.elapsed(),
            "stopped": trainer.should_stop,
        }

    def on_load_checkpoint(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Take up what was best so far."""
        state = checkpoint[_RUN]
        self.best_score, self.best_epoch, self._stopped = (
            state["best_score"],
            state["best_epoch"],
            state["stopped"],
        )

    def _is_better(self, score: float) -> bool:
        if self.best_score is None:
            return True
        return score < self.best_score if self.monitor == "val/loss" else score > self.best_score


class Start(NamedTuple):
    """Where a run begins: at its beginning, or after a checkpoint's whole epochs."""

    checkpoint: Path | None = None
    epochs: int = 0
    seconds: float = 0.0


def run_identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what must be the same for a run to go on from a checkpoint with the same numbers."""
    versions = {name: importlib.metadata.version(name) for name in ("regbench", "torch", "pytorch-lightning")}
    return {"configuration": config_hash(config), "seed": config.get("seed"), **versions}


def find_start(folder: Path, identity: Mapping[str, Any], *, validated: bool) -> Start:
    """Return where a run begins: after its last whole epoch, or the one before where that checkpoint is unusable.

    What cannot be used is set aside under another name, with a message. Where nothing is left, the run begins anew and
    nothing else of an earlier call stays in its folder.

    Args:
        folder: The run folder.
        identity: What `run_identity` gives.
        validated: Whether the run chooses a best checkpoint, which must be there too.
    """
    checkpoints = folder / run_folder.CHECKPOINTS
    tried = (checkpoints / LAST).exists() or (checkpoints / PREVIOUS).exists()
    start = _find_checkpoint(checkpoints, identity, validated)
    if start.checkpoint is not None:
        print(f"{folder}: goes on after epoch {start.epochs}", file=sys.stderr, flush=True)
        return start
    if tried:
        print(f"{folder}: no usable checkpoint is left, so the run begins anew", file=sys.stderr, flush=True)
    (folder / run_folder.HISTORY).unlink(missing_ok=True)
    for path in (*checkpoints.glob("*.ckpt"), *checkpoints.glob("*.pt")):
        path.unlink()
    if (folder / run_folder.TENSORBOARD).exists():
        shutil.rmtree(folder / run_folder.TENSORBOARD)
    return start


def read_checkpoint(path: Path, map_location: Any = None) -> dict[str, Any]:
    """Return a checkpoint's content; nothing in the file is ever run.

    Raises:
        ValueError: The file is missing, damaged or holds more than tensors and plain values.
    """
    checkpoint = read_tensors(path, map_location or "cpu")
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ValueError(f"{path}: expected a checkpoint of a run, received {type(checkpoint).__name__}")
    return checkpoint


def _find_checkpoint(folder: Path, identity: Mapping[str, Any], validated: bool) -> Start:
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            state = _read_state(path, identity)
        except ValueError as error:
            _set_aside(path, str(error))
            continue
        if validated and (reason := _why_best_is_unusable(folder / BEST, identity, state)):
            _set_aside(folder / BEST, reason)
            break
        return Start(path, state["epochs"], state["seconds"])
    return Start()


def _read_state(path: Path, identity: Mapping[str, Any]) -> dict[str, Any]:
    state = read_checkpoint(path).get(_RUN)
    if not isinstance(state, dict) or not isinstance(received := state.get("identity"), dict):
        raise ValueError(f"{path}: expected a checkpoint of this run, received one that names no run")
    for key, expected in identity.items():
        if received.get(key) != expected:
            raise ValueError(f"{path}: belongs to another run: expected {key} {expected}, received {received.get(key)}")
    return state


def _why_best_is_unusable(path: Path, identity: Mapping[str, Any], state: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the best checkpoint, if anything.

    It may be ahead of the last one, when the process ended between writing the two: that epoch is done again.
    """
    try:
        epochs = _read_state(path, identity)["epochs"]
    except ValueError as error:
        return str(error)
    if epochs == state["best_epoch"] + 1 or epochs > state["epochs"]:
        return None
    return f"{path}: expected the checkpoint of epoch {state['best_epoch'] + 1}, received that of epoch {epochs}"


def _set_aside(path: Path, reason: str) -> None:
    aside = path.with_name(f"{path.name}.refused")
    if path.exists():
        path.replace(aside)
        reason += f"; set aside as {aside.name}"
    print(reason, file=sys.stderr, flush=True)


class Stopwatch:
    """Seconds since a run began, those of earlier calls up to their last checkpoint included."""

    def __init__(self) -> None:
        self.earlier = 0.0
        self._started = time.perf_counter()

    def __call__(self) -> float:
        """Return the seconds so far."""
        return self.earlier + time.perf_counter() - self._started
