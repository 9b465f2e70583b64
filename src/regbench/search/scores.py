"""The one place where the search reads how a run ended: its validation score, and nothing else of its results.

Finished runs have also scored the test set, once, for whoever reads the study. Imports no torch.
"""

import csv
from pathlib import Path
from typing import NamedTuple

from regbench.storage.results import DamagedError, read_results
from regbench.storage.schema import DIVERGED, FINISHED, HISTORY


class Outcome(NamedTuple):
    """How a run of the search ended: `finished` with its score, `diverged`, or not at all."""

    status: str | None
    score: float | None


def read_outcome(folder: Path, monitor: str) -> Outcome:
    """Return a run's status and, once it is finished, its monitored validation metric."""
    if not monitor.startswith("val/"):
        raise ValueError(f"monitor: expected a validation metric, received {monitor}")
    try:
        results = read_results(folder)
    except DamagedError:
        return Outcome(None, None)
    if results is None or results.status not in {FINISHED, DIVERGED}:
        return Outcome(None, None)
    return Outcome(results.status, results.metrics.get(monitor) if results.status == FINISHED else None)


def best_so_far(folder: Path, monitor: str) -> float | None:
    """Return the best score by epoch of a run that was stopped; `None` without a whole epoch."""
    known = [float(row[monitor]) for row in _history(folder) if row.get(monitor)]
    return (max if monitor == "val/acc" else min)(known) if known else None


def count_epochs(folder: Path) -> int:
    """Return how many epochs a run has trained."""
    return len(_history(folder))


def _history(folder: Path) -> list[dict[str, str]]:
    try:
        with (folder / HISTORY).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeError, csv.Error):
        return []
