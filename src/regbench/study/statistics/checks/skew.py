"""Whether paired differences are more skewed than normal ones would be."""

from functools import lru_cache

import numpy as np

from regbench.study.statistics.intervals import ALPHA

FEWEST = 5

_DRAWS = 40_000
_MOST_VALUES = 4_000_000


def skewness(values: np.ndarray) -> np.ndarray:
    """Give the sample skewness g₁ = m₃ / m₂^1.5 of values `(…, n)`; 0 where they are all the same."""
    away = values - values.mean(axis=-1, keepdims=True)
    squares = (away**2).mean(axis=-1)
    known = squares > 1e-24
    result: np.ndarray = np.divide((away**3).mean(axis=-1), squares**1.5, out=np.zeros(np.shape(squares)), where=known)
    return result


@lru_cache(maxsize=256)
def skew_limit(n: int, m: int) -> float:
    """Return the |g₁| that some of `m` settings' differences exceed in 5 % of studies whose values are normal.

    By Bonferroni's inequality, from 40,000 seeded draws of `n` normal values; `n` from 5 on, as fewer values show no
    skew that could be told from chance.
    """
    return float(np.quantile(_drawn(n), 1 - ALPHA / m))


@lru_cache(maxsize=256)
def _drawn(n: int) -> np.ndarray:
    """Return |g₁| of the draws; in parts that need little memory."""
    random = np.random.default_rng(n)
    rows = max(1, min(_DRAWS, _MOST_VALUES // n))
    sizes = [min(rows, _DRAWS - start) for start in range(0, _DRAWS, rows)]
    return np.concatenate([np.abs(skewness(random.normal(size=(size, n)))) for size in sizes])
