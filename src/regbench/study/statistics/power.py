"""How small a difference the runs can show, and how many seeds would show a smaller one."""

import math
from functools import lru_cache

from scipy import optimize, special

from regbench.study.statistics.evidence import Evidence
from regbench.study.statistics.intervals import ALPHA

POWER = 0.8

_MOST_SEEDS = 10_000


def detectable(evidence: Evidence, m: int) -> float:
    """Smallest true difference that as many runs show with 80 % power at level alpha / m.

    The spread is taken from the runs themselves, so with few seeds the number is itself uncertain.
    """
    return _noncentrality(evidence.df, ALPHA / m) * evidence.error if evidence.error else evidence.error


def seeds_needed(evidence: Evidence, m: int, margin: float) -> int | None:
    """Seeds for each of the two settings at which `detectable` comes down to the margin; None beyond 10,000."""
    if not evidence.is_tested:
        return None
    total = sum(evidence.variances)
    if not total:
        return evidence.n
    shares = 1.0 if evidence.paired else total**2 / sum(variance**2 for variance in evidence.variances)

    def is_enough(n: int) -> bool:
        return _noncentrality(shares * (n - 1), ALPHA / m) * math.sqrt(total / n) <= margin

    most = 2
    while not is_enough(most):
        most *= 2
        if most > _MOST_SEEDS:
            return None
    least = max(most // 2, 1)
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if is_enough(middle) else (middle, most)
    return most


@lru_cache(maxsize=4096)
def _noncentrality(df: float, level: float) -> float:
    """The noncentrality at which a two-sided t-test at this level has 80 % power."""
    critical = float(special.stdtrit(df, 1 - level / 2))

    def missing_power(noncentrality: float) -> float:
        # The other tail is left out: at 80 % power it is below 1e-5, and SciPy's function gives NaN there.
        return float(1 - special.nctdtr(df, noncentrality, critical) - POWER)

    return float(optimize.brentq(missing_power, 0.0, 4 * critical + 10, xtol=1e-6))
