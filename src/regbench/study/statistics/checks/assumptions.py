"""What in the runs would make a t interval doubtful, and a second opinion that it moves less.

The t interval assumes differences that scatter normally. Two things matter most with few seeds: a run far from the
others, such as a collapsed one, and strong skew. Neither changes a verdict; both are told beside it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from regbench.storage.schema import Kind
from regbench.study.formatting import amount
from regbench.study.statistics.checks.outliers import OutlyingRun, find_outlying, unusual_pairs
from regbench.study.statistics.checks.second_opinion import SecondOpinion, second_opinion
from regbench.study.statistics.checks.skew import FEWEST, skew_limit, skewness
from regbench.study.statistics.intervals import ALPHA


@dataclass(frozen=True)
class Assumptions:
    """What was found in one setting's runs beside the baseline's.

    Attributes:
        outlying: Runs of the setting or the baseline that make a seed's difference unusual, the farthest first.
        skewness: g₁ of the paired differences without the outlying seeds; NaN below five of them, or where unpaired.
        is_skewed: Whether it is beyond what 5 % of normal studies show.
        second: The robust second opinion.
        sentences: One for each finding, then the second opinion's; empty where nothing was found.
    """

    outlying: tuple[OutlyingRun, ...]
    skewness: float
    is_skewed: bool
    second: SecondOpinion
    sentences: tuple[str, ...]

    @property
    def is_doubtful(self) -> bool:
        """Whether an outlying run or strong skew was found."""
        return bool(self.outlying) or self.is_skewed


def examine(
    values: Mapping[str, pd.Series],
    baseline: str,
    paired: Mapping[str, bool],
    metric: str | Kind = "test/acc",
    margin: float = 0.003,
    together: int | None = None,
) -> dict[str, Assumptions]:
    """Look for outlying runs and skew in every tested setting of a family.

    Args:
        values: The family's values by label, the baseline's included, indexed by seed, or by seed and split.
        baseline: The baseline's label.
        paired: The tested settings, and whether each is compared in pairs; their number is the family's size.
        metric: What was measured, by its name or what it is, for the sentences.
        margin: The smallest difference that matters, in the metric's unit.
        together: How many intervals hold together, for the second opinion's; the family's size unless given.
    """
    found = find_outlying(values)
    result = {}
    for label, in_pairs in paired.items():
        setting, reference = values[label], values[baseline]
        own = [run for run in found if run.label in {label, baseline}]
        outlying = unusual_pairs(own, setting, reference) if in_pairs else own
        g1, is_skewed = _skew(setting, reference, outlying, len(paired)) if in_pairs else (math.nan, False)
        second = second_opinion(setting, reference, in_pairs, ALPHA / (together or len(paired)), metric, margin)
        told = [_outlier_sentence(run, metric) for run in outlying]
        if is_skewed:
            told.append(_skew_sentence(label, baseline, g1))
        result[label] = Assumptions(tuple(outlying), g1, is_skewed, second, (*told, second.sentence) if told else ())
    return result


def _skew(setting: pd.Series, baseline: pd.Series, outlying: Sequence[OutlyingRun], m: int) -> tuple[float, bool]:
    differences = (setting - baseline).dropna()
    left_out = {run.key if isinstance(differences.index, pd.MultiIndex) else run.seed for run in outlying}
    rest = differences[[index not in left_out for index in differences.index]].to_numpy(dtype=float)
    if len(rest) < FEWEST:
        return math.nan, False
    g1 = float(skewness(rest))
    return g1, abs(g1) > skew_limit(len(rest), m)


def _outlier_sentence(run: OutlyingRun, metric: str | Kind) -> str:
    away = amount(abs(run.value - run.median), metric, sign=False)
    side = "below" if run.value < run.median else "above"
    return (
        f"{run.name.capitalize()} of {run.label} is unusual: {away} {side} the median of its setting's runs, "
        f"{run.score:.0f} times the usual scatter."
    )


def _skew_sentence(label: str, baseline: str, g1: float) -> str:
    side = "upward" if g1 > 0 else "downward"
    return (
        f"The differences of {label} from {baseline} are strongly skewed (g₁ = {g1:+.1f}): some seeds reach far "
        f"{side}, and with few seeds the interval may hold less often than it says."
    ).replace("-", "−")
