"""The best validation score that a search of k trials may expect, and how much another search would differ.

Of n trials with scores x₁ ≤ … ≤ xₙ, the best of k that are drawn with replacement is at most xᵢ with probability
(i/n)ᵏ. Its mean and variance follow exactly, without a simulation. With k = n that is the bootstrap over the trials:
how the best would vary had the search been run again.

The trials count as independent draws, as they are under a random search. TPE comes to good values sooner than its
trials in random order, so for small k the curve is then what a random search of the same range might expect at best.

Source: J. Dodge, S. Gururangan, D. Card, R. Schwartz and N. A. Smith (2019), Show your work, arXiv:1909.03004.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from regbench.storage.tuning import Tuning


@dataclass(frozen=True)
class ExpectedBest:
    """The best of k = 1, …, n trials, `(n,)` each, in the score's unit.

    Attributes:
        mean: Its expectation.
        sd: Its standard deviation.
        low: mean - sd, and not beyond the scores themselves.
        high: mean + sd, likewise.
    """

    mean: np.ndarray
    sd: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def trials(self) -> np.ndarray:
        """The numbers of trials."""
        return np.arange(1, len(self.mean) + 1)


def expected_best(scores: Sequence[float], higher_is_better: bool = True) -> ExpectedBest:
    """Return the expected best score after each number of trials.

    Args:
        scores: Of a search's trials, in any order.
        higher_is_better: False for a loss.

    Raises:
        ValueError: There is no score, or one is not finite.
    """
    if not len(scores) or not all(map(math.isfinite, scores)):
        raise ValueError(f"expected best: expected finite scores, one or more, received {list(scores)}")
    sign = 1 if higher_is_better else -1
    ordered = np.sort(sign * np.asarray(scores, dtype=float))
    mean, sd = _moments(ordered, np.arange(1, len(ordered) + 1))
    low, high = np.maximum(mean - sd, ordered[0]), np.minimum(mean + sd, ordered[-1])
    if higher_is_better:
        return ExpectedBest(mean, sd, low, high)
    return ExpectedBest(-mean, sd, -high, -low)


def choice_sd(
    scores: Sequence[float] | np.ndarray, values: Sequence[float] | np.ndarray, higher_is_better: bool = True
) -> float:
    """Return how much a value of the best trial varies from search to search, by the bootstrap over the trials.

    Args:
        scores: Of the trials, by which the best is found.
        values: Of the same trials, such as their accuracies where they are chosen by loss.
        higher_is_better: False where the score is a loss.
    """
    sign = 1 if higher_is_better else -1
    order = np.argsort(sign * np.asarray(scores, dtype=float), kind="stable")
    _, sd = _moments(np.asarray(values, dtype=float)[order], np.array([len(scores)]))
    return float(sd[0])


def search_sd(tuning: Tuning) -> dict[str, float]:
    """Return by setting how much the validation accuracy of what is chosen varies from search to search, a fraction."""
    found = {}
    for record in tuning.settings:
        trials = [each for each in record.trials if each.score is not None and each.accuracy is not None]
        if trials:
            scores, accuracies = ([getattr(each, name) for each in trials] for name in ("score", "accuracy"))
            found[record.setting] = choice_sd(scores, accuracies, tuning.monitor == "val/acc")
    return found


def _moments(ordered: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the value of the best of so many draws; the last of `ordered` is the best."""
    share = np.arange(len(ordered) + 1) / len(ordered)
    weights = np.diff(share[None, :] ** draws[:, None], axis=1)  # (k, i)
    mean = weights @ ordered
    variance = (weights * (ordered[None, :] - mean[:, None]) ** 2).sum(axis=1)
    return mean, np.sqrt(variance)
