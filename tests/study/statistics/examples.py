"""Accuracies of a small study, by setting and seed."""

from collections.abc import Mapping, Sequence

import pandas as pd

from regbench.study.comparisons import Comparison

ACCURACIES = {
    "none": [0.8912, 0.8890, 0.8875, 0.8931, 0.8903, 0.8887],
    "batchnorm": [0.9020, 0.9003, 0.8991, 0.9011, 0.9034, 0.8986],
    "dropout": [0.8895, 0.8871, 0.8880, 0.8902, 0.8889, 0.8860],
    "weight_decay": [0.8915, 0.8884, 0.8899, 0.8926, 0.8910, 0.8893],
}


def family(values: Mapping[str, Sequence[float]], seeds: Mapping[str, Sequence[int]] | None = None) -> Comparison:
    """A comparison with these test accuracies; seeds 0, 1, … where none are named."""
    rows = [
        {"label": label, "seed": seed, "split_seed": 0, "test/acc": value, "test/loss": 1 - value}
        for label, numbers in values.items()
        for seed, value in zip((seeds or {}).get(label, range(len(numbers))), numbers, strict=True)
    ]
    return Comparison("made up", "none", tuple(values), pd.DataFrame(rows), pd.DataFrame())
