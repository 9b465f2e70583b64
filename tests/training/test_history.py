"""The file of a run's epochs: which digits of its numbers stay."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from regbench.training.history import History

WRITTEN = {
    "train/objective": (123.4567891, "123.4567891"),
    "probe/acc": (0.9123456789, "0.9123457"),
    "val/loss": (0.000123456789, "0.0001234568"),
    "val/tiny": (-1.23456789e-9, "-1.234568e-09"),
    "val/ece": (0.0, "0.0"),
}


def test_small_numbers_keep_as_many_digits_as_large_ones(tmp_path: Path) -> None:
    history = History(tmp_path / "history.csv", {"tiny": "a metric"})
    metrics = {name: torch.tensor(value, dtype=torch.float64) for name, (value, _) in WRITTEN.items()}
    optimizer = SimpleNamespace(param_groups=[{"lr": 1e-9}])
    trainer: Any = SimpleNamespace(callback_metrics=metrics, current_epoch=0, optimizers=[optimizer])
    network: Any = nn.Linear(1, 1)
    history.on_train_epoch_start(trainer, network)
    history.on_train_epoch_end(trainer, network)
    with (tmp_path / "history.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert {name: row[name] for name in WRITTEN} == {name: text for name, (_, text) in WRITTEN.items()}
