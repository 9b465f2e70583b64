"""The verdict on a setting in one sentence, with the evidence for it."""

from regbench.study.formatting import amount, interval, p_value
from regbench.study.statistics.difference import ALIKE, BETTER, WORSE, Difference
from regbench.study.statistics.hypothesis_tests import Evidence

_WORDS = {"train": "training", "val": "validation", "test": "test", "acc": "accuracy", "ece": "calibration error"}


def verdict_sentence(difference: Difference, item: Evidence, metric: str, margin: float) -> str:
    """Write what the runs tell of a setting beside the baseline.

    Args:
        difference: The numbers and the verdict.
        item: The evidence that they come from.
        metric: What was compared, such as `test/acc`.
        margin: The smallest difference that matters, in the metric's unit.
    """
    label, baseline, n = difference.label, difference.baseline, difference.n
    seeds = f"{n} seed{'s' if n != 1 else ''}"
    if not item.is_tested:
        if n < 2:
            return f"Too few seeds to compare {label} with {baseline}: {n} of the 2 that a test needs at least."
        same = amount(item.mean, metric)
        return f"Too few seeds to compare {label} with {baseline}: all {seeds} differ by {same}, so no spread is known."
    words = " ".join(_WORDS.get(part, part) for part in metric.split("/"))
    bounds = interval(difference.low, difference.high, metric)
    evidence = (
        f"{amount(item.mean, metric)} of {words} (simultaneous 95 % interval {bounds}, "
        f"Holm's p {_told_p(difference.p_holm)}, {seeds}{' in pairs' if item.paired else ' a setting at least'})"
    )
    if difference.verdict in {BETTER, WORSE}:
        text = f"{label} is {difference.verdict} than {baseline}: {evidence}."
    elif difference.verdict == ALIKE and not item.mean and item.sd == 0:
        text = f"{label} is not distinguishable from {baseline}: the same {words} on all {seeds}."
    elif difference.verdict == ALIKE:
        shown = amount(difference.detectable, metric, sign=False)
        text = f"{label} is not distinguishable from {baseline}: {evidence}; {shown} would most likely show."
    else:
        shown, wanted = (amount(value, metric, sign=False) for value in (difference.detectable, margin))
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


def _told_p(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"
