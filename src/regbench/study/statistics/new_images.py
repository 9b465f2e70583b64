"""How far the settings of a study would differ on new test images, from the stored predictions of its runs."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from regbench.study.comparisons import Comparison
from regbench.study.measured import is_accuracy
from regbench.study.predictions import MEANS_OVER_IMAGES, read_image_values
from regbench.study.statistics.difference import Difference
from regbench.study.statistics.intervals import ALPHA
from regbench.study.statistics.pairing import is_paired
from regbench.study.statistics.seeds_and_images import SeedsAndImages, from_image_groups, from_paired_images
from regbench.study.statistics.stages import stages_of

_SEED = ["seed", "split_seed"]


def differences_by_image(comparison: Comparison, metric: str = "test/acc") -> dict[str, SeedsAndImages | None]:
    """Return for each setting but the baseline how sure its difference is, over seeds and over test images.

    Seeds are paired as in `compare`, and several runs of a setting with the same seed count as their mean. Every run's
    predictions are read once.

    Args:
        comparison: The family.
        metric: `test/acc` or `test/loss`.

    Returns:
        None for a setting where the predictions of any of its runs or the baseline's cannot be read (read from a CSV,
        deleted or damaged) or are of other test images; for all settings where the metric is no mean over test images.
        Empty without a baseline.
    """
    if comparison.baseline is None:
        return {}
    others = [label for label in comparison.labels if label != comparison.baseline]
    if metric not in MEANS_OVER_IMAGES or "folder" not in comparison.runs:
        return dict.fromkeys(others)
    baseline = _Values.read(comparison.runs_of(comparison.baseline), metric)
    if baseline is None:
        return dict.fromkeys(others)
    return {label: baseline.compared(_Values.read(comparison.runs_of(label), metric)) for label in others}


def with_new_images(comparison: Comparison, differences: Sequence[Difference]) -> list[Difference]:
    """Add to a family's differences the interval that also counts the sampling of test images.

    It is of the same seeds and simultaneous over the same settings, and stages, as the interval on this test set; NaN
    where there is none or predictions cannot be read.

    Args:
        comparison: The family.
        differences: What `compare` found, all of one metric.
    """
    tested = [each for each in differences if not math.isnan(each.low)]
    if not tested:
        return list(differences)
    design = stages_of(comparison.runs)
    by_stage = {
        stage: differences_by_image(
            replace(comparison, runs=design.seen(comparison.runs, stage)) if design else comparison, tested[0].metric
        )
        for stage in {each.stage for each in tested}
    }
    result = []
    for each in differences:
        found = by_stage[each.stage].get(each.label) if each in tested else None
        if found is not None and is_accuracy(each.metric):
            found = replace(found, seeds=found.seeds + comparison.search_variance(each.label))
        low, high = found.on_new_images(ALPHA / each.together) if found is not None else (math.nan, math.nan)
        result.append(replace(each, low_new_images=low, high_new_images=high))
    return result


class _Values:
    """A setting's values by seed and test image.

    Args:
        labels: The test set's true classes, `(N,)`; they tell test sets apart.
        values: `(n, N)`.
        seeds: Seed and split seed of each row.
    """

    def __init__(self, labels: np.ndarray, values: np.ndarray, seeds: Sequence[tuple[int, int]]) -> None:
        self.labels = labels
        self.values = values
        self.places = {seed: place for place, seed in enumerate(seeds)}

    @classmethod
    def read(cls, runs: pd.DataFrame, metric: str) -> "_Values | None":
        """Read a setting's runs; None where one cannot be read or has other test images, or where there is none."""
        labels: np.ndarray | None = None
        by_seed: dict[tuple[int, int], list[np.ndarray]] = {}
        split_seeds = runs["split_seed"].fillna(-1)
        for folder, seed, split_seed in zip(runs["folder"], runs["seed"], split_seeds, strict=True):
            stored = read_image_values(Path(folder), metric) if isinstance(folder, str) and folder else None
            if stored is None or (labels is not None and not np.array_equal(stored[0], labels)):
                return None
            labels = stored[0]
            by_seed.setdefault((int(seed), int(split_seed)), []).append(stored[1])
        if labels is None:
            return None
        rows = [np.mean(each, axis=0) if len(each) > 1 else each[0] for each in by_seed.values()]
        return cls(labels, np.stack(rows), list(by_seed))

    def compared(self, setting: "_Values | None") -> SeedsAndImages | None:
        """Compare a setting with this, the baseline."""
        if setting is None or not np.array_equal(setting.labels, self.labels):
            return None
        shared = [seed for seed in setting.places if seed in self.places]
        if not is_paired(len(shared), len(setting.places), len(self.places)):
            return from_image_groups(setting.values, self.values)
        ours, theirs = ([each.places[seed] for seed in shared] for each in (setting, self))
        return from_paired_images(setting.values[ours], self.values[theirs])
