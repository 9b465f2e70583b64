"""Differences by seed and test image with known variances."""

import numpy as np


def effects(
    seeds: int, size: int, *, by_seed: float, by_image: float, rest: float, rng: np.random.Generator
) -> np.ndarray:
    """Sums of independent normal effects with these standard deviations, `(seeds, size)`."""
    return (
        by_seed * rng.normal(size=(seeds, 1)) + by_image * rng.normal(size=size) + rest * rng.normal(size=(seeds, size))
    )
