"""Confidence and prediction intervals.

The intervals of a family are t intervals at level alpha / m for its m settings. By Bonferroni's inequality all of them
hold together with a probability of at least 1 - alpha, whatever the settings share, where the t interval of each holds.
The adjusted p-value of the same method is min(1, m p): it is below alpha exactly where the interval excludes 0.

Source: O. J. Dunn, J. Amer. Statist. Assoc. 56 (1961) 52-64.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from regbench.study.statistics.evidence import Evidence

ALPHA = 0.05


def simultaneous(family: Sequence[Evidence], together: int | None = None) -> list[tuple[float, float]]:
    """Return each difference's interval; together they miss with a probability of at most alpha.

    NaN where nothing was tested.

    Args:
        family: The evidence on each setting.
        together: How many intervals must hold together; those that were tested unless given.
    """
    level = ALPHA / (together or max(tested(family), 1))
    return [
        interval(evidence.mean, evidence.error, evidence.df, level) if evidence.is_tested else (math.nan, math.nan)
        for evidence in family
    ]


def adjusted(family: Sequence[Evidence], together: int | None = None) -> list[float]:
    """Return each difference's p-value times the number of intervals, at most 1; NaN where nothing was tested."""
    m = together or tested(family)
    return [min(1.0, m * evidence.p) if evidence.is_tested else math.nan for evidence in family]


def tested(family: Sequence[Evidence]) -> int:
    """Return how many settings have an interval."""
    return sum(evidence.is_tested for evidence in family)


def interval(mean: float, error: float, df: float, level: float) -> tuple[float, float]:
    """The t interval that misses with probability `level`, both sides together."""
    half = float(special.stdtrit(df, 1 - level / 2)) * error if error else 0.0
    return mean - half, mean + half


def prediction_interval(values: np.ndarray, level: float = ALPHA) -> tuple[float, float]:
    """The interval that the value of one more run misses with probability `level`, both sides together.

    mean ± t · sd · √(1 + 1/n), with n - 1 degrees of freedom; for normal values. Source: G. J. Hahn and W. Q. Meeker,
    Statistical Intervals (1991), section 4.7.

    Args:
        values: `(n,)`, one per run.
        level: Probability of a miss.

    Raises:
        ValueError: There are fewer than two values.
    """
    n = len(values)
    if n < 2:
        raise ValueError(f"prediction interval: expected two values or more, got {n}")
    error = float(np.std(values, ddof=1)) * math.sqrt(1 + 1 / n)
    return interval(float(np.mean(values)), error, n - 1, level)


def binomial_error(accuracy: float, n: int) -> float:
    """Binomial standard error of an accuracy measured once on n test images.

    All settings are scored on the same images, so it is no part of their differences' intervals: it says how far the
    level itself would move on another test set of that size.
    """
    if n < 1 or not 0 <= accuracy <= 1:
        raise ValueError(f"expected an accuracy from 0 to 1 and a test image or more, got {accuracy} of {n}")
    return math.sqrt(accuracy * (1 - accuracy) / n)
