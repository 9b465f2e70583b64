"""Runs that lie far from the others of their setting, such as a collapsed seed.

A run's score is its distance from its setting's median, in robust standard deviations:

    score = |x - median| / max(s_family, w s_own)

`s_own` is 1.4826 times the median absolute deviation of the setting's own runs, corrected for small numbers. With three
or five seeds that is a poor estimate, so the family's runs are used together: `s_family` is 1.4826 times the median of
all deviations from their settings' medians, the smallest of each setting left out, because a median is fitted to it.
The setting's own spread, with the weight w = min(1, (n + 8) / 20) for n runs, keeps a setting that scatters more than
the others from being flagged at many seeds.

The limit of 4 was chosen by simulation (`tools/simulations/assumptions.py`): of studies with normal values and equal
spread, 2 to 5 % have any run beyond it, for 3 to 40 seeds and up to 10 settings beside the baseline. B. Iglewicz and
D. Hoaglin (How to Detect and Handle Outliers, 1993) take 3.5 with a setting's own deviations; with few seeds that flags
a clean study far more often.

Source of the small-sample factors: C. Croux and P. Rousseeuw, Computational Statistics 1 (1992) 411-428.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

LIMIT = 4.0

_FEWEST = 3
_TO_SD, _MEAN_TO_SD = 1.4826, 1.2533
_SMALL = {2: 1.196, 3: 1.495, 4: 1.363, 5: 1.206, 6: 1.200, 7: 1.140, 8: 1.129, 9: 1.107}


@dataclass(frozen=True)
class OutlyingRun:
    """A run far from the others of its setting; values in the metric's unit.

    Attributes:
        label: The setting whose run it is.
        key: The run's place in the setting's values: the seed, or seed and split.
        value: What the run reached.
        median: The median of its setting's runs.
        score: Distance from the median in robust standard deviations, above `LIMIT`.
        name: The run in words: `seed 3`, with the split where its setting has several runs of a seed.
    """

    label: str
    key: tuple[int, ...]
    value: float
    median: float
    score: float
    name: str

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.key[0]


def robust_scores(groups: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Give every run's distance from its group's median in robust standard deviations, as the module describes.

    Groups of fewer than three runs get 0: with two, neither is the unusual one. So does every run where more than half
    of all runs and their mean deviation show no spread at all.

    Args:
        groups: One array a setting, `(…, n)`; leading axes are studies of their own.

    Returns:
        Scores in the same shapes, 0 or more.
    """
    away = [_distances(np.asarray(group, dtype=float)) for group in groups]
    usable = [np.sort(each, axis=-1)[..., 1:] for each in away if each.shape[-1] > 1]
    if not usable:
        return [np.zeros(each.shape) for each in away]
    pooled = np.concatenate(usable, axis=-1)
    middle = _TO_SD * np.median(pooled, axis=-1)
    # Accuracies of a small test set tie often: where more than half of the runs agree, the mean deviation serves.
    family = np.where(middle > 0, middle, _MEAN_TO_SD * pooled.mean(axis=-1))
    scores = []
    for each in away:
        n = each.shape[-1]
        own = _TO_SD * _SMALL.get(n, n / (n - 0.8)) * np.median(each, axis=-1) if n > 1 else 0.0 * family
        scale = np.maximum(family, min(1.0, (n + 8) / 20) * own)[..., None]
        known = (scale > 1e-12) & (n >= _FEWEST)
        scores.append(np.divide(each, scale, out=np.zeros(each.shape), where=np.broadcast_to(known, each.shape)))
    return scores


def find_outlying(values: Mapping[str, pd.Series]) -> list[OutlyingRun]:
    """Find the runs of a family whose score is above `LIMIT`, the highest first.

    Args:
        values: Each setting's values, the baseline's included, indexed by seed, or by seed and split.
    """
    scores = robust_scores([series.to_numpy(dtype=float) for series in values.values()])
    found = [
        OutlyingRun(label, _key(index), float(value), float(series.median()), float(score), _name(index, series))
        for (label, series), own in zip(values.items(), scores, strict=True)
        for index, value, score in zip(series.index, series, own, strict=True)
        if score > LIMIT
    ]
    return sorted(found, key=lambda run: -run.score)


def unusual_pairs(found: Sequence[OutlyingRun], setting: pd.Series, baseline: pd.Series) -> list[OutlyingRun]:
    """Keep the runs that also make their seed's difference unusual, among those of a setting and its baseline.

    A seed that is hard for every setting moves both runs alike, and their difference hardly; such a run is left out.
    Kept is one whose difference lies at least half as far from the median difference as the run from its own median.

    Args:
        found: Outlying runs of these two settings.
        setting: Its values, indexed as the baseline's.
        baseline: The baseline's values.
    """
    differences = (setting - baseline).dropna()
    away = {_key(index): abs(float(value)) for index, value in (differences - differences.median()).items()}
    return [run for run in found if away.get(run.key, 0.0) >= abs(run.value - run.median) / 2]


def _distances(group: np.ndarray) -> np.ndarray:
    """Distances from the median; an empty group has none."""
    return np.abs(group - np.median(group, axis=-1, keepdims=True)) if group.shape[-1] else group


def _name(index: object, series: pd.Series) -> str:
    seed, *split = _key(index)
    seeds = [_key(each)[0] for each in series.index]
    return f"seed {seed}, split {split[0]}" if split and seeds.count(seed) > 1 else f"seed {seed}"


def _key(index: object) -> tuple[int, ...]:
    return tuple(int(part) for part in index) if isinstance(index, tuple) else (int(str(index)),)
