"""Small studies for the tests of the published page."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from regbench.study import Study, load
from tests.study.synthetic import write_study

LEVELS = {"none": 0.890, "batchnorm": 0.92, "dropout": 0.87, "weight_decay": 0.90}


def study_of(path: Path, levels: dict[str, float] = LEVELS, noise: float = 0.001, epochs: int = 12) -> Study:
    return load(write_study(path, levels, range(5), epochs=epochs, noise=noise, val_size=0, track_test=True))


def with_test_curves(study: Study, curves: dict[str, list[float]]) -> Study:
    """Give each setting's runs the same test curve, moved a little by seed and epoch."""
    history = study.history.copy()
    noise = np.random.default_rng(0).normal(scale=1e-5, size=len(history))
    history["test/acc"] = [
        curves[label][epoch] for label, epoch in zip(history["label"], history["epoch"], strict=True)
    ]
    history["test/acc"] += noise
    return replace(study, history=history)
