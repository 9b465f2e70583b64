"""The one place where the search reads how a run ended: its validation score, and nothing else of its results.

Finished runs have also scored the test set, once, for whoever reads the study. Imports no torch.
"""

import csv
from pathlib import Path
from typing import NamedTuple

from regbench.storage.results import DamagedError, read_results
from regbench.storage.schema import DIVERGED, FINISHED, HISTORY

_ACCURACY = "val/acc"


class Outcome(NamedTuple):
    """How a run of the search ended: `finished` with its score and validation accuracy, `diverged`, or not at all."""

    status: str | None = None
    score: float | None = None
    accuracy: float | None = None


def read_outcome(folder: Path, monitor: str) -> Outcome:
    """Return a run's status and, once it is finished, its monitored validation metric."""
    if not monitor.startswith("val/"):
        raise ValueError(f"monitor: expected a validation metric, received {monitor}")
    try:
        results = read_results(folder)
    except DamagedError:
        return Outcome()
    if results is None or results.status not in {FINISHED, DIVERGED}:
        return Outcome()
    if results.status == DIVERGED:
        return Outcome(DIVERGED)
    return Outcome(FINISHED, results.metrics.get(monitor), results.metrics.get(_ACCURACY))


def best_so_far(folder: Path, monitor: str) -> Outcome:
    """Return the best epoch's score of a run that was stopped, with its validation accuracy."""
    known = [row for row in _history(folder) if row.get(monitor)]
    if not known:
        return Outcome()
    best = (max if monitor == _ACCURACY else min)(known, key=lambda row: float(row[monitor]))
    return Outcome(None, float(best[monitor]), float(best[_ACCURACY]))


def count_epochs(folder: Path) -> int:
    """Return how many epochs a run has trained."""
    return len(_history(folder))


def _history(folder: Path) -> list[dict[str, str]]:
    try:
        with (folder / HISTORY).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeError, csv.Error):
        return []
