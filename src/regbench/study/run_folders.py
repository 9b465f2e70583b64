"""Reads run folders: checks that a finished run left whole files, and takes what there is of an unfinished one."""

import csv
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from regbench.storage.configs import StoredConfig, read_config, read_config_text
from regbench.storage.files import read_bytes
from regbench.storage.results import DamagedError, RunResults, one_line, shortened
from regbench.storage.schema import HISTORY, RENAMED_HISTORY_COLUMNS, RESULTS
from regbench.study.recipes import Recipe, Recipes

CURVES = ("train/objective", "train/acc_online", "probe/loss", "probe/acc", "val/loss", "val/acc", "val/ece")


@dataclass(frozen=True)
class Run:
    """One run folder as read: the parsed files, the history by column, the configuration without its seed."""

    folder: Path
    results: RunResults
    stored: StoredConfig
    history: dict[str, np.ndarray]
    recipe: Recipe


def read_run(folder: Path, results: RunResults, recipes: Recipes | None = None) -> Run:
    """Read the other files of a finished run.

    Args:
        folder: The run's.
        results: What its `results.json` holds.
        recipes: Those of runs that were read before.

    Raises:
        DamagedError: `config.yaml` or `history.csv` is missing or not what a run writes.
    """
    recipe, stored = (recipes or Recipes()).read(read_config_text(folder))
    history = _read_history(folder)
    check_history(history, results)
    return Run(folder, results, stored, history, recipe)


def check_history(history: dict[str, np.ndarray], results: RunResults) -> None:
    """Refuse a history, by column, that is not of a finished run with these results.

    Raises:
        DamagedError: A column is missing, epochs are, or the chosen one is.
    """
    _check_columns(list(history))
    epochs = history["epoch"]
    if not len(epochs) or not np.array_equal(epochs, np.arange(len(epochs))):
        raise DamagedError(f"{HISTORY}: epoch: expected 0, 1, 2, … without a gap, got {len(epochs)} other rows")
    best = results.best_epoch or 0
    if len(epochs) <= best:
        raise DamagedError(f"{HISTORY}: expected a row for the best epoch {best} (0-based), got {len(epochs)} rows")


def read_unfinished(folder: Path) -> tuple[dict[str, Any], dict[str, Any], pd.DataFrame]:
    """Return results, configuration and history of an unfinished run as far as they can be read, empty otherwise."""
    try:
        results = json.loads(read_bytes(folder / RESULTS))
    except (OSError, ValueError, RecursionError):
        results = {}
    try:
        config = read_config(folder).config
    except DamagedError:
        config = {}
    try:
        history = pd.read_csv(io.BytesIO(read_bytes(folder / HISTORY)))
        history = history.apply(pd.to_numeric, errors="coerce").dropna(subset=["epoch"])
        history.columns = pd.Index(rename_curves(list(history.columns)))
    except (OSError, ValueError, KeyError):
        history = pd.DataFrame()
    return results if isinstance(results, dict) else {}, config, history


def rename_curves(names: list[str]) -> list[str]:
    """Return a history's column names with those of schema 1 replaced by today's."""
    return [RENAMED_HISTORY_COLUMNS.get(name, name) for name in names]


def _read_history(folder: Path) -> dict[str, np.ndarray]:
    try:
        text = read_bytes(folder / HISTORY).decode()
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except FileNotFoundError as error:
        raise DamagedError(f"{HISTORY}: expected beside {RESULTS}, got none") from error
    except (OSError, UnicodeError, csv.Error) as error:
        raise DamagedError(f"{HISTORY}: not a CSV, {one_line(error)}") from error
    names = rename_curves(rows[0]) if rows else []
    _check_columns(names)
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(names):
            raise DamagedError(f"{HISTORY}: line {line}: expected {len(names)} values, got {len(row)}")
    try:
        table = np.array([[float(value) if value else math.nan for value in row] for row in rows[1:]])
    except ValueError as error:
        raise DamagedError(f"{HISTORY}: expected numbers, got {one_line(error)}") from error
    columns = table.T if len(table) else np.empty((len(names), 0))
    return dict(zip(names, columns, strict=True))


def _check_columns(names: list[str]) -> None:
    missing = [name for name in ("epoch", *CURVES) if name not in names]
    if missing:
        raise DamagedError(f"{HISTORY}: expected the column {missing[0]}, got {shortened(','.join(names))}")
