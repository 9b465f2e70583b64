"""What runs say of one setting's difference from the baseline, on plain arrays: t-tests and a permutation test."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

import numpy as np
from scipy import special

_EXACT_PAIRS = 40
_EXACT_SPLITS = 50_000
_DRAWS = 20_000
_MOST_SIGNS = 2_000_000


@dataclass(frozen=True)
class Evidence:
    """What the runs of one setting and of the baseline say of their difference, before the family is looked at.

    Attributes:
        n: Pairs, or the smaller group's runs where unpaired.
        mean: Mean difference, setting minus baseline.
        error: Standard error of the mean difference; NaN where it cannot be estimated.
        df: Degrees of freedom of the t distribution.
        sd: Standard deviation of the paired differences; NaN where unpaired.
        p: Of the two-sided t-test; NaN where there is none.
        p_permutation: Of the permutation test; NaN where there is none.
        wins: Share of comparisons in which the setting has the higher value, ties half.
        paired: Whether values of the same seed were subtracted.
        variances: Of the two groups, setting first; of the differences and 0 where paired. For planning.
        left_out: Runs without a partner, which a paired comparison cannot use.
        search: Variance of the mean difference that comes from a search for both settings' values, part of `error`;
            more seeds do not lessen it.
        outcomes: In how many comparisons the setting has the higher value, both have the same, and the baseline has it:
            of all pairs of seeds, or where unpaired of each run with each of the baseline's.
    """

    n: int
    mean: float
    error: float
    df: float
    sd: float
    p: float
    p_permutation: float
    wins: float
    paired: bool
    variances: tuple[float, float]
    left_out: int = 0
    search: float = 0.0
    outcomes: tuple[int, int, int] = (0, 0, 0)

    @property
    def is_tested(self) -> bool:
        """Whether there is a test, so that the setting belongs to the family."""
        return not math.isnan(self.p)


def from_pairs(setting: np.ndarray, baseline: np.ndarray, left_out: int = 0) -> Evidence:
    """Compare values of the same seeds, `(n,)` each, with the paired t-test.

    No test is made of fewer than two pairs, nor of differences that are all the same number: coarse accuracies of small
    test sets do that, and a t-test would take their lack of spread for certainty.
    """
    differences = np.asarray(setting, dtype=float) - np.asarray(baseline, dtype=float)
    n = len(differences)
    mean = float(differences.mean()) if n else math.nan
    sd = float(differences.std(ddof=1)) if n > 1 else math.nan
    if n > 1 and sd <= 1e-12 + 1e-9 * abs(mean):
        sd = 0.0
    error, df = sd / math.sqrt(max(n, 1)), float(n - 1)
    signs = np.sign(differences)
    p_permutation = sign_flip_p(differences) if n > 1 else math.nan
    return Evidence(
        n, mean, error, df, sd, _p(mean, error, df), p_permutation, _wins(signs), True, (sd**2, 0.0), left_out,
        outcomes=_outcomes(signs),
    )  # fmt: skip


def from_groups(setting: np.ndarray, baseline: np.ndarray) -> Evidence:
    """Compare values of different seeds with Welch's t-test, which lets the groups' variances differ."""
    ours, theirs = np.asarray(setting, dtype=float), np.asarray(baseline, dtype=float)
    n = min(len(ours), len(theirs))
    mean = float(ours.mean() - theirs.mean()) if n else math.nan
    signs = np.sign(ours[:, None] - theirs[None, :])
    wins, outcomes = _wins(signs), _outcomes(signs)
    if n < 2:
        nan = math.nan
        return Evidence(n, mean, nan, nan, nan, nan, nan, wins, False, (nan, nan), outcomes=outcomes)
    variances = float(ours.var(ddof=1)), float(theirs.var(ddof=1))
    parts = variances[0] / len(ours), variances[1] / len(theirs)
    error = math.sqrt(sum(parts))
    error = 0.0 if error <= 1e-12 + 1e-9 * abs(mean) else error
    scale = parts[0] ** 2 / (len(ours) - 1) + parts[1] ** 2 / (len(theirs) - 1)
    df = sum(parts) ** 2 / scale if scale else math.nan
    p_permutation = _regroup_p(ours, theirs)
    p = _p(mean, error, df)
    return Evidence(n, mean, error, df, math.nan, p, p_permutation, wins, False, variances, outcomes=outcomes)


def with_search(evidence: Evidence, variance: float) -> Evidence:
    """Add the variance that comes from the search for the settings' values to that over seeds.

    Seeds alone tell of the chosen values; another search would have chosen others. The degrees of freedom stay those of
    the seeds. Where nothing was tested, nothing is.

    Args:
        evidence: On the runs of the chosen values.
        variance: Of the mean difference from search to search, the sum of both settings'.
    """
    if not evidence.is_tested or not variance:
        return evidence
    error = math.hypot(evidence.error, math.sqrt(variance))
    return replace(evidence, error=error, p=_p(evidence.mean, error, evidence.df), search=variance)


def sign_flip_p(differences: np.ndarray) -> float:
    """Two-sided p of the sign-flip permutation test on the sum of the paired differences.

    Exact up to 40 pairs: all sums of one half of the pairs are set against all sums of the other half, so 2^40 flips
    need 2^20 look-ups. Beyond, from 20,000 seeded draws.
    """
    return _sign_flip_p(np.asarray(differences, dtype=float).tobytes())


@lru_cache(maxsize=8192)
def _sign_flip_p(stored: bytes) -> float:
    differences = np.frombuffer(stored)
    values = np.abs(differences)
    threshold = abs(float(np.sum(differences))) - 1e-12 * max(float(values.sum()), 1.0)
    if threshold <= 0:
        return 1.0
    if len(values) > _EXACT_PAIRS:
        sums = np.concatenate([signs.astype(float) @ values for signs in _signs(len(values))])
        return (1 + int((np.abs(sums) >= threshold).sum())) / (_DRAWS + 1)
    half = len(values) // 2
    ones, others = _sums(values[:half]), _sums(values[half:])
    above = len(others) - np.searchsorted(others, (threshold - ones)[::-1], side="left")
    # Every sum has its negative among the sums, so as many are below.
    return float(2 * above.sum() / 2.0 ** len(values))


@lru_cache(maxsize=2)
def _signs(pairs: int) -> list[np.ndarray]:
    """Return the seeded draws of signs `(…, n)`, the same for all settings, in parts that need little memory."""
    random = np.random.default_rng(0)
    rows = max(1, min(_DRAWS, _MOST_SIGNS // pairs))
    sizes = [min(rows, _DRAWS - start) for start in range(0, _DRAWS, rows)]
    return [random.choice(np.array([-1, 1], dtype=np.int8), size=(size, pairs)) for size in sizes]


def _sums(values: np.ndarray) -> np.ndarray:
    """Return the sums of these values with all signs, ascending."""
    sums = np.zeros(1)
    for value in values:
        # Two ascending parts, which a merging sort puts together in one go.
        sums = np.sort(np.concatenate([sums - value, sums + value]), kind="stable")
    return sums


def _regroup_p(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Two-sided p of the permutation of group labels on the difference of means; exact up to 50,000 splits."""
    values, size = np.concatenate([ours, theirs]), len(ours)
    if math.comb(len(values), size) <= _EXACT_SPLITS:
        sums = np.array([values[list(chosen)].sum() for chosen in combinations(range(len(values)), size)])
        extra = 0
    else:
        rng = np.random.default_rng(0)
        sums = rng.permuted(np.tile(values, (_DRAWS, 1)), axis=1)[:, :size].sum(axis=1)
        extra = 1
    centre = values.mean() * size
    observed = abs(float(ours.sum()) - centre)
    return (extra + int((np.abs(sums - centre) >= observed - 1e-12).sum())) / (extra + len(sums))


def _wins(signs: np.ndarray) -> float:
    return float(((signs + 1) / 2).mean()) if signs.size else math.nan


def _outcomes(signs: np.ndarray) -> tuple[int, int, int]:
    return int((signs > 0).sum()), int((signs == 0).sum()), int((signs < 0).sum())


def _p(mean: float, error: float, df: float) -> float:
    if math.isnan(error) or not error:
        return math.nan
    return float(2 * special.stdtr(df, -abs(mean) / error))
