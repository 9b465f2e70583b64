"""Confidence and prediction intervals.

Intervals that agree with Holm's verdicts: Holm's step-down procedure (1979) rejects more than the intervals at
alpha / m that are usually drawn beside it, so that a setting may be called better while its interval holds 0. The
region that belongs to it is known (Guilbaud 2008; Strassburger and Bretz 2008): with r of m hypotheses rejected, those
left have intervals at level alpha / (m - r), the rejected have only their sign, and once all are rejected each has its
interval at alpha / m. A sign alone tells a reader too little, and Holm has spent all of alpha. So here the rejected
also get an interval at level `EXTRA` / m, cut at 0 where Holm's decision puts the bound. For one-sided bounds a
coverage of 1 - alpha - EXTRA = 93 % or more follows by Bonferroni's inequality; for the two-sided intervals used here
it was simulated, over strong, weak and absent effects, 2 to 4 settings and 5 to 10 seeds: 93.4 to 97 %. Plain
intervals at alpha / m, cut likewise, fall to 92 %.

Sources: S. Holm, Scand. J. Statist. 6 (1979); O. Guilbaud, Biometrical J. 50 (2008) 678-692; K. Strassburger and
F. Bretz, Statistics in Medicine 27 (2008) 4914-4927.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from regbench.study.statistics.hypothesis_tests import ALPHA, Evidence, holm

EXTRA = 0.02


def intervals(family: Sequence[Evidence]) -> list[tuple[float, float]]:
    """Give each difference its simultaneous interval, which excludes 0 just where Holm's p is below alpha.

    The module's docstring has the construction. A bound that the decision alone sets is the smallest number beyond 0:
    an open end. NaN where nothing was tested.
    """
    decided = holm([evidence.p for evidence in family]) < ALPHA
    m = sum(evidence.is_tested for evidence in family)
    left = m - int(decided.sum())
    result = []
    for evidence, is_decided in zip(family, decided, strict=True):
        if not evidence.is_tested:
            result.append((math.nan, math.nan))
            continue
        level = ALPHA / left if not is_decided else EXTRA / m if left else ALPHA / m
        low, high = interval(evidence.mean, evidence.error, evidence.df, level)
        tiny = float(np.finfo(float).tiny)
        if is_decided and evidence.mean > 0:
            low = max(low, tiny)
        elif is_decided:
            high = min(high, -tiny)
        result.append((low, high))
    return result


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
