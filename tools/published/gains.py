"""Published gains over no regularization beside ours: a report's claim is a difference, more than a level."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from regbench.study import Study
from regbench.study.comparisons import comparisons
from regbench.study.formatting import interval, mean_sd_of
from regbench.study.statistics import Difference, compare, judge
from regbench.study.statistics.evidence import from_pairs
from regbench.study.statistics.intervals import ALPHA, prediction_interval
from regbench.study.statistics.intervals import interval as t_interval
from tools.published.values import (
    METRICS,
    NONE,
    NOT_RUN,
    R1,
    R2_HIDDEN,
    R2_RATE,
    Value,
    by_seed,
    change,
    differences_by_seed,
    place,
    published_gain,
    told,
    verdict,
)


def gains(published: Sequence[Value], studies: Mapping[str, Study]) -> str:
    """Return every published difference from a report's own baseline, in or out of the interval of two further runs."""
    lines = [
        "| report | study | setting | | published gain | ours, mean | 95 % interval of two runs | published is |",
        "|---|---|---|---|---:|---:|---:|---|",
    ]
    for row in published:
        if row.setting == NONE:
            continue
        gain = published_gain(published, *row[:4])
        cells = [row.report, row.study, row.setting, METRICS[row.metric], change(gain, row.metric)]
        study = studies.get(row.study)
        if study is None:
            lines.append(f"| {' | '.join(cells)} | not run yet | – | – |")
            continue
        ours, baseline = (by_seed(study, each, row.metric).to_numpy() for each in (row.setting, NONE))
        low, high = interval_of_two_runs(ours, baseline)
        mean = change(float(ours.mean() - baseline.mean()), row.metric)
        cells += [mean, interval(low, high, row.metric), place(gain, low, high)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def gains_by_rate(published: Sequence[Value], studies: Mapping[str, Study]) -> str:
    """Return R2's gains in test accuracy beside ours at both rates, each rate's settings judged together."""
    if R1 not in studies or R2_RATE not in studies:
        return NOT_RUN
    titles = ("setting", "R2's gain", "ours at 1e-4 after 60 epochs", "", "ours at 1e-3 after 15 epochs", "")
    lines = [f"| {' | '.join(titles)} |", "|---|---:|---:|---|---:|---|"]
    slow, fast = (_by_setting(studies[name]) for name in (R1, R2_RATE))
    for setting in dict.fromkeys(each.setting for each in published if each.report == "R2" and each.setting != NONE):
        gain = change(published_gain(published, "R2", R1, setting, "test/acc"), "test/acc")
        cells = [cell for each in (slow[setting], fast[setting]) for cell in (told(each), verdict(each))]
        lines.append(f"| {setting} | {gain} | {' | '.join(cells)} |")
    return "\n".join(lines)


def hidden_dropout(published: Sequence[Value], studies: Mapping[str, Study]) -> str:
    """Return dropout at the last hidden layer alone beside R2's numbers; the baseline is R1's on the same seeds."""
    if R1 not in studies or R2_HIDDEN not in studies:
        return NOT_RUN
    study, baseline = studies[R2_HIDDEN], studies[R1]
    (family,) = comparisons(baseline)
    last = study.history[study.history["epoch"] == study.history["epoch"].max()]
    gain = differences_by_seed(study, "dropout", "test/acc", baseline)
    pairs = from_pairs(gain, 0 * gain)
    (difference,) = judge({"dropout": pairs}, NONE, margin=family.margin)
    wanted = {each.metric: each.published for each in published if each[:3] == ("R2", R1, "dropout")}
    rows = (
        ("train %, counted while training", wanted["train/acc"], 100 * last["train/acc_online"]),
        ("train %, after training", wanted["train/acc"], 100 * by_seed(study, "dropout", "train/acc")),
        ("test %", wanted["test/acc"], 100 * by_seed(study, "dropout", "test/acc")),
    )
    lines = ["| | published | ours, mean ± sd (n) | 95 % interval of one run or two | |", "|---|---:|---:|---:|---|"]
    for name, number, values in rows:
        low, high = prediction_interval(values.to_numpy())
        shown = f"{mean_sd_of(values)} ({len(values)})"
        lines.append(f"| {name} | {number:.2f} | {shown} | {low:.2f} to {high:.2f} | {place(number, low, high)} |")
    theirs = published_gain(published, "R2", R1, "dropout", "test/acc")
    low, high = interval_of_two_runs(
        by_seed(study, "dropout", "test/acc").to_numpy(), by_seed(baseline, NONE, "test/acc").to_numpy()
    )
    shown = f"{told(difference)}, {verdict(difference)} | {interval(low, high)} | {place(theirs, low, high)}"
    lines.append(f"| test, from none, points (95 %) | {change(theirs, 'test/acc')} | {shown} |")
    return "\n".join(lines)


def interval_of_two_runs(ours: np.ndarray, baseline: np.ndarray) -> tuple[float, float]:
    """Return the interval that the difference of one more run of each misses with 5 %, both sides together.

    Two runs of a report need not share a seed, so they count as independent: mean difference ± t · √(Σ s² (1 + 1/n)),
    with Welch's degrees of freedom.
    """
    parts = [float(np.var(each, ddof=1)) * (1 + 1 / len(each)) for each in (ours, baseline)]
    df = sum(parts) ** 2 / sum(part**2 / (len(each) - 1) for part, each in zip(parts, (ours, baseline), strict=True))
    return t_interval(float(ours.mean() - baseline.mean()), math.sqrt(sum(parts)), df, ALPHA)


def _by_setting(study: Study) -> dict[str, Difference]:
    (family,) = comparisons(study)
    settings = dict(zip(family.runs["label"], family.runs["setting"], strict=True))
    return {str(settings[each.label]): each for each in compare(family)}
