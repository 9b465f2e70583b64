"""Reads one run folder and checks that it holds what a finished run leaves."""

import csv
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

RESULTS, CONFIG, HISTORY, SWEEP = "results.json", "config.yaml", "history.csv", "sweep.json"

METRICS = ("train/loss", "train/acc", "val/loss", "val/acc", "val/ece", "test/loss", "test/acc", "test/ece", "gap")
SECONDS = ("train", "evaluate", "total")
CURVES = ("train/objective", "train/acc_online", "train/loss", "train/acc", "val/loss", "val/acc", "val/ece")
_TEXTS = ("dataset", "model", "setting", "optimizer", "scheduler", "config_hash")
_COUNTS = ("seed", "epochs", "best_epoch")
_STATUSES = ("finished", "failed", "diverged", "interrupted")

# LibYAML's parser, where PyYAML was built with it, is ten times faster: 400 folders take a second.
_YamlLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class DamagedError(ValueError):
    """A file of a run folder is not what a run writes there; the message names the file and what is wrong."""


@dataclass(frozen=True)
class Run:
    """One run folder as read: the parsed files, the history by column."""

    folder: Path
    results: dict[str, Any]
    config: dict[str, Any]
    overrides: list[str]
    history: dict[str, np.ndarray]


def find(root: Path) -> tuple[list[Path], list[Path]]:
    """Return the run folders and the `sweep.json` files below a folder, both sorted."""
    runs: list[Path] = []
    sweeps: list[Path] = []
    for name, folders, files in os.walk(root):
        folder = Path(name)
        if RESULTS in files or CONFIG in files:
            runs.append(folder)
            folders.clear()
            continue
        if SWEEP in files:
            sweeps.append(folder / SWEEP)
        folders[:] = [below for below in folders if not below.startswith(".")]
    return sorted(runs, key=_natural), sorted(sweeps)


def read_results(folder: Path) -> dict[str, Any] | None:
    """Read a run's `results.json`; None where there is none, as of a run that is still going on or was killed.

    Raises:
        DamagedError: It is no JSON object with a known status, or a finished run lacks a value.
    """
    try:
        text = (folder / RESULTS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError) as error:
        raise DamagedError(f"{RESULTS}: {_one_line(error)}") from error
    try:
        results = json.loads(text)
    except ValueError as error:
        raise DamagedError(f"{RESULTS}: not JSON, {_one_line(error)}") from error
    if not isinstance(results, dict):
        raise DamagedError(f"{RESULTS}: expected an object, got {type(results).__name__}")
    if results.get("schema") != 1:
        raise DamagedError(f"{RESULTS}: expected schema 1, got {results.get('schema')!r}")
    if results.get("status") not in _STATUSES:
        raise DamagedError(f"{RESULTS}: status: expected one of {', '.join(_STATUSES)}, got {results.get('status')!r}")
    if results["status"] == "finished":
        _check_finished(results)
    return results


def read_run(folder: Path, results: dict[str, Any]) -> Run:
    """Read the other files of a finished run.

    Raises:
        DamagedError: `config.yaml` or `history.csv` is missing or not what a run writes.
    """
    composed = _read_config(folder)
    history = _read_history(folder)
    if len(history["epoch"]) <= results["best_epoch"]:
        raise DamagedError(
            f"{HISTORY}: expected a row for the best epoch {results['best_epoch']} (0-based), "
            f"got {len(history['epoch'])} rows"
        )
    return Run(folder, results, composed["config"], composed.get("overrides") or [], history)


def read_sweep(path: Path) -> tuple[list[str], list[str]]:
    """Read what a sweep was asked for: the commands, and the run folders relative to the sweep's.

    Raises:
        DamagedError: It is not the object that a sweep writes.
    """
    try:
        sweep = json.loads(path.read_text(encoding="utf-8"))
        commands, runs = sweep["commands"], sweep["runs"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{SWEEP}: expected an object with commands and runs, got {_one_line(error)}") from error
    for name, values in (("commands", commands), ("runs", runs)):
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise DamagedError(f"{SWEEP}: {name}: expected a list of texts, got {_short(values)}")
    return commands, runs


def flatten(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Give a configuration's values by dotted key; lists and empty groups as JSON text, callbacks as one text."""
    for key, value in config.items():
        if key == "callbacks" and not prefix and isinstance(value, dict):
            yield key, _callbacks(value)
        elif isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list | dict):
            yield f"{prefix}{key}", json.dumps(value, default=str)
        else:
            yield f"{prefix}{key}", value


def _callbacks(config: dict[str, Any]) -> str:
    """Name the callbacks with their arguments: one value, since none of them has a place where others have not."""
    texts = []
    for name, node in sorted(config.items()):
        arguments = node if isinstance(node, dict) else {}
        shown = ", ".join(f"{key}={value}" for key, value in arguments.items() if key != "_target_")
        texts.append(f"{name} ({shown})" if shown else name)
    return " + ".join(texts) or "none"


def unflatten(values: dict[str, Any]) -> dict[str, Any]:
    """Undo `flatten`, as far as a table's cells keep it."""
    config: dict[str, Any] = {}
    for key, value in values.items():
        *groups, last = key.split(".")
        inner = config
        for group in groups:
            inner = inner.setdefault(group, {})
        is_json = isinstance(value, str) and value[:1] in {"[", "{"}
        inner[last] = json.loads(value) if is_json else value
    return config


def _check_finished(results: dict[str, Any]) -> None:
    for key in _TEXTS:
        if not isinstance(results.get(key), str):
            raise DamagedError(f"{RESULTS}: {key}: expected text, got {_short(results.get(key))}")
    for key in _COUNTS:
        value = results.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise DamagedError(f"{RESULTS}: {key}: expected a number from 0 on, got {_short(value)}")
    metrics, seconds = results.get("metrics"), results.get("seconds")
    if not isinstance(metrics, dict) or not isinstance(seconds, dict):
        raise DamagedError(f"{RESULTS}: expected the objects metrics and seconds, got {_short(metrics)}")
    values = [(f"metrics: {key}", metrics.get(key)) for key in METRICS]
    values += [(f"seconds: {key}", seconds.get(key)) for key in SECONDS]
    values += [(key, results.get(key)) for key in ("parameters", "train_size", "images_per_second", "split_seed")]
    for key, value in values:
        if value is not None and not _is_number(value):
            raise DamagedError(f"{RESULTS}: {key}: expected a number or null, got {_short(value)}")
    for key in ("train/acc", "val/acc", "test/acc"):
        value = metrics.get(key)
        if (value is None and key != "val/acc") or (value is not None and not 0 <= value <= 1):
            raise DamagedError(f"{RESULTS}: metrics: {key}: expected a fraction from 0 to 1, got {_short(value)}")


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        composed = yaml.load((folder / CONFIG).read_text(encoding="utf-8"), Loader=_YamlLoader)
    except FileNotFoundError as error:
        raise DamagedError(f"{CONFIG}: expected beside {RESULTS}, got none") from error
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise DamagedError(f"{CONFIG}: not YAML, {_one_line(error)}") from error
    if not isinstance(composed, dict) or not isinstance(composed.get("config"), dict):
        raise DamagedError(f"{CONFIG}: expected overrides and config, got {_short(composed)}")
    return composed


def _read_history(folder: Path) -> dict[str, np.ndarray]:
    try:
        with (folder / HISTORY).open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError as error:
        raise DamagedError(f"{HISTORY}: expected beside {RESULTS}, got none") from error
    except (OSError, UnicodeError, csv.Error) as error:
        raise DamagedError(f"{HISTORY}: not a CSV, {_one_line(error)}") from error
    names = rows[0] if rows else []
    missing = [name for name in ("epoch", *CURVES) if name not in names]
    if missing:
        raise DamagedError(f"{HISTORY}: expected the column {missing[0]}, got {_short(','.join(names))}")
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(names):
            raise DamagedError(f"{HISTORY}: line {line}: expected {len(names)} values, got {len(row)}")
    try:
        table = np.array([[float(value) if value else math.nan for value in row] for row in rows[1:]])
    except ValueError as error:
        raise DamagedError(f"{HISTORY}: expected numbers, got {_one_line(error)}") from error
    if not len(table) or not np.array_equal(table[:, names.index("epoch")], np.arange(len(table))):
        raise DamagedError(f"{HISTORY}: epoch: expected 0, 1, 2, … without a gap, got {len(table)} other rows")
    return {name: table[:, column] for column, name in enumerate(names)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _natural(path: Path) -> tuple[Any, ...]:
    """Sort key that puts seed2 before seed10."""
    stem = path.name.rstrip("0123456789")
    return (*path.parts[:-1], stem, int(path.name[len(stem) :] or 0))


def _one_line(error: Exception) -> str:
    return _short(" ".join(str(error).split()) or type(error).__name__, quote=False)


def _short(value: object, quote: bool = True) -> str:
    text = " ".join((repr(value) if quote else str(value)).split())
    return text if len(text) <= 120 else f"{text[:117]}…"
