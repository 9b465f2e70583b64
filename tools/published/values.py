"""Published numbers, and how they and ours are written beside each other."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from regbench.study import Study
from regbench.study.formatting import amount, interval, mean_sd_of
from regbench.study.statistics import Difference
from regbench.study.statistics.intervals import prediction_interval

R1, R4, R5, R5_MLP = "r1_lenet5_fashion_mnist", "r4_lenet5_mnist", "r5_lenet5_mnist", "r5_mlp_mnist"
R2_RATE, R2_HIDDEN = "r2_rate", "r2_hidden_dropout"
NONE = "none"
METRICS = {"train/acc": "train %", "test/acc": "test %", "train/loss": "train loss", "test/loss": "test loss"}
NOT_RUN = "Not run yet."


class Value(NamedTuple):
    """A published number; accuracies in percent."""

    report: str
    study: str
    setting: str
    metric: str
    published: float


def read_values(path: Path) -> list[Value]:
    """Read the published numbers."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return [Value(report, study, setting, metric, float(number)) for report, study, setting, metric, number in rows]


def published_number(published: Iterable[Value], report: str, study: str, setting: str, metric: str) -> float:
    """Return what a report states, accuracies as fractions; NaN where it states nothing."""
    key = (report, study, setting, metric)
    return next((each.published / _scale(metric) for each in published if each[:4] == key), np.nan)


def published_gain(published: Sequence[Value], report: str, study: str, setting: str, metric: str) -> float:
    """Return by how much a report's setting is above its own baseline; NaN where it states one of them alone."""
    ours, baseline = (published_number(published, report, study, each, metric) for each in (setting, NONE))
    return ours - baseline


def by_seed(study: Study, setting: str, metric: str) -> pd.Series:
    """Return a setting's values by seed."""
    return study.runs.loc[study.runs["setting"] == setting].set_index("seed")[metric].sort_index()


def differences_by_seed(study: Study, setting: str, metric: str, baseline: Study | None = None) -> np.ndarray:
    """Return a setting's values less those of the baseline on the same seeds, which may be another study's."""
    return (by_seed(study, setting, metric) - by_seed(baseline or study, NONE, metric)).dropna().to_numpy()


def told(difference: Difference) -> str:
    """Write a difference with its simultaneous interval; accuracies in points."""
    metric = difference.metric if difference.metric.endswith("loss") else "test/acc"
    return f"{change(difference.mean, metric)} ({interval(difference.low, difference.high, metric)})"


def verdict(difference: Difference) -> str:
    """Write a verdict, and where an undecided one leans to."""
    return difference.verdict + (f", leaning to {difference.leaning}" if difference.leaning else "")


def change(value: float, metric: str) -> str:
    """Write a difference of accuracies in points or one of losses, without the unit."""
    return amount(value, metric).removesuffix(" points")


def number(value: float, metric: str) -> str:
    """Write an accuracy in percent or a loss."""
    return f"{value:.{_digits(metric)}f}"


def spread(values: np.ndarray, metric: str) -> str:
    """Write mean and standard deviation of accuracies, in percent, or of losses."""
    return mean_sd_of(values, _scale(metric), _digits(metric))


def interval_of_one_run(values: np.ndarray, row: Value) -> tuple[str, str]:
    """Write the interval of one more run, and whether the published number is in it."""
    low, high = (_scale(row.metric) * end for end in prediction_interval(values))
    return f"{number(low, row.metric)} to {number(high, row.metric)}", place(row.published, low, high)


def place(value: float, low: float, high: float) -> str:
    """Say whether a value lies in an interval."""
    return "inside" if low <= value <= high else "**outside**"


def _scale(metric: str) -> int:
    return 100 if metric.endswith("acc") else 1


def _digits(metric: str) -> int:
    return 2 if metric.endswith("acc") else 4
