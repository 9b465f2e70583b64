"""The columns of the tables of runs and their types, whether rows come from run folders or from a report's CSV."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from regbench.storage.results import Seconds
from regbench.storage.schema import METRICS, Kind
from regbench.study.margins import MARGIN
from regbench.study.measured import StudyMetric
from regbench.study.run_folders import CURVES, rename_curves

IDENTITY = ("study", "dataset", "model", "setting", "label")
COLUMNS = [
    *IDENTITY,
    *("optimizer", "scheduler", "seed", "split_seed", "config_hash", "threads", "compile", "epochs", "best_epoch"),
    *("checkpoint", "parameters", "train_size", *METRICS),
    *(f"seconds/{part}" for part in Seconds.model_fields),
    *("images_per_second", MARGIN, "folder"),
]
# Techniques that did nothing, joined by +; there only if some did nothing.
INERT = "did_not_act"
# There only if seeds came in stages, as in 5, 10, 20; or if seeds were added later: how many were finished before them.
STAGES, ADDED_AFTER = "stages", "added_after"
# The start of the data's hash; there only if runs of one data set differ in it.
DATA = "data"
# The keys that each setting chose for itself by a search, joined by spaces; there only if some study was tuned.
TUNED = "tuned"
# How much the accuracy of what such a search chooses varies from search to search, by the bootstrap over its trials.
SEARCH_SD = "search_sd"
# What tells a run from others in the tables.
RUN = ["study", "dataset", "model", "config_hash", "seed"]
HISTORY_IDENTITY = [*IDENTITY, "config_hash", "seed", "split_seed"]
HISTORY_COLUMNS = [*HISTORY_IDENTITY, "epoch", "lr", "seconds", *CURVES]
UNFINISHED_COLUMNS = ["folder", *IDENTITY, "config_hash", "seed", "status", "reason"]

_TEXTS = {*IDENTITY, INERT, DATA, STAGES, TUNED, "optimizer", "scheduler", "config_hash", "checkpoint", "folder"}
_TEXTS |= {"status", "reason"}
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
        elif pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            columns[name] = values.astype(float)
        else:
            columns[name] = _typed(values.map(_plain, na_action="ignore"))
    return pd.DataFrame(columns, index=runs.index)


def searched_keys(runs: pd.DataFrame) -> set[str]:
    """Return the keys that a search chose for each setting; none unless all runs are of tuned studies."""
    if TUNED not in runs or runs[TUNED].isna().any():
        return set()
    return {key for keys in runs[TUNED].unique() for key in str(keys).split()}


def ordered(columns: Iterable[Any], first: list[str]) -> list[str]:
    """Put the named columns first, any others after them by name."""
    return first + sorted(str(name) for name in columns if name not in first)


def by_run(history: pd.DataFrame, runs: pd.DataFrame, name: str) -> pd.Series:
    """Return a column of the runs' table for each row of their history; empty where its run is not among them."""
    values = runs.drop_duplicates(RUN).set_index(RUN)[name]
    return values.reindex(pd.MultiIndex.from_frame(history[RUN])).set_axis(history.index)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Give the rows as dictionaries without the empty values."""
    names = list(map(str, table.columns))
    values, known = table.astype(object).to_numpy(), table.notna().to_numpy()
    return [
        {name: value for name, value, is_known in zip(names, row, there, strict=True) if is_known}
        for row, there in zip(values.tolist(), known.tolist(), strict=True)
    ]


def read_results(path: Path) -> pd.DataFrame:
    """Read the `results.csv` that a report wrote; a metric that was not measured yet is an empty column.

    Raises:
        ValueError: The file is no CSV or lacks a column.
    """
    later = {MARGIN, *METRICS} - {"train/acc", "test/acc"}  # which tables from before may lack
    table = _with_columns(_read_csv(path), ["status", *(name for name in COLUMNS if name not in later)], path)
    return table.reindex(columns=[*table.columns, *(name for name in METRICS if name not in table)])


def read_history(path: Path) -> pd.DataFrame:
    """Read the `history.csv` that a report wrote, the columns of earlier ones under today's names.

    Raises:
        ValueError: The file is no CSV or lacks a column.
    """
    table = _read_csv(path)
    table.columns = pd.Index(rename_curves(list(table.columns)))
    return _with_columns(table, HISTORY_COLUMNS, path)


def read_measured(path: Path) -> dict[str, StudyMetric]:
    """Return what the metrics of the group `metrics` are, by the `provenance.json` that a report wrote.

    Raises:
        ValueError: The file is not what a report writes.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8")).get("measured", {})
        return {
            str(name): StudyMetric(
                Kind(str(each["words"]), each["higher_is_better"] is True, each["fraction"] is True),
                each["by_class"] is True,
                tuple(map(str, each["definitions"])),
                verified=False,
            )
            for name, each in stored.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: expected an object that describes metrics, got {error}") from error


def read_provenance(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Read the `provenance.json` that a report wrote: the commands, and the blocks of provenance.

    Raises:
        ValueError: The file is not what a report writes.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        commands, blocks = stored["commands"], stored["provenance"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected an object with commands and provenance, got {error}") from error
    if not isinstance(commands, list) or not isinstance(blocks, list):
        raise ValueError(f"{path}: expected lists of commands and provenance")
    if not all(isinstance(each, str) for each in commands) or not all(isinstance(each, dict) for each in blocks):
        raise ValueError(f"{path}: expected texts as commands and objects as provenance")
    return commands, blocks


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        header = pd.read_csv(path, nrows=0).columns
        texts = dict.fromkeys(_TEXTS.intersection(header), "str")
        return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=texts)
    except (ValueError, UnicodeError) as error:
        raise ValueError(f"{path}: not a CSV, {' '.join(str(error).split())}") from error


def _with_columns(table: pd.DataFrame, columns: Sequence[str], path: Path) -> pd.DataFrame:
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
