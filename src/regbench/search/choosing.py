"""The rules by which a setting's values are chosen, from validation scores alone. Imports no torch."""

import math
from collections.abc import Sequence

from regbench.storage.tuning import FinalistRecord, TrialRecord


def find_finalists(trials: Sequence[TrialRecord], count: int, monitor: str) -> list[TrialRecord]:
    """Return the best trials that were trained to their end, the best first, no two of the same values.

    Of equal scores the earlier trial counts as better.
    """
    whole = [each for each in trials if each.state == "finished" and each.score is not None]
    found: list[TrialRecord] = []
    for each in sorted(whole, key=lambda trial: (-quality(trial.score, monitor), trial.number)):
        if all(each.values != other.values for other in found):
            found.append(each)
    return found[:count]


def choose(finalists: Sequence[FinalistRecord], monitor: str) -> int | None:
    """Return the trial whose runs on further seeds have the best mean score; `None` until all have one.

    The score that made it a finalist does not count: the luckiest trial would carry its luck along.
    """
    if not finalists or any(score is None for each in finalists for score in each.scores):
        return None
    means = [sum(quality(score, monitor) for score in each.scores) / len(each.scores) for each in finalists]
    return finalists[means.index(max(means))].trial


def chance(monitor: str, classes: int) -> float:
    """Return what guessing scores, for runs that diverged: 1/C, or a cross-entropy of log C."""
    return 1 / classes if monitor == "val/acc" else math.log(classes)


def quality(score: float | None, monitor: str) -> float:
    """Return a score so that larger is better."""
    if score is None:
        return -math.inf
    return score if monitor == "val/acc" else -score
