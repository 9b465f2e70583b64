"""Whether a robust method comes to the same verdict on a difference as the t interval."""

import math
from dataclasses import dataclass

import pandas as pd

from regbench.storage.schema import Kind
from regbench.study.formatting import amount, interval
from regbench.study.statistics.checks import robust
from regbench.study.statistics.checks.robust import trimmed_difference, trimmed_mean
from regbench.study.statistics.evidence import Evidence, from_groups, from_pairs
from regbench.study.statistics.intervals import interval as t_interval

_READ = {
    "above": "excludes 0",
    "below": "excludes 0",
    "within": "lies inside the margin",
    "open": "decides nothing",
}


@dataclass(frozen=True)
class SecondOpinion:
    """A robust look at one difference, at the same level as the t interval.

    Attributes:
        method: `"trimmed mean"`; `"permutation"` where there are too few values to trim; `"none"` without a test.
        agrees: Whether it comes to the t interval's verdict; None where so few seeds can show nothing by permutation.
        sentence: That in plain words.
        mean: The trimmed mean difference; NaN by permutation.
        low: Lower end of its interval; NaN by permutation.
        high: Its upper end.
        p: The permutation test's, not adjusted; NaN by trimmed mean.
    """

    method: str
    agrees: bool | None
    sentence: str
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan


def second_opinion(
    setting: pd.Series, baseline: pd.Series, paired: bool, level: float, metric: str | Kind, margin: float
) -> SecondOpinion:
    """Ask again whether a setting differs from the baseline, with a method that single runs move little.

    Args:
        setting: Its values, indexed as the baseline's.
        baseline: The baseline's values.
        paired: Whether values with the same index are subtracted.
        level: Probability that the interval misses, both sides together: alpha / m.
        metric: What was measured, by its name or what it is, for the sentence.
        margin: The smallest difference that matters, in the metric's unit.
    """
    evidence, trimmed = _both(setting, baseline, paired)
    if not evidence.is_tested:
        return SecondOpinion("none", None, "There are too few runs for a second opinion.")
    verdict = _verdict(*t_interval(evidence.mean, evidence.error, evidence.df, level), margin)
    if trimmed is None or not trimmed.error:
        return _by_permutation(evidence, len(setting), len(baseline), level, verdict)
    low, high = (float(end) for end in trimmed.interval(level))
    mean = float(trimmed.mean)
    robust_verdict = _verdict(low, high, margin)
    agrees = robust_verdict == verdict
    numbers = f"{amount(mean, metric)} ({interval(low, high, metric)})"
    opening = "agrees" if agrees else "is less sure" if robust_verdict == "open" else "differs"
    trimmed_away = "differences" if paired else "runs"
    text = (
        f"A robust second opinion {opening}: without the highest and the lowest fifth of the {trimmed_away} it is "
        f"{numbers}"
    )
    if not agrees:
        text += f", which {_READ[robust_verdict]}, where the t interval {_READ[verdict]}"
    return SecondOpinion("trimmed mean", agrees, f"{text}.", mean, low, high)


def _verdict(low: float, high: float, margin: float) -> str:
    if low > 0 or high < 0:
        return "above" if low > 0 else "below"
    return "within" if -margin <= low and high <= margin else "open"


def _both(setting: pd.Series, baseline: pd.Series, paired: bool) -> tuple[Evidence, robust.TrimmedMean | None]:
    if paired:
        shared = setting.index.intersection(baseline.index)
        ours, theirs = setting[shared].to_numpy(dtype=float), baseline[shared].to_numpy(dtype=float)
        trimmed = trimmed_mean(ours - theirs) if len(shared) >= robust.FEWEST else None
        return from_pairs(ours, theirs), trimmed
    ours, theirs = setting.to_numpy(dtype=float), baseline.to_numpy(dtype=float)
    enough = min(len(ours), len(theirs)) >= robust.FEWEST
    return from_groups(ours, theirs), trimmed_difference(ours, theirs) if enough else None


def _by_permutation(evidence: Evidence, ours: int, theirs: int, level: float, verdict: str) -> SecondOpinion:
    """With too few values to trim, only whether a difference was found can be asked again."""
    p = evidence.p_permutation
    smallest = 2.0 ** (1 - evidence.n) if evidence.paired else 2 / math.comb(ours + theirs, ours)
    if smallest > level:
        text = (
            f"So few seeds allow no robust second opinion: a permutation test cannot give less than p = {smallest:.3g} "
            f"here; it gives {p:.3g}."
        )
        return SecondOpinion("permutation", None, text, p=p)
    agrees = (p <= level) == (verdict in {"above", "below"})
    opening = "agrees" if agrees else "differs"
    found = "a difference" if p <= level else "no difference"
    text = f"A robust second opinion {opening}: a permutation test finds {found} (p = {p:.3g})."
    return SecondOpinion("permutation", agrees, text, p=p)
