"""The tables' columns and their types, the same whether rows come from run folders or from a report's CSV."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from regbench.study.folders import CURVES, METRICS, SECONDS

IDENTITY = ("study", "dataset", "model", "setting", "label")
COLUMNS = [
    *IDENTITY,
    *("optimizer", "scheduler", "seed", "split_seed", "config_hash", "threads", "compile", "epochs", "best_epoch"),
    *("checkpoint", "parameters", "train_size", *METRICS),
    *(f"seconds/{part}" for part in SECONDS),
    *("images_per_second", "folder"),
]
HISTORY_IDENTITY = [*IDENTITY, "config_hash", "seed", "split_seed"]
HISTORY_COLUMNS = [*HISTORY_IDENTITY, "epoch", "lr", "seconds", *CURVES]
UNFINISHED_COLUMNS = ["folder", *IDENTITY, "config_hash", "seed", "status", "reason"]

_TEXTS = {*IDENTITY, "optimizer", "scheduler", "config_hash", "checkpoint", "folder", "status", "reason"}
INTEGERS = {"seed", "split_seed", "threads", "epochs", "best_epoch", "parameters", "train_size"}


def tidy(runs: pd.DataFrame) -> pd.DataFrame:
    """Give every column its type; numbers of the configuration are floats, and text that is a number counts as one."""
    columns: dict[str, pd.Series] = {}
    for name in map(str, runs.columns):
        values = runs[name]
        if name in _TEXTS:
            columns[name] = values.astype("str")
        elif name in INTEGERS and values.notna().all():
            columns[name] = values.astype(int)
        else:
            columns[name] = _typed(values.map(_plain, na_action="ignore"))
    return pd.DataFrame(columns, index=runs.index)


def ordered(columns: Iterable[Any], first: list[str]) -> list[str]:
    """Put the named columns first, any others after them by name."""
    return first + sorted(str(name) for name in columns if name not in first)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Give the rows as dictionaries without the empty values."""
    rows = table.astype(object).to_dict("records")
    return [{str(name): value for name, value in row.items() if not pd.isna(value)} for row in rows]


def read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a table that a report wrote.

    Raises:
        ValueError: The file is no CSV or lacks a column.
    """
    try:
        header = pd.read_csv(path, nrows=0).columns
        texts = dict.fromkeys(_TEXTS.intersection(header), "str")
        table = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=texts)
    except (ValueError, UnicodeError) as error:
        raise ValueError(f"{path}: not a CSV, {' '.join(str(error).split())}") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(f"{path}: expected the column {missing[0]} as in a table that a report wrote, found none")
    return table


def _typed(values: pd.Series) -> pd.Series:
    present = values.dropna()
    if len(present) and all(isinstance(value, bool) for value in present):
        return values.astype(bool) if len(present) == len(values) else values.astype(object)
    if any(isinstance(value, bool | str) for value in present):
        return values.map(str, na_action="ignore").astype("str")
    return values.astype(float)


def _plain(value: Any) -> Any:
    """Read a number or a boolean out of text, as YAML's `1e-3` is; everything else stays."""
    if not isinstance(value, str):
        return value
    if value.lower() in {"true", "false"}:
        return value.lower() == "true"
    try:
        return float(value)
    except ValueError:
        return value


def to_text(value: Any) -> str:
    """Write one value of a configuration as people write it: `0.5`, `1e-05`, `true`."""
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value) if isinstance(value, bool) else str(value)
