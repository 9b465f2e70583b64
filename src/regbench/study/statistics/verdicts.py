"""Compares every setting of a family with its baseline and decides which are better or worse."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from regbench.study.acting import not_acting
from regbench.study.comparisons import Comparison
from regbench.study.statistics.difference import ALIKE, BETTER, NOT_ACTING, TOO_FEW, WORSE, Difference
from regbench.study.statistics.hypothesis_tests import ALPHA, Evidence, from_groups, from_pairs, holm
from regbench.study.statistics.intervals import interval, intervals
from regbench.study.statistics.power import detectable, seeds_needed
from regbench.study.statistics.sentences import verdict_sentence


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
    family = {label: _pair_or_group(values[label], baseline) for label in others}
    idle = not_acting(comparison)
    acting = {label: item for label, item in family.items() if label not in idle}
    judged = {each.label: each for each in judge(acting, comparison.baseline, metric, margin)}
    return [
        judged[label] if label in judged else _unjudged(label, comparison.baseline, item, idle[label])
        for label, item in family.items()
    ]


def _unjudged(label: str, baseline: str, item: Evidence, reason: str) -> Difference:
    """Describe a setting that did not act: its numbers without a test."""
    unknown = dict.fromkeys(("low", "high", "p", "p_holm", "p_permutation", "detectable"), math.nan)
    return Difference(
        label=label,
        baseline=baseline,
        n=item.n,
        mean=item.mean,
        sd=item.sd,
        **unknown,
        p_beats=math.nan,
        seeds_needed=None,
        paired=item.paired,
        verdict=NOT_ACTING,
        sentence=f"{label} did not act, so there is nothing to compare: {reason}.",
    )


def _pair_or_group(setting: pd.Series, baseline: pd.Series) -> Evidence:
    """Pair two settings' values by their index, or compare them as groups where hardly any are shared."""
    shared = setting.index.intersection(baseline.index)
    if not _is_paired(len(shared), len(setting), len(baseline)):
        return from_groups(setting.to_numpy(), baseline.to_numpy())
    left_out = len(setting) + len(baseline) - 2 * len(shared)
    return from_pairs(setting[shared].to_numpy(), baseline[shared].to_numpy(), left_out)


def judge(
    family: Mapping[str, Evidence], baseline: str, metric: str = "test/acc", margin: float = 0.003
) -> list[Difference]:
    """Turn the evidence on a family of settings into verdicts."""
    evidence = list(family.values())
    m = sum(item.is_tested for item in evidence)
    adjusted = holm([item.p for item in evidence])
    result = []
    bounds = intervals(evidence)
    for (label, item), p_holm, (low, high) in zip(family.items(), adjusted, bounds, strict=True):
        smallest = detectable(item, m) if item.is_tested else math.nan
        verdict = _verdict(item, float(p_holm), smallest, margin, _higher_is_better(metric))
        needed = seeds_needed(item, m, margin)
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
        result.append(replace(difference, sentence=verdict_sentence(difference, item, metric, margin)))
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
                rows.append((label, int(epoch), mean, *interval(mean, error, df, level)))
    return pd.DataFrame(rows, columns=columns)


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
    evidence = from_groups(ours.to_numpy(), theirs.to_numpy())
    return evidence.mean, evidence.error, evidence.df


def _higher_is_better(metric: str) -> bool:
    return metric.endswith("acc")


def _verdict(item: Evidence, p_holm: float, detectable: float, margin: float, higher_is_better: bool) -> str:
    if p_holm < ALPHA:
        return BETTER if (item.mean > 0) == higher_is_better else WORSE
    return ALIKE if detectable <= margin else TOO_FEW
