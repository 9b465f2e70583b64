"""How small a difference the runs can show, and how many seeds would show a smaller one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import optimize, special

from regbench.study.statistics.evidence import Evidence
from regbench.study.statistics.intervals import ALPHA

POWER = 0.8
# Of the interval of the standard deviation from which the ranges come, from the 10th to the 90th percentile.
SPREAD_LEVEL = 0.2

_MOST_SEEDS = 10_000
_FEWEST_SHOWN, _MOST_SHOWN = 40, 400


@dataclass(frozen=True)
class SeedsRange:
    """How many seeds a setting would show the margin with 80 % power; None stands for more than 10,000.

    Attributes:
        low: For the lower end of the standard deviation's 80 % interval.
        point: For the standard deviation as estimated.
        high: For the upper end of its interval.
    """

    low: int | None
    point: int | None
    high: int | None

    @property
    def words(self) -> str:
        """The range for a sentence: `8 to 37`, one number where both ends agree, `8 to more than 10,000`."""
        low, high = (f"more than {_MOST_SEEDS:,}" if end is None else f"{end:,}" for end in (self.low, self.high))
        return low if low == high else f"{low} to {high}"


def detectable(evidence: Evidence, m: int) -> float:
    """Smallest true difference that as many runs show with 80 % power at level alpha / m.

    The spread is taken from the runs themselves, so with few seeds the number is itself uncertain.
    """
    return _noncentrality(evidence.df, ALPHA / m) * evidence.error if evidence.error else evidence.error


def seeds_needed(evidence: Evidence, m: int, margin: float) -> int | None:
    """Seeds for each of the two settings at which `detectable` comes down to the margin; None beyond 10,000."""
    return _seeds(evidence, m, margin, 1.0) if evidence.is_tested else None


def seeds_range(evidence: Evidence, m: int, margin: float) -> SeedsRange | None:
    """Give the seeds needed as a range, because a standard deviation from few seeds is itself uncertain.

    The range comes from the 80 % chi-square interval of the standard deviation, so for normal values it holds the true
    number in about 80 of 100 studies. Where unpaired, both standard deviations are scaled alike, with the degrees of
    freedom of Welch's test (Satterthwaite's approximation).

    Args:
        evidence: On one setting.
        m: Settings tested in the family.
        margin: The true difference to be shown, in the metric's unit.

    Returns:
        The range, or None where nothing was tested.
    """
    if not evidence.is_tested:
        return None
    low, high = _spread_factors(evidence.df)
    return SeedsRange(*(_seeds(evidence, m, margin, factor) for factor in (low, 1.0, high)))


def power_curves(family: Mapping[str, Evidence], margin: float, together: int | None = None) -> pd.DataFrame:
    """Give the power curves of all tested settings of a family, on the same numbers of seeds.

    These run from 2 to 40 at least, to twice the seeds that there are, and as far as the ranges of seeds needed, but
    for these to no more than 400.

    Args:
        family: The evidence by label.
        margin: The smallest difference that matters, in the metric's unit.
        together: How many intervals hold together; one a tested setting unless given.

    Returns:
        `label`, `n`, `power`, `low` and `high` for the margin as `power_curve` gives them, and `observed`, the power
        if the difference just observed were the true one; no rows where nothing was tested.
    """
    tested = {label: evidence for label, evidence in family.items() if evidence.is_tested}
    m = together or len(tested)
    most = _FEWEST_SHOWN
    for evidence in tested.values():
        needed = seeds_range(evidence, m, margin)
        wanted = needed.high if needed and needed.high else _MOST_SHOWN
        most = max(most, 2 * evidence.n, min(wanted, _MOST_SHOWN))
    grid = _seed_grid(most)
    tables = [pd.DataFrame(columns=["label", "n", "power", "low", "high", "observed"])]
    for label, evidence in tested.items():
        observed = power_curve(evidence, m, evidence.mean, grid)["power"]
        tables.append(power_curve(evidence, m, margin, grid).assign(label=label, observed=observed))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def power_curve(evidence: Evidence, m: int, difference: float, seeds: Sequence[int]) -> pd.DataFrame:
    """Give the power to show a true difference against the number of seeds a setting.

    Args:
        evidence: On one setting, the source of the standard deviation.
        m: Settings tested in the family; the tests are at level alpha / m.
        difference: The true difference, in the metric's unit; its sign does not matter.
        seeds: Numbers of seeds, 2 or more each.

    Returns:
        `n`, `power`, and `low` and `high`, the power at the ends of the standard deviation's 80 % interval.

    Raises:
        ValueError: Nothing was tested, or a number of seeds is below 2.
    """
    if not evidence.is_tested:
        raise ValueError(f"power curve: expected evidence with a test, got {evidence.n} seeds without one")
    if min(seeds, default=2) < 2:
        raise ValueError(f"power curve: expected 2 seeds or more, got {min(seeds)}")
    total = sum(evidence.variances)
    low, high = _spread_factors(evidence.df)
    columns: dict[str, list[float]] = {"power": [], "low": [], "high": []}
    for n in seeds:
        for name, factor in (("power", 1.0), ("low", high), ("high", low)):
            error = math.sqrt(factor**2 * total / n + evidence.search)
            columns[name].append(power_of(abs(difference) / error, _df(evidence, n), ALPHA / m))
    return pd.DataFrame({"n": list(seeds), **columns})


def power_of(noncentrality: float, df: float, level: float) -> float:
    """Return the power of a two-sided t-test, both tails counted.

    Args:
        noncentrality: The true difference divided by its standard error.
        df: Degrees of freedom.
        level: The test's level.
    """
    critical = float(special.stdtrit(df, 1 - level / 2))
    # SciPy's function gives NaN far out in a tail, where the probability is 0.
    tails = np.nan_to_num(special.nctdtr(df, noncentrality, [critical, -critical]), nan=0.0)
    return float(1 - tails[0] + tails[1])


def _seeds(evidence: Evidence, m: int, margin: float, factor: float) -> int | None:
    """Seeds that show the margin where the standard deviation is `factor` times the estimate."""
    total = factor**2 * sum(evidence.variances)

    def is_enough(n: int) -> bool:
        return _noncentrality(_df(evidence, n), ALPHA / m) * math.sqrt(total / n + evidence.search) <= margin

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


def _seed_grid(most: int) -> list[int]:
    """Numbers of seeds from 2 to `most`: every one up to 20, then each about a tenth more than the last."""
    spaced = {round(20 * 1.1**step) for step in range(1, 60)}
    return [*range(2, min(most, 20) + 1), *sorted(n for n in spaced if n < most), *([most] if most > 20 else [])]


def _df(evidence: Evidence, n: int) -> float:
    """Degrees of freedom with n seeds a setting: n - 1 in pairs, else Satterthwaite's between n - 1 and 2 n - 2."""
    shares = 1.0
    if not evidence.paired:
        shares = sum(evidence.variances) ** 2 / sum(variance**2 for variance in evidence.variances)
    return shares * (n - 1)


def _spread_factors(df: float) -> tuple[float, float]:
    """What to multiply a standard deviation by for the ends of its 80 % chi-square interval."""
    upper, lower = special.chdtri(df, [SPREAD_LEVEL / 2, 1 - SPREAD_LEVEL / 2])
    return math.sqrt(df / upper), math.sqrt(df / lower)


@lru_cache(maxsize=4096)
def _noncentrality(df: float, level: float) -> float:
    """The noncentrality at which a two-sided t-test at this level has 80 % power."""
    critical = float(special.stdtrit(df, 1 - level / 2))

    def missing_power(noncentrality: float) -> float:
        # The other tail is left out: at 80 % power it is below 1e-5, and SciPy's function gives NaN there.
        return float(1 - special.nctdtr(df, noncentrality, critical) - POWER)

    return float(optimize.brentq(missing_power, 0.0, 4 * critical + 10, xtol=1e-6))
