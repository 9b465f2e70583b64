"""A run's loggers, Lightning's own: opened before it trains, given what it logs, closed however it ends.

They watch: what they are is no part of a run's identity, so a run may resume with others. All but TensorBoard's begin
anew then, and are given the epochs before.
"""

import contextlib
import functools
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from regbench.config.errors import describe_error
from regbench.storage.files import write_text
from regbench.storage.results import RunResults
from regbench.storage.schema import LOGS, MLFLOW_RUN, TENSORBOARD, WANDB
from regbench.training.fitting import lightning_as_a_library
from regbench.training.history import History
from regbench.training.logger_nodes import LoggerNode, place_of
from regbench.training.mlflow_store import opening_store

_GROUPS = ("regularizer", "optimizer", "scheduler", "callbacks")
_GUARDED = ("log_metrics", "log_hyperparams", "save", "finalize")

# What these packages would send home, and print, by themselves.
_ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}


def tensorboards(loggers: Sequence[Logger]) -> list[TensorBoardLogger]:
    """Return those that show pictures and histograms."""
    return [each for each in loggers if isinstance(each, TensorBoardLogger)]


class Loggers:
    """The loggers of a run; as a context, they are closed at its end.

    Args:
        nodes: What they are.
        folder: The run folder.
    """

    def __init__(self, nodes: Sequence[LoggerNode], folder: Path) -> None:
        self.all: list[Logger] = []
        self._nodes = nodes
        self._folder = folder
        self._anew: list[Logger] = []

    def __enter__(self) -> "Loggers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for logger in self._others():
            if error is not None:
                logger.finalize("failed")
            if isinstance(logger, WandbLogger):
                with contextlib.suppress(Exception), _quiet():  # it was told of while it logged
                    logger.experiment.finish(exit_code=0 if error is None else 1)

    def open(self, name: str, parameters: Mapping[str, Any], epochs: int) -> list[Logger]:
        """Make the loggers and let them begin.

        Args:
            name: The run's name.
            parameters: Its hyperparameters.
            epochs: Those after which it resumes; 0 for a run from scratch.

        Returns:
            Them, for the trainer.

        Raises:
            ValueError: One cannot begin: a store or a server is not there, say. In one line that names it.
        """
        shown = (self._folder / TENSORBOARD).exists()
        earlier = _forget_logs(self._folder)
        for each in self._nodes:
            place = place_of(each.kind, self._folder, name, epochs + 1 if epochs else None)
            if issubclass(each.kind, TensorBoardLogger):
                logger = each.make(**place)
            else:
                logger = _begin(each, place, self._folder, earlier, parameters)
            self.all.append(logger)
            if not (shown and isinstance(logger, TensorBoardLogger)):
                self._anew.append(logger)
        if not tensorboards(self.all):
            shutil.rmtree(self._folder / TENSORBOARD, ignore_errors=True)  # which later epochs would lack
        return self.all

    def following(self, history: History) -> pl.Callback:
        """Return the callback that logs each row of a history."""
        return _EpochLogs(history, self._anew)

    def log_results(self, results: RunResults, step: int) -> None:
        """Log the scores of the chosen weights; TensorBoard has them beside the hyperparameters.

        Args:
            results: Of the run.
            step: One after the last epoch.
        """
        chosen = {f"chosen/{name}": value for name, value in results.metrics.items() if value is not None}
        for logger in self._others():
            logger.log_metrics({**chosen, "chosen/epoch": (results.best_epoch or 0) + 1}, step=step)
            logger.finalize("success")

    def _others(self) -> list[Logger]:
        return [each for each in self.all if not isinstance(each, TensorBoardLogger)]


def hyperparameters(config: Mapping[str, Any], described: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a logger is told of a run before it trains, by dotted key.

    Args:
        config: The composed configuration.
        described: What follows from it: setting, seed and the like.
    """
    chosen = {name: value for group in _GROUPS for name, value in _flat(config.get(group), group)}
    dataset = {f"dataset.{name}": config["dataset"].get(name) for name in ("batch_size", "train_size", "val_size")}
    return {**described, **chosen, **dataset}


class _EpochLogs(pl.Callback):
    """Logs each epoch's row of the history, counted from 1; to loggers that begin anew those of earlier calls too."""

    def __init__(self, history: History, anew: Sequence[Logger]) -> None:
        self._history = history
        self._anew = anew

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the epochs that a run that resumes has trained before."""
        for row in self._history.rows:
            _log(self._anew, row)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the epoch's row."""
        _log(trainer.loggers, self._history.rows[-1])


def _log(loggers: Sequence[Logger], row: Mapping[str, float]) -> None:
    values = {name: value for name, value in row.items() if name != "epoch"}
    for logger in loggers:
        logger.log_metrics(values, step=int(row["epoch"]) + 1)


def _begin(
    node: LoggerNode, place: Mapping[str, Any], folder: Path, earlier: str | None, parameters: Mapping[str, Any]
) -> Logger:
    """Return a logger that has made its files or its entry, and knows the hyperparameters."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if issubclass(node.kind, WandbLogger):
        place = {**place, "mode": _prepare_wandb(folder, offline=node.arguments.get("offline") is True)}
    in_store = issubclass(node.kind, MLFlowLogger)
    try:
        with _quiet(), opening_store(node.arguments) if in_store else contextlib.nullcontext():
            logger = node.make(**place)
            logger.log_hyperparams(dict(parameters))
            if isinstance(logger, MLFlowLogger):
                write_text(folder / MLFLOW_RUN, f"{logger.run_id}\n")
                if earlier is not None:
                    with contextlib.suppress(Exception):  # it was in another store, or is deleted
                        logger.experiment.delete_run(earlier)
    except Exception as error:  # of whatever package it is
        told = describe_error(error).removeprefix(f"{node.key}: ")
        raise ValueError(f"{node.key}: cannot begin to log ({told})") from error
    _forgive(logger, node.key)
    return logger


def _prepare_wandb(folder: Path, *, offline: bool) -> str | None:
    """Let Weights & Biases read what it is to keep quiet about, and return its mode: Lightning states it too late."""
    import wandb

    wandb.setup()
    (folder / WANDB).mkdir(exist_ok=True)  # else it would write to the system's folder for temporary files
    return "offline" if offline else None


def _forget_logs(folder: Path) -> str | None:
    """Remove what loggers but TensorBoard's have written in a run folder; return the run's name in MLflow's store."""
    earlier = None
    with contextlib.suppress(OSError, UnicodeDecodeError):
        earlier = (folder / MLFLOW_RUN).read_text(encoding="utf-8").strip()
    for name in LOGS:
        if name != TENSORBOARD:
            shutil.rmtree(folder / name, ignore_errors=True)
    (folder / MLFLOW_RUN).unlink(missing_ok=True)
    return earlier


def _forgive(logger: Logger, key: str) -> None:
    """Let a logger that fails log no more, instead of ending the run: history.csv has all that it is given."""
    failed = False

    def guarded(call: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(call)
        def attempt(*arguments: Any, **options: Any) -> None:
            nonlocal failed
            if failed:
                return
            try:
                with _quiet():
                    call(*arguments, **options)
            except Exception as error:  # of whatever package it is
                failed = True
                told = f"{key}: failed and logs no more, while the run goes on ({describe_error(error)})"
                print(told, file=sys.stderr, flush=True)

        return attempt

    for name in _GUARDED:
        setattr(logger, name, guarded(getattr(logger, name)))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back notices of Lightning, and warnings that packages give about one another."""
    with lightning_as_a_library(), warnings.catch_warnings(action="ignore"):
        yield


def _flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield key, value
        return
    for name, inner in value.items():
        if name not in {"_target_", "name"}:
            yield from _flat(inner, f"{key}.{name}")
