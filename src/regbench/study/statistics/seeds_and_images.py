"""How sure a difference is if not only the seeds but also the test images could have been others, on plain arrays.

A value of the setting minus one of the baseline, on the same image, is taken for a sum of independent effects of two
crossed random factors and their interaction:

    d[s, i] = mean + seed[s] + image[i] + rest[s, i],

with variances a, b and e over n seeds and N images. What a mean over all of them owes to chance is

    a/n + e/(nN)          on this test set, where seeds alone are drawn anew, and
    a/n + b/N + e/(nN)    where images are drawn anew, too.

The two-way analysis of variance has an unbiased estimate of each: V_seeds = var(row means)/n of the first, and
V_seeds + V_images - V_interaction of the second, with V_images = var(column means)/N and V_interaction = MS_rest/(nN)
(Owen 2007 has the moments; Gallas 2006, Obuchowski and Rockette 1995 and Hillis 2007 the same design with readers for
seeds and cases for images). A sum below V_seeds or V_images means a negative estimate of b or a, and is raised to it.

The interval's half-width h has each part's own t quantile, h² = t²(n - 1) V_seeds + t²(f) (V - V_seeds), so it is never
narrower than the one on this test set. It covers at least as often as it claims, whatever the ratio of the parts: the
distribution function of a squared normal variable is concave, so at a weighted mean it is no less than the weighted
mean of its values, and each part alone covers exactly (Banerjee 1960). One t quantile for V with Satterthwaite's (1946)
degrees of freedom gives narrower intervals, but with three seeds that matter more than the images it covers 93 to 94 %
in place of 95, and 96 to 97 in place of 98.3. `tools/simulations/new_images.py` compares both.

The degrees of freedom f of the images' part are those at which the variance of normal values would be as uncertain:
2/f = 2/(N - 1) + kurtosis/N (Cramér 1946, 27.4). Where few images tell two settings apart, f is about their number. The
worst case that was simulated, ten seeds and 360 images of which some ten differ, nearly all in one direction, covers
94.4 %.

Assumed is that images are drawn one by one. Where several come from one writer or one source, as in MNIST and digits,
images of others would move a difference further.

Sources: A. B. Owen, Ann. Appl. Stat. 1 (2007) 386-411, arXiv:0712.1111; B. D. Gallas, Acad. Radiol. 13 (2006)
353-362; N. A. Obuchowski and H. E. Rockette, Commun. Stat. Simul. Comput. 24 (1995) 285-308; S. L. Hillis, Stat. Med.
26 (2007) 596-619; S. K. Banerjee, Sankhya 22 (1960) 357-358; F. E. Satterthwaite, Biometrics Bull. 2 (1946) 110-114;
H. Cramér, Mathematical Methods of Statistics (1946).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from regbench.study.statistics.intervals import interval


@dataclass(frozen=True)
class SeedsAndImages:
    """A difference from the baseline, with what of its variance comes from seeds and what from test images.

    Attributes:
        mean: Mean difference, setting minus baseline, over seeds and images.
        seeds: Variance of the mean by the seeds on this test set; NaN with fewer than two seeds.
        images: Variance of the mean by the images, for these seeds; NaN with fewer than two images.
        interaction: The part that `seeds` and `images` both hold.
        df: Degrees of freedom of `seeds`.
        df_images: Degrees of freedom of `images`, fewer than N - 1 where few images make the difference.
        size: Images in the test set, N.
    """

    mean: float
    seeds: float
    images: float
    interaction: float
    df: float
    df_images: float
    size: int

    @property
    def error(self) -> float:
        """Standard error on this test set: seeds alone are drawn anew."""
        return math.sqrt(self.seeds)

    @property
    def error_new_images(self) -> float:
        """Standard error on new images: seeds and images are drawn anew."""
        return math.sqrt(max(self.seeds + self.images - self.interaction, self.seeds, self.images))

    @property
    def is_known(self) -> bool:
        """Whether both seeds and images show any spread; without it there is no interval."""
        return self.seeds > 0 and self.images > 0

    def on_this_test_set(self, level: float) -> tuple[float, float]:
        """The interval for new seeds and these images that misses with probability `level`; NaN where unknown."""
        return interval(self.mean, self.error, self.df, level) if self.seeds > 0 else (math.nan, math.nan)

    def on_new_images(self, level: float) -> tuple[float, float]:
        """The interval for new seeds and new images that misses with probability `level`; NaN where unknown.

        It holds the one on this test set.
        """
        if not self.is_known:
            return math.nan, math.nan
        by_seeds = float(special.stdtrit(self.df, 1 - level / 2)) * self.error
        left = max(self.error_new_images**2 - self.seeds, 0.0)
        by_images = float(special.stdtrit(self.df_images, 1 - level / 2)) * math.sqrt(left)
        half = math.hypot(by_seeds, by_images)
        return self.mean - half, self.mean + half


def from_paired_images(setting: np.ndarray, baseline: np.ndarray) -> SeedsAndImages:
    """Compare values of the same seeds on the same images.

    Args:
        setting: A value of each image by each seed's network, `(n, N)`: whether it is right, or its loss.
        baseline: The same of the baseline, `(n, N)`, seeds and images in the same order.

    Raises:
        ValueError: The shapes differ.
    """
    if setting.shape != baseline.shape:
        raise ValueError(f"paired values by seed and image: expected one shape, got {setting.shape}, {baseline.shape}")
    differences = np.subtract(setting, baseline, dtype=float)
    part = _seeds_part(differences)
    return _combined([part], differences.mean(axis=0))


def from_image_groups(setting: np.ndarray, baseline: np.ndarray) -> SeedsAndImages:
    """Compare values of different seeds on the same images; Welch's degrees of freedom for the seeds.

    Args:
        setting: A value of each image by each seed's network, `(n, N)`.
        baseline: The same of the baseline, `(m, N)`, images in the same order.

    Raises:
        ValueError: The numbers of images differ.
    """
    if setting.shape[1] != baseline.shape[1]:
        raise ValueError(f"values by seed and image: expected the same images, got {setting.shape}, {baseline.shape}")
    parts = [_seeds_part(np.asarray(values, dtype=float)) for values in (setting, baseline)]
    return _combined(parts, setting.mean(axis=0, dtype=float) - baseline.mean(axis=0, dtype=float))


@dataclass(frozen=True)
class _SeedsPart:
    """Of one matrix: variances of its mean by seeds and by the interaction, and the degrees of freedom of the seeds."""

    seeds: float
    interaction: float
    df: float


def _seeds_part(values: np.ndarray) -> _SeedsPart:
    n, size = values.shape
    if n < 2 or size < 2:
        return _SeedsPart(math.nan, math.nan, math.nan)
    rows, columns, mean = values.mean(axis=1), values.mean(axis=0), float(values.mean())
    spread = float(rows.std(ddof=1))
    if spread <= 1e-12 + 1e-9 * abs(mean):
        spread = 0.0
    rest = float(np.square(values - rows[:, None] - columns + mean).sum()) / ((n - 1) * (size - 1))
    return _SeedsPart(spread**2 / n, rest / (n * size), float(n - 1))


def _combined(parts: list[_SeedsPart], by_image: np.ndarray) -> SeedsAndImages:
    """Add up the groups' parts and the part of the images, whose mean differences are `by_image`, `(N,)`."""
    size = len(by_image)
    seeds = sum(part.seeds for part in parts)
    scale = sum(part.seeds**2 / part.df for part in parts)
    df = seeds**2 / scale if scale else math.nan
    variance = float(by_image.var(ddof=1)) if size > 1 else math.nan
    return SeedsAndImages(
        mean=float(by_image.mean()) if size else math.nan,
        seeds=seeds,
        images=variance / size if size else math.nan,
        interaction=sum(part.interaction for part in parts),
        df=df,
        df_images=_df_of_variance(by_image),
        size=size,
    )


def _df_of_variance(values: np.ndarray) -> float:
    """Degrees of freedom at which a normal sample's variance would be as uncertain as that of these values."""
    size = len(values)
    squares = np.square(values - values.mean()) if size > 1 else np.zeros(0)
    if not squares.any():
        return math.nan
    kurtosis = float(np.square(squares).mean() / squares.mean() ** 2) - 3
    return min(max(2 / (2 / (size - 1) + kurtosis / size), 1.0), size - 1.0)
