"""The verdict on a setting in one sentence, with the evidence for it."""

import math

from regbench.study.formatting import amount, interval, p_value
from regbench.study.measured import metric_words
from regbench.study.predictions import MEANS_OVER_IMAGES
from regbench.study.statistics.difference import BETTER, DECIDED, EQUIVALENT, TOO_FEW, WORSE, Difference
from regbench.study.statistics.evidence import Evidence

_UNKNOWN = "that takes the predictions of all runs on the same test images"
_NOT_COMPUTED = "that is computed for accuracy and loss alone"


def verdict_sentence(difference: Difference, item: Evidence, name: str = "", training: str = "") -> str:
    """Write what the runs tell of a setting beside the baseline.

    Args:
        difference: The numbers and the verdict.
        item: The evidence that they come from.
        name: The setting with its strengths; its label unless given.
        training: How both were trained, `"adam at 0.001"`.
    """
    if difference.verdict == TOO_FEW:
        return _untested(difference)
    bounds = interval(difference.low, difference.high, difference.kind)
    seeds = f"{difference.n} seeds{' in pairs' if item.paired else ' a setting at least'}{_stage(difference)}"
    seeds += ", with the search's own uncertainty" if item.search else ""
    evidence = f"simultaneous 95 % interval {bounds}, adjusted p {_told_p(difference.p_adjusted)}, {seeds}"
    mean = f"{amount(item.mean, difference.kind)} of {metric_words(difference.metric, difference.own_kind)}"
    trained = f" with {training}" if training else ""
    text = f"{_head(difference, name or difference.label)}{trained}: {mean} ({evidence}){_rest(difference, item)}."
    if not item.paired:
        text += " The seeds are not shared, so the means were compared by Welch's t-test."
    elif item.left_out:
        text += f" {item.left_out} run{'s' if item.left_out > 1 else ''} without a partner of the same seed left out."
    return text


def interval_lines(difference: Difference) -> list[str]:
    """Write what a tested difference is on this test set, and on new images, where these are drawn anew as well."""
    mean = amount(difference.mean, difference.kind)
    lines = [f"On this test set: {mean} ({interval(difference.low, difference.high, difference.kind)})."]
    low, high = difference.low_new_images, difference.high_new_images
    if math.isnan(low):
        reason = _UNKNOWN if difference.metric in MEANS_OVER_IMAGES else _NOT_COMPUTED
        return [*lines, f"On new images: not known, since {reason}."]
    turns = difference.verdict in {BETTER, WORSE} and low <= 0 <= high
    turned = "; another test set of this size might turn the order" if turns else ""
    return [*lines, f"On new images: {mean} ({interval(low, high, difference.kind)}){turned}."]


def _head(difference: Difference, name: str) -> str:
    baseline, verdict = difference.baseline, difference.verdict
    margin = amount(difference.margin, difference.kind, sign=False)
    if verdict in {BETTER, WORSE}:
        less = f" by less than {margin}" if difference.within_margin else ""
        return f"{name} is {verdict} than {baseline}{less}"
    if verdict == EQUIVALENT:
        return f"{name} is equivalent to {baseline} within ±{margin}"
    leaning = f", leaning to {difference.leaning}" if difference.leaning else ""
    return f"{name} beside {baseline} is undecided{leaning}"


def _rest(difference: Difference, item: Evidence) -> str:
    """What an undecided interval rules out nevertheless, and how many seeds would decide."""
    if difference.verdict in {BETTER, WORSE, EQUIVALENT} or math.isnan(difference.margin):
        return ""
    margin = amount(difference.margin, difference.kind, sign=False)
    gain, loss = ("gain", "loss") if difference.kind.higher_is_better else ("rise", "fall")
    parts = []
    if difference.high < difference.margin:
        parts.append(f"a {gain} of {margin} is ruled out")
    if difference.low > -difference.margin:
        parts.append(f"a {loss} of {margin} is ruled out")
    if item.search and (difference.seeds_needed is None or difference.seeds_needed.point is None):
        parts.append(f"no number of seeds would show a difference of {margin}, as long as searches differ so much")
    elif difference.seeds_needed is not None:
        parts.append(f"{difference.seeds_needed.words} seeds would most likely show a difference of {margin}")
    return "; " + "; ".join(parts)


def _stage(difference: Difference) -> str:
    if difference.stage is None:
        return ""
    decided = " decided at" if difference.verdict in DECIDED else ""
    return f",{decided} stage {difference.stage} of {difference.stages}"


def _untested(difference: Difference) -> str:
    label, baseline, n = difference.label, difference.baseline, difference.n
    if difference.stages and difference.stage is None:
        return f"Too few seeds to compare {label} with {baseline}: no stage of {difference.stages} is whole."
    if n < 2:
        return f"Too few seeds to compare {label} with {baseline}: {n} of the 2 that an interval needs at least."
    if not difference.mean:
        return (
            f"Too few seeds to compare {label} with {baseline}: the same "
            f"{metric_words(difference.metric, difference.own_kind)} on all {n} seeds, so no spread is known."
        )
    same = amount(difference.mean, difference.kind)
    return f"Too few seeds to compare {label} with {baseline}: all {n} seeds differ by {same}, so no spread is known."


def _told_p(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"
