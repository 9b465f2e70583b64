"""How much each setting differs from the baseline, and how sure that is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from regbench.study import inference
from regbench.study.axes import Comparison
from regbench.study.inference import ALPHA, Evidence

BETTER, WORSE, ALIKE, TOO_FEW = "better", "worse", "not distinguishable", "too few seeds"

_POINTS = ("acc", "gap", "ece")
_WORDS = {"train": "training", "val": "validation", "test": "test", "acc": "accuracy", "ece": "calibration error"}


@dataclass(frozen=True)
class Difference:
    """One setting against the baseline; differences in the metric's unit, accuracies as fractions.

    Attributes:
        label: The setting.
        baseline: The label that it is compared with.
        n: Pairs of runs with the same seed; the smaller number of runs where unpaired.
        mean: Mean difference, setting minus baseline.
        sd: Standard deviation of the paired differences; NaN where unpaired or n < 2.
        low: Lower end of the interval, simultaneous over the family (see `regbench.study.inference`); NaN where
            nothing could be tested.
        high: Its upper end.
        p: Of the two-sided t-test, paired, or Welch's where unpaired.
        p_holm: `p` after Holm's adjustment over the family; it alone decides.
        p_permutation: Exact sign-flip permutation p (unpaired: of the group labels), a check that never decides.
        p_beats: Share of seeds on which the setting beats the baseline, ties half; unpaired: of all pairs of runs.
        detectable: Smallest true difference that these seeds show with 80 % power at Holm's first step.
        seeds_needed: Seeds a setting for `detectable` to come down to the margin; None where unknown.
        paired: Whether seeds are shared.
        verdict: `"better"`, `"worse"`, `"not distinguishable"` or `"too few seeds"`.
        sentence: All that in one sentence.
    """

    label: str
    baseline: str
    n: int
    mean: float
    sd: float
    low: float
    high: float
    p: float
    p_holm: float
    p_permutation: float
    p_beats: float
    detectable: float
    seeds_needed: int | None
    paired: bool
    verdict: str
    sentence: str


def compare(comparison: Comparison, metric: str = "test/acc", margin: float = 0.003) -> list[Difference]:
    """Compare every setting of a family with its baseline; empty where the family has no baseline.

    Runs are paired by seed and split; where settings and baseline share fewer than two seeds, or less than half of the
    smaller group, all runs are used unpaired. Several runs of a setting with the same seed count as their mean.

    Args:
        comparison: The family; Holm's adjustment and the intervals hold over its settings.
        metric: A column of the runs; for losses, calibration error and gap, lower is better.
        margin: The smallest difference that matters, in the metric's unit.
    """
    if comparison.baseline is None:
        return []
    if not margin > 0:
        raise ValueError(f"margin: expected a difference above 0, got {margin}")
    values = _by_seed(comparison.runs, metric)
    baseline = values[comparison.baseline]
    others = [label for label in comparison.labels if label != comparison.baseline]
    return judge({label: gather(values[label], baseline) for label in others}, comparison.baseline, metric, margin)


def gather(setting: pd.Series, baseline: pd.Series) -> Evidence:
    """Pair two settings' values by their index, or compare them as groups where hardly any are shared."""
    shared = setting.index.intersection(baseline.index)
    if not _is_paired(len(shared), len(setting), len(baseline)):
        return inference.from_groups(setting.to_numpy(), baseline.to_numpy())
    left_out = len(setting) + len(baseline) - 2 * len(shared)
    return inference.from_pairs(setting[shared].to_numpy(), baseline[shared].to_numpy(), left_out)


def judge(
    family: Mapping[str, Evidence], baseline: str, metric: str = "test/acc", margin: float = 0.003
) -> list[Difference]:
    """Turn the evidence on a family of settings into verdicts."""
    evidence = list(family.values())
    m = sum(item.is_tested for item in evidence)
    adjusted = inference.holm([item.p for item in evidence])
    result = []
    bounds = inference.intervals(evidence)
    for (label, item), p_holm, (low, high) in zip(family.items(), adjusted, bounds, strict=True):
        smallest = inference.detectable(item, m) if item.is_tested else math.nan
        verdict = _verdict(item, float(p_holm), smallest, margin, _higher_is_better(metric))
        needed = inference.seeds_needed(item, m, margin)
        difference = Difference(
            label=label,
            baseline=baseline,
            n=item.n,
            mean=item.mean,
            sd=item.sd,
            low=low,
            high=high,
            p=item.p,
            p_holm=float(p_holm),
            p_permutation=item.p_permutation,
            p_beats=item.wins if _higher_is_better(metric) else 1 - item.wins,
            detectable=smallest,
            seeds_needed=needed,
            paired=item.paired,
            verdict=verdict,
            sentence="",
        )
        sentence = _sentence(difference, item, metric, margin)
        result.append(Difference(**{**vars(difference), "sentence": sentence}))
    return result


def advantage_by_epoch(comparison: Comparison, metric: str = "val/acc") -> pd.DataFrame:
    """Give each setting's lead over the baseline had training stopped at each epoch.

    Intervals hold at level 95 % over the family's settings at an epoch (Bonferroni), for each epoch on its own. Seeds
    whose training ended earlier are left out from there on.

    Returns:
        `label`, `epoch` (0-based), `mean`, `low`, `high`; low and high are NaN for fewer than two seeds, and there are
        no rows where the metric was not recorded.
    """
    columns = ["label", "epoch", "mean", "low", "high"]
    others = [label for label in comparison.labels if label != comparison.baseline]
    if comparison.baseline is None or not others or metric not in comparison.history:
        return pd.DataFrame(columns=columns)
    level = ALPHA / len(others)
    values = _by_seed(comparison.history, metric, ["epoch"])
    baseline = values[comparison.baseline].unstack("epoch")
    rows = []
    for label in others:
        curves = values[label].unstack("epoch")
        shared = curves.index.intersection(baseline.index)
        paired = _is_paired(len(shared), len(curves), len(baseline))
        for epoch in curves.columns.intersection(baseline.columns):
            if paired:
                both = pd.concat([curves.loc[shared, epoch], baseline.loc[shared, epoch]], axis=1).dropna().to_numpy()
                mean, error, df = _paired_moments(both[:, 0] - both[:, 1])
            else:
                mean, error, df = _group_moments(curves[epoch].dropna(), baseline[epoch].dropna())
            if not math.isnan(mean):
                rows.append((label, int(epoch), mean, *inference.interval(mean, error, df, level)))
    return pd.DataFrame(rows, columns=columns)


def test_set_error(accuracy: float, n: int) -> float:
    """Binomial standard error of an accuracy measured once on n test images.

    All settings are scored on the same images, so it is no part of their differences' intervals: it says how far the
    level itself would move on another test set of that size.
    """
    if n < 1 or not 0 <= accuracy <= 1:
        raise ValueError(f"expected an accuracy from 0 to 1 and a test image or more, got {accuracy} of {n}")
    return math.sqrt(accuracy * (1 - accuracy) / n)


def bound(value: float, metric: str = "test/acc") -> str:
    """Write an end of an interval, accuracies in points without the word; an open end at 0 is written as such."""
    if value and abs(value) < 1e-300:
        return "just above 0" if value > 0 else "just below 0"
    return _amount(value, metric).removesuffix(" points")


def _by_seed(table: pd.DataFrame, metric: str, more: list[str] | None = None) -> dict[str, pd.Series]:
    """Each label's values by seed and split, several runs of one seed as their mean."""
    keys = ["seed", "split_seed", *(more or [])]
    rows = table[["label", *keys, metric]].dropna(subset=[metric]).fillna({"split_seed": -1})
    means = rows.groupby(["label", *keys])[metric].mean()
    empty = means.iloc[:0].droplevel("label")
    known = set(rows["label"])
    return {label: means.loc[label] if label in known else empty for label in table["label"].unique()}


def _is_paired(shared: int, ours: int, theirs: int) -> bool:
    smaller = min(ours, theirs)
    return shared >= min(2, smaller) and 2 * shared >= smaller and shared > 0


def _paired_moments(differences: np.ndarray) -> tuple[float, float, float]:
    n = len(differences)
    if n < 2:
        return (float(differences.mean()) if n else math.nan), math.nan, math.nan
    return float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(n), float(n - 1)


def _group_moments(ours: pd.Series, theirs: pd.Series) -> tuple[float, float, float]:
    if not len(ours) or not len(theirs):
        return math.nan, math.nan, math.nan
    evidence = inference.from_groups(ours.to_numpy(), theirs.to_numpy())
    return evidence.mean, evidence.error, evidence.df


def _higher_is_better(metric: str) -> bool:
    return metric.endswith("acc")


def _verdict(item: Evidence, p_holm: float, detectable: float, margin: float, higher_is_better: bool) -> str:
    if p_holm < ALPHA:
        return BETTER if (item.mean > 0) == higher_is_better else WORSE
    return ALIKE if detectable <= margin else TOO_FEW


def _sentence(difference: Difference, item: Evidence, metric: str, margin: float) -> str:
    label, baseline, n = difference.label, difference.baseline, difference.n
    seeds = f"{n} seed{'s' if n != 1 else ''}"
    if not item.is_tested:
        if n < 2:
            return f"Too few seeds to compare {label} with {baseline}: {n} of the 2 that a test needs at least."
        same = _amount(item.mean, metric)
        return f"Too few seeds to compare {label} with {baseline}: all {seeds} differ by {same}, so no spread is known."
    words = " ".join(_WORDS.get(part, part) for part in metric.split("/"))
    bounds = f"{bound(difference.low, metric)} to {bound(difference.high, metric)}"
    evidence = (
        f"{_amount(item.mean, metric)} of {words} (simultaneous 95 % interval {bounds}, "
        f"Holm's p {_p_value(difference.p_holm)}, {seeds}{' in pairs' if item.paired else ' a setting at least'})"
    )
    if difference.verdict in {BETTER, WORSE}:
        text = f"{label} is {difference.verdict} than {baseline}: {evidence}."
    elif difference.verdict == ALIKE and not item.mean and item.sd == 0:
        text = f"{label} is not distinguishable from {baseline}: the same {words} on all {seeds}."
    elif difference.verdict == ALIKE:
        shown = _amount(difference.detectable, metric, sign=False)
        text = f"{label} is not distinguishable from {baseline}: {evidence}; {shown} would most likely show."
    else:
        shown, wanted = (_amount(value, metric, sign=False) for value in (difference.detectable, margin))
        enough = f"about {difference.seeds_needed:,}" if difference.seeds_needed else "more than 10,000"
        text = (
            f"Too few seeds to tell {label} from {baseline}: {evidence}; these show {shown} or more with 80 % power, "
            f"and {enough} seeds would show {wanted}."
        )
    if not item.paired:
        text += " The seeds are not shared, so the means were compared by Welch's t-test."
    elif item.left_out:
        text += f" {item.left_out} run{'s' if item.left_out > 1 else ''} without a partner of the same seed left out."
    return text


def _amount(value: float, metric: str, sign: bool = True) -> str:
    plus = "+" if sign else ""
    if metric.endswith(_POINTS):
        return f"{100 * value:{plus}.2f} points".replace("-", "−")
    return f"{value:{plus}.4f}".replace("-", "−")


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}" if p < 0.0995 else f"= {p:.2f}"
