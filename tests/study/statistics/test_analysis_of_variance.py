import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from regbench.study.statistics.seeds_and_images import from_image_groups, from_paired_images


def mean_squares(values: np.ndarray) -> pd.Series:
    """Mean squares of seeds, images and residual by statsmodels' two-way analysis of variance."""
    seed, image = np.indices(values.shape)
    table = pd.DataFrame({"value": values.ravel(), "seed": seed.ravel(), "image": image.ravel()})
    return anova_lm(ols("value ~ C(seed) + C(image)", data=table).fit())["mean_sq"]


def test_variances_of_pairs_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(0)
    setting, baseline = rng.random((5, 24)) < 0.9, rng.random((5, 24)) < 0.7
    found = from_paired_images(setting, baseline)
    reference = mean_squares(setting.astype(float) - baseline) / (5 * 24)
    shown = (found.seeds, found.images, found.interaction)
    assert shown == pytest.approx((reference["C(seed)"], reference["C(image)"], reference["Residual"]))
    assert found.error_new_images**2 == pytest.approx(
        max(reference["C(seed)"] + reference["C(image)"] - reference["Residual"], *shown[:2])
    )


def test_variances_of_groups_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(1)
    groups = rng.random((5, 24)), rng.random((3, 24))
    found = from_image_groups(*groups)
    ours, theirs = (mean_squares(values) / values.size for values in groups)
    assert found.seeds == pytest.approx(ours["C(seed)"] + theirs["C(seed)"])
    assert found.interaction == pytest.approx(ours["Residual"] + theirs["Residual"])
