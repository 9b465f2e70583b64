"""Callbacks that follow the training: the history of epochs, the stop of a diverged run, the progress bar."""

import csv
import io
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from regbench.storage.files import write_text
from regbench.storage.schema import HISTORY_COLUMNS, history_columns

_FEWEST_DECIMALS_FROM = 0.1


class DivergedError(RuntimeError):
    """A loss or a weight is no longer a finite number."""


class History(pl.Callback):
    """Writes `history.csv`, one row per epoch; stops a run that diverged.

    Epochs count from 0 in the file. `lr` is the rate of the epoch's first step, `seconds` the time of its training
    part.

    Args:
        path: The file to write.
        measured: What is scored besides: what each name means.
    """

    def __init__(self, path: Path, measured: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._measured = dict(measured or {})
        self._columns = history_columns(self._measured)
        self.rows: list[dict[str, float]] = []
        self.evaluation_seconds = 0.0
        self._rate = 0.0
        self._started = 0.0
        self._trained = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock; the schedule moves on before the epoch ends, so the rate is taken here."""
        self._rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        self._started = time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the time of the training part."""
        self._trained = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the epoch's row.

        Raises:
            DivergedError: A metric of the epoch or a weight is not finite; the epoch leaves no row and no checkpoint.
        """
        self.evaluation_seconds += time.perf_counter() - self._trained
        metrics = {name: _seven_digits(value.item()) for name, value in trainer.callback_metrics.items()}
        row = {
            "epoch": trainer.current_epoch,
            "lr": self._rate,
            "seconds": round(self._trained - self._started, 4),
            **{name: metrics[name] for name in self._columns if name in metrics},
        }
        for name, value in row.items():
            if not math.isfinite(value):
                raise DivergedError(f"{name} is {value} in epoch {trainer.current_epoch + 1}")
        for name, weight in pl_module.state_dict().items():
            if not torch.isfinite(weight).all():
                raise DivergedError(f"the weight {name} is not finite in epoch {trainer.current_epoch + 1}")
        self.rows.append(row)
        write_text(self.path, self._table())

    def state_dict(self) -> dict[str, Any]:
        """Return what goes into a checkpoint, so that a run that resumes has the rows of the epochs before it."""
        return {"rows": self.rows, "evaluation_seconds": self.evaluation_seconds, "measured": self._measured}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the rows of a checkpoint; later ones, which no checkpoint knows, leave the file.

        So do values of a metric that means something else now.
        """
        before = state_dict.get("measured", {})
        changed = [name for name, meaning in before.items() if self._measured.get(name, meaning) != meaning]
        dropped = set(history_columns(changed)) - set(HISTORY_COLUMNS)
        self.rows = [{name: row[name] for name in row if name not in dropped} for row in state_dict["rows"]]
        self.evaluation_seconds = state_dict["evaluation_seconds"]
        write_text(self.path, self._table())

    def _table(self) -> str:
        columns = [name for name in HISTORY_COLUMNS if not name.startswith("test/") or name in self.rows[0]]
        # A run that resumes may measure more, or less, than before.
        columns += dict.fromkeys(name for row in self.rows for name in row if name not in HISTORY_COLUMNS)
        table = io.StringIO()
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return table.getvalue()


def _seven_digits(value: float) -> float:
    """Round to seven decimals, of small numbers to seven digits: single precision holds no more."""
    return round(value, 7) if abs(value) >= _FEWEST_DECIMALS_FROM else float(f"{value:.7g}")


class EpochBar(pl.Callback):
    """A progress bar by epoch with the training loss and the validation accuracy; refreshed at epoch ends alone."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
        )

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar."""
        self._task = self._bar.add_task("fit", total=trainer.max_epochs, numbers="")
        self._bar.start()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Move it on by an epoch."""
        metrics = trainer.callback_metrics
        numbers = f"loss {metrics['train/objective']:.4f}"
        if "val/acc" in metrics:
            numbers += f"  val acc {metrics['val/acc']:.2%}"
        self._bar.update(self._task, advance=1, numbers=numbers)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave it as it stands, also after an error."""
        self._bar.stop()
