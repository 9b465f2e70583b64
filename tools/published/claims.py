"""Published statements in words, and how our runs judge each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from regbench.study import Study
from regbench.study.comparisons import comparisons
from regbench.study.formatting import mean_sd_of, points
from regbench.study.statistics import BETTER, WORSE, Difference, compare, judge
from regbench.study.statistics.evidence import from_pairs
from regbench.study.statistics.intervals import prediction_interval
from tools.published.course import BUDGETS, best_epochs
from tools.published.values import (
    NONE,
    R1,
    R4,
    R5,
    R5_MLP,
    Value,
    change,
    differences_by_seed,
    published_gain,
    published_number,
    told,
    verdict,
)

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told"
ALMOST_PERFECT = 0.99
SIMILAR = 1.1

_METRICS = {"train/acc": "Train", "test/acc": "Test", "test/loss": "Test loss", "gap": "Train minus test"}


class Claim(NamedTuple):
    """A published statement in words, which studies tell of it, and how they judge it."""

    reports: str
    text: str
    studies: tuple[str, ...]
    judge: Callable[..., tuple[str, str]]


def claims_table(studies: Mapping[str, Study], published: Sequence[Value]) -> str:
    """Return the claims with their verdicts as Markdown; a study that is not there has not been run."""
    lines = ["| report | claim | verdict | evidence |", "|---|---|---|---|"]
    for claim in claims(published):
        found = [studies[name] for name in claim.studies if name in studies]
        is_run = len(found) == len(claim.studies)
        judged, evidence = claim.judge(*found) if is_run else ("not run yet", "–")
        lines.append(f"| {claim.reports} | {claim.text} | **{judged}** | {evidence} |")
    return "\n".join(lines)


def claims(published: Sequence[Value]) -> tuple[Claim, ...]:
    """Return the claims; how large a gain they claim is what the published numbers say."""
    gain = partial(published_gain, published)
    r1_decay, r2_decay = (gain(report, R1, "weight_decay", "test/acc") for report in ("R1", "R2"))
    r1_dropout = gain("R1", R1, "dropout", "test/acc")
    r5, r5_loss = (gain("R5", R5, "dropout+weight_decay", metric) for metric in ("test/acc", "test/loss"))
    lenet, mlp = (published_number(published, "R5", study, NONE, "test/acc") for study in (R5, R5_MLP))
    both = ("train/acc", "test/acc")
    return (
        Claim("R1 to R3", "Batch norm is best, on train and on test data", (R1,),
              _all_others_are(WORSE, "batchnorm", both)),
        Claim("R3", "Dropout is worst, on train and on test data", (R1,),
              _all_others_are(BETTER, "dropout", both)),
        Claim("R1, R3", "Dropout is below the baseline on test data", (R1,), _is(WORSE, "dropout", abs(r1_dropout))),
        Claim("R1, R2", "Dropout overfits least: its train accuracy exceeds its test accuracy by least", (R1,),
              _all_others_are(WORSE, "dropout", ("gap",))),
        Claim("R1", f"Weight decay is above the baseline on test data, by {points(r1_decay)} points", (R1,),
              _is(BETTER, "weight_decay", r1_decay)),
        Claim("R2", f"The same, by {points(r2_decay)} points", (R1,), _is(BETTER, "weight_decay", r2_decay)),
        Claim("R2", "Weight decay reaches its best earliest", (R1,), partial(best_earlier, label="weight_decay")),
        Claim("R3", "Train accuracy is “almost perfect”, read as 99 % or more, on Fashion-MNIST", (R1,),
              almost_perfect),
        Claim("R3", "The same on MNIST", (R4,), almost_perfect),
        Claim("eight tables", "Batch norm's gain shrinks with the budget", (R1,),
              partial(gain_shrinks, label="batchnorm")),
        Claim("R4", "L2 improves LeNet-5 (tried by R4, which claims no gain)", (R4,), _is(BETTER, "weight_decay")),
        Claim("R4", "Batch norm improves LeNet-5 (likewise)", (R4,), _is(BETTER, "batchnorm")),
        Claim("R5", f"Dropout 0.5 with L2 1e-4 improves LeNet-5 on test data, by {points(r5)} points", (R5,),
              _is(BETTER, "dropout+weight_decay", r5)),
        Claim("R5", f"They lower the test loss by {change(abs(r5_loss), 'test/loss').removeprefix('+')}", (R5,),
              _is(BETTER, "dropout+weight_decay", abs(r5_loss), "test/loss")),
        Claim("R5", f"LeNet-5 is better than the MLP on test data, by {points(lenet - mlp)} points", (R5, R5_MLP),
              partial(beats, claimed=lenet - mlp)),
        Claim("R5", "Their parameters are similar in number", (R5, R5_MLP), similar_parameters),
        Claim("R5", "The LeNet-5 has 17,166 parameters", (R5,), partial(has_parameters, count=17_166)),
        Claim("R5", "The MLP has 15,830 parameters", (R5_MLP,), partial(has_parameters, count=15_830)),
    )  # fmt: skip


def holds(difference: Difference, wanted: str, claimed: float = np.nan) -> str:
    """Judge a claim of one direction by a difference's interval.

    It holds where the interval says so, and fails where the interval says the opposite, or has no room for what is
    claimed: for the margin, or for the size that the report states where that is smaller than the margin.

    Args:
        difference: What our runs say.
        wanted: The verdict that the claim asks for, better or worse.
        claimed: The size that is claimed, above 0; NaN where none is stated.
    """
    if difference.verdict == wanted:
        return HOLDS
    if difference.verdict in {BETTER, WORSE}:
        return FAILS
    upwards = (wanted == BETTER) == difference.metric.endswith("acc")
    room = difference.high if upwards else -difference.low
    return FAILS if room < np.fmin(claimed, difference.margin) else OPEN


def best_earlier(study: Study, label: str) -> tuple[str, str]:
    """Judge whether a setting's test curve has its highest point earlier than every other setting's."""
    (family,) = comparisons(study, label)
    best = best_epochs(family)
    runs = family.runs.assign(best=[best[key] for key in zip(family.runs["label"], family.runs["seed"], strict=True)])
    differences = compare(replace(family, runs=runs), "best")
    shown = [f"{name} {mean_sd_of(runs.loc[runs['label'] == name, 'best'], digits=0)}" for name in family.labels]
    return _all_hold(differences, WORSE), f"Best epoch by the test curve: {', '.join(shown)}."


def gain_shrinks(study: Study, label: str) -> tuple[str, str]:
    """Judge whether a setting's lead in test accuracy is smaller after all epochs than after ten.

    The rate is constant, so a run's first ten epochs are the run of ten epochs.
    """
    (family,) = comparisons(study)
    curves = family.history.assign(epoch=family.history["epoch"] + 1)
    table = curves.pivot_table(index=["seed", "epoch"], columns="label", values="test/acc")
    leads = (table[label] - table[str(family.baseline)]).unstack("epoch")
    last = int(max(leads.columns))
    evidence = from_pairs(leads[last].to_numpy(), leads[10].to_numpy())
    (difference,) = judge({label: evidence}, str(family.baseline), margin=family.margin)
    shown = [f"{epoch}: {points(float(leads[epoch].mean()))}" for epoch in BUDGETS if epoch in leads]
    text = (
        f"Lead in points after so many epochs: {', '.join(shown)}. From 10 to {last} it changes by {told(difference)}."
    )
    return holds(difference, WORSE), text


def almost_perfect(study: Study) -> tuple[str, str]:
    """Judge whether one run of the setting with the highest train accuracy comes to 99 % or more."""
    (family,) = comparisons(study)
    values = {label: family.runs.loc[family.runs["label"] == label, "train/acc"].to_numpy() for label in family.labels}
    low, high = prediction_interval(max(values.values(), key=np.mean))
    judged = HOLDS if low >= ALMOST_PERFECT else FAILS if high < ALMOST_PERFECT else OPEN
    shown = ", ".join(f"{label} {mean_sd_of(each, 100)}" for label, each in values.items())
    return judged, f"Train %, {family.title}: {shown}."


def beats(study: Study, other: Study, claimed: float) -> tuple[str, str]:
    """Judge whether one network has the higher test accuracy than another without regularization, seed by seed."""
    (family,) = comparisons(study)
    lead = differences_by_seed(study, NONE, "test/acc", other)
    evidence = from_pairs(lead, 0 * lead)
    (difference,) = judge({"LeNet-5": evidence}, "MLP", margin=family.margin)
    return holds(difference, BETTER, claimed), f"Test, LeNet-5 beside the MLP: {told(difference)}."


def similar_parameters(study: Study, other: Study) -> tuple[str, str]:
    """Judge whether two networks' numbers of parameters are within a tenth of each other."""
    ours, theirs = _parameters(study), _parameters(other)
    ratio = max(ours, theirs) / min(ours, theirs)
    return HOLDS if ratio <= SIMILAR else FAILS, f"{ours:,} against {theirs:,}: {ratio:.1f} times as many."


def has_parameters(study: Study, count: int) -> tuple[str, str]:
    """Hold a stated number of parameters against the network."""
    ours = _parameters(study)
    return HOLDS if ours == count else FAILS, f"The network as stated has {ours:,}."


def _all_others_are(wanted: str, label: str, metrics: Iterable[str]) -> Callable[[Study], tuple[str, str]]:
    def judged(study: Study) -> tuple[str, str]:
        verdicts, texts = [], []
        for metric in metrics:
            (family,) = comparisons(study, label)
            found = compare(family, metric)
            verdicts.append(_all_hold(found, wanted))
            shown = ", ".join(f"{each.label} {told(each)}" for each in found)
            texts.append(f"{_METRICS[metric]}, beside {label}: {shown}.")
        return _joint(verdicts), " ".join(texts)

    return judged


def _is(
    wanted: str, label: str, claimed: float = np.nan, metric: str = "test/acc"
) -> Callable[[Study], tuple[str, str]]:
    def judged(study: Study) -> tuple[str, str]:
        (family,) = comparisons(study)
        (found,) = (each for each in compare(family, metric) if each.label == label)
        text = f"{_METRICS[metric]}, {label} beside {family.baseline}: {told(found)}, {verdict(found)}."
        return holds(found, wanted, claimed), text

    return judged


def _parameters(study: Study) -> int:
    return int(study.runs.loc[study.runs["setting"] == NONE, "parameters"].iloc[0])


def _all_hold(differences: Sequence[Difference], wanted: str) -> str:
    return _joint([holds(each, wanted) for each in differences])


def _joint(verdicts: Sequence[str]) -> str:
    """A claim of several parts fails with the first that fails."""
    return HOLDS if set(verdicts) == {HOLDS} else FAILS if FAILS in verdicts else OPEN
