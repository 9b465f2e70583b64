"""Compares every setting of a family with its baseline and reads the verdicts off simultaneous intervals."""

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from regbench.storage.schema import kind_of
from regbench.study.acting import not_acting
from regbench.study.comparisons import Comparison
from regbench.study.measured import Quantity, is_accuracy
from regbench.study.statistics.checks.assumptions import examine
from regbench.study.statistics.difference import DECIDED, NOT_ACTING, Difference, verdict_of
from regbench.study.statistics.evidence import Evidence, from_groups, from_pairs, with_search
from regbench.study.statistics.intervals import ALPHA, adjusted, interval, simultaneous, tested
from regbench.study.statistics.pairing import is_paired, values_by_seed
from regbench.study.statistics.power import detectable, seeds_range
from regbench.study.statistics.sentences import verdict_sentence
from regbench.study.statistics.stages import Look, Stages, stages_of


def compare(
    comparison: Comparison, metric: str = "test/acc", margin: float | None = None, design: Stages | None = None
) -> list[Difference]:
    """Compare every setting of a family with its baseline; empty where the family has no baseline.

    Runs are paired by seed and split; where settings and baseline share fewer than two seeds, or less than half of the
    smaller group, all runs are used unpaired. Several runs of a setting with the same seed count as their mean.

    Args:
        comparison: The family; the intervals hold over its settings together.
        metric: A column of the runs; for losses, calibration error and gap, lower is better, and of the group
            `metrics` what its YAML says.
        margin: The smallest difference that matters, in the metric's unit; for accuracies the family's own unless
            given. Another metric has none, so that nothing is called equivalent by it.
        design: The stages that the seeds came in; each setting is judged at the first that decides it. The family's own
            unless given; where its runs know of none, all seeds are judged at once.

    Raises:
        ValueError: The margin is not above 0.
    """
    if comparison.baseline is None:
        return []
    if margin is None:
        margin = comparison.margin if is_accuracy(metric) else math.nan
    if margin <= 0:
        raise ValueError(f"margin: expected a difference above 0, got {margin}")
    values = values_by_seed(comparison.runs, metric)
    others = [label for label in comparison.labels if label != comparison.baseline]
    idle = not_acting(comparison)
    acting = [label for label in others if label not in idle]
    design = design or stages_of(comparison.runs)
    if design is None:
        found = _judge_values(comparison, values, acting, metric, margin)
    else:
        found = _judge_by_stage(comparison, acting, metric, margin, design)
    judged = {each.label: each for each in found}
    for label, reason in idle.items():
        item = _pair_or_group(values[label], values[comparison.baseline])
        judged[label] = _unjudged(label, comparison, metric, item, reason)
    return [judged[label] for label in others]


def judge(
    family: Mapping[str, Evidence],
    baseline: str,
    metric: str = "test/acc",
    margin: float = math.nan,
    comparison: Comparison | None = None,
    look: Look | None = None,
) -> list[Difference]:
    """Turn the evidence on a family of settings into verdicts; without a margin nothing is called equivalent.

    Args:
        family: The evidence by label.
        baseline: The label that they are compared with.
        metric: What was compared.
        margin: The smallest difference that matters, in the metric's unit.
        comparison: The runs behind it, from which sentences take strengths and the optimizer.
        look: Where seeds come in stages, the one that the evidence is of.
    """
    evidence = list(family.values())
    kind = kind_of(metric, comparison.kinds if comparison else None)
    if kind is None and metric.startswith(("train/", "val/", "test/")):
        raise ValueError(f"metric: expected one by which all runs mean the same; received {metric}")
    higher = kind is not None and kind.higher_is_better
    m = look.together if look else tested(evidence)
    result = []
    for (label, item), p_adjusted, (low, high) in zip(
        family.items(), adjusted(evidence, m), simultaneous(evidence, m), strict=True
    ):
        difference = Difference(
            label=label,
            baseline=baseline,
            metric=metric,
            n=item.n,
            mean=item.mean,
            sd=item.sd,
            low=low,
            high=high,
            margin=margin,
            verdict=verdict_of(low, high, margin, higher),
            p=item.p,
            p_adjusted=p_adjusted,
            p_permutation=item.p_permutation,
            p_beats=item.wins if higher else 1 - item.wins,
            detectable=detectable(item, m) if item.is_tested else math.nan,
            seeds_needed=seeds_range(item, m, margin) if margin > 0 else None,
            paired=item.paired,
            sentence="",
            doubts=(),
            evidence=item,
            stage=look.stage if look else None,
            stages=look.stages if look else 0,
            together=m,
            own_kind=kind,
        )
        name = comparison.described(label) if comparison else label
        training = comparison.training if comparison else ""
        result.append(replace(difference, sentence=verdict_sentence(difference, item, name, training)))
    return result


def _judge_values(
    comparison: Comparison,
    values: Mapping[str, pd.Series],
    settings: Collection[str],
    metric: str,
    margin: float,
    look: Look | None = None,
) -> list[Difference]:
    """Judge settings by these values, by label and seed, and say what makes their intervals doubtful."""
    baseline = str(comparison.baseline)
    family = {label: _pair_or_group(values[label], values[baseline]) for label in settings}
    if is_accuracy(metric):
        family = {label: with_search(item, comparison.search_variance(label)) for label, item in family.items()}
    in_pairs = {label: item.paired for label, item in family.items() if item.is_tested}
    kind = Quantity.of(metric, comparison.kinds).kind
    doubts = examine(values, baseline, in_pairs, kind, margin, look.together if look else None)
    return [
        replace(each, doubts=doubts[each.label].sentences if each.label in doubts else ())
        for each in judge(family, baseline, metric, margin, comparison, look)
    ]


def _judge_by_stage(
    comparison: Comparison, settings: Collection[str], metric: str, margin: float, design: Stages
) -> list[Difference]:
    """Judge each setting at the first stage that decides it, else at the last whole one.

    A stage is whole for a setting when its runs and the baseline's with the stage's seeds have ended; of those that
    failed the pair is left out. Seeds of later stages are not looked at.
    """
    baseline, looks = str(comparison.baseline), len(design.sizes)
    nothing = {label: from_pairs(np.empty(0), np.empty(0)) for label in settings}
    before = Look(None, looks, len(settings))
    found = {each.label: each for each in judge(nothing, baseline, metric, margin, comparison, before)}
    for stage in range(1, looks + 1):
        values = values_by_seed(design.seen(comparison.runs, stage), metric)
        ended = {label for label in values if _has_ended(comparison, label, design.seeds(stage))}
        left = [label for label, each in found.items() if label in ended and each.verdict not in DECIDED]
        if baseline in ended and left:
            look = Look(stage, looks, len(settings))
            judged = _judge_values(comparison, values, left, metric, margin, look)
            found |= {each.label: each for each in judged}
    return list(found.values())


def _has_ended(comparison: Comparison, label: str, seeds: range) -> bool:
    finished = set(comparison.runs_of(label)["seed"])
    return all(seed in finished or (label, seed) in comparison.ended for seed in seeds)


def _unjudged(label: str, comparison: Comparison, metric: str, item: Evidence, reason: str) -> Difference:
    """Describe a setting that did not act: its numbers without a test."""
    unknown: dict[str, Any] = dict.fromkeys(
        ("low", "high", "margin", "p", "p_adjusted", "p_permutation", "p_beats", "detectable"), math.nan
    )
    return Difference(
        label=label,
        baseline=str(comparison.baseline),
        metric=metric,
        n=item.n,
        mean=item.mean,
        sd=item.sd,
        **unknown,
        own_kind=kind_of(metric, comparison.kinds),
        verdict=NOT_ACTING,
        seeds_needed=None,
        paired=item.paired,
        sentence=f"{label} did not act, so there is nothing to compare: {reason}.",
        doubts=(),
        evidence=item,
    )


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
    values = values_by_seed(comparison.history, metric, ["epoch"])
    baseline = values[comparison.baseline].unstack("epoch")
    rows = []
    for label in others:
        curves = values[label].unstack("epoch")
        shared = curves.index.intersection(baseline.index)
        paired = is_paired(len(shared), len(curves), len(baseline))
        differences = curves.loc[shared] - baseline.loc[shared]
        for epoch in curves.columns.intersection(baseline.columns):
            if paired:
                mean, error, df = _paired_moments(differences[epoch].dropna().to_numpy())
            else:
                mean, error, df = _group_moments(curves[epoch].dropna(), baseline[epoch].dropna())
            if not math.isnan(mean):
                rows.append((label, int(epoch), mean, *interval(mean, error, df, level)))
    return pd.DataFrame(rows, columns=columns)


def _pair_or_group(setting: pd.Series, baseline: pd.Series) -> Evidence:
    """Pair two settings' values by their index, or compare them as groups where hardly any are shared."""
    shared = setting.index.intersection(baseline.index)
    if not is_paired(len(shared), len(setting), len(baseline)):
        return from_groups(setting.to_numpy(), baseline.to_numpy())
    left_out = len(setting) + len(baseline) - 2 * len(shared)
    return from_pairs(setting[shared].to_numpy(), baseline[shared].to_numpy(), left_out)


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
