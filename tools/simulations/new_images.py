"""How often the interval on new images covers the true difference: `python -m tools.simulations.new_images`.

An image's difficulty is normal on the logit scale and common to both settings; each setting adds its own normal effect
of the image and of the seed, and a seed's network answers an image rightly by a coin of the resulting probability. So
the images, the seeds and their interaction all have a part in a difference, as in real studies. The true difference is
that of the mean probabilities over all images and seeds.

With the first scene's numbers, one pair of networks has a standard error of 0.25 points by 10,000 images, and means
over five seeds one of 0.1 by the seeds, as LeNet-5 on Fashion-MNIST has.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from regbench.study.statistics.intervals import interval
from regbench.study.statistics.seeds_and_images import SeedsAndImages, from_image_groups, from_paired_images

LEVELS = {"95 %": 0.05, "98.3 %": 0.05 / 3}
SEEDS = (3, 5, 10)
# Test images, and the studies that are drawn: as many as leave a standard error of 0.2 to 0.5 % of a coverage of 95.
STUDIES = {360: 8_000, 2_000: 4_000, 10_000: 2_000}


@dataclass(frozen=True)
class Scene:
    """What is compared.

    Attributes:
        name: What it stands for.
        accuracies: True accuracies of baseline and setting, fractions.
        seed_sd: Standard deviation of a seed's own effect on the logit scale, for each setting alone.
        sizes: Numbers of test images.
        paired: Whether a setting's runs are compared in pairs; as groups else.
        image_sd: Standard deviation of an image's difficulty on the logit scale, common to both settings.
        own_image_sd: The same of a setting's own effect of an image.
    """

    name: str
    accuracies: tuple[float, float]
    seed_sd: float
    sizes: tuple[int, ...]
    paired: bool = True
    image_sd: float = 6.0
    own_image_sd: float = 1.5

    @property
    def spread(self) -> float:
        """Standard deviation of the logits of a setting's right answers over images and seeds."""
        return math.sqrt(self.image_sd**2 + self.own_image_sd**2 + self.seed_sd**2)


SCENES = (
    Scene("89.4 and 90.5 %, no effect of a seed's own", (0.8935, 0.9048), 0.0, (360, 2_000, 10_000)),
    Scene("the same, seeds move the difference by 0.6 points", (0.8935, 0.9048), 0.15, (2_000, 10_000)),
    Scene("the same, by 1.6 points", (0.8935, 0.9048), 0.4, (2_000, 10_000)),
    Scene("97 and 99 %, seeds move it by 0.2 points", (0.97, 0.99), 0.2, (360, 2_000), image_sd=8.0, own_image_sd=1.0),
    Scene("89.4 and 90.5 %, 0.6 points, unshared seeds", (0.8935, 0.9048), 0.15, (2_000,), paired=False),
)


def studies(scene: Scene, seeds: int, size: int, count: int, rng: np.random.Generator) -> Iterator[SeedsAndImages]:
    """Draw studies with images and seeds of their own, and give the analysis of each."""
    centres = [logit_centre(accuracy, scene.spread) for accuracy in scene.accuracies]
    for _ in range(count):
        difficulty = scene.image_sd * rng.standard_normal(size, dtype=np.float32)
        baseline, setting = (_answers(scene, centre, difficulty, seeds, rng) for centre in centres)
        yield (from_paired_images if scene.paired else from_image_groups)(setting, baseline)


def logit_centre(accuracy: float, spread: float) -> float:
    """Return the mean logit at which the mean probability is the accuracy; logits are normal with this deviation."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)
    weights = weights / weights.sum()
    return float(optimize.brentq(lambda mean: weights @ special.expit(mean + spread * nodes) - accuracy, -100, 100))


def satterthwaite_interval(found: SeedsAndImages, level: float) -> tuple[float, float]:
    """The interval with one t quantile for the whole variance, which misses more often than it says.

    Source: F. E. Satterthwaite, Biometrics Bull. 2 (1946), for `found.seeds + found.images - found.interaction`.
    """
    parts = ((found.seeds, found.df), (found.images, found.size - 1), (found.interaction, found.df * (found.size - 1)))
    error = found.error_new_images
    df = error**4 / sum(variance**2 / freedom for variance, freedom in parts)
    return interval(found.mean, error, max(df, 1.0), level)


def table() -> str:
    """Return all scenes as a Markdown table.

    Standard deviations and half-widths (medians, at 95 %) in points, coverages of the true difference in per cent of
    the studies that have an interval.
    """
    head = ["true accuracies, seeds", "images", "n", "sd of the mean", "half-width, seeds", "seeds and images"]
    head += [f"{method}, {level}" for method in METHODS for level in LEVELS]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for number, scene in enumerate(SCENES):
        for size in scene.sizes:
            for seeds in SEEDS:
                rng = np.random.default_rng([number, size, seeds])
                found = list(studies(scene, seeds, size, STUDIES[size], rng))
                cells = [scene.name, f"{size:,}", str(seeds), *_numbers(scene, found)]
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


METHODS: dict[str, Callable[[SeedsAndImages, float], tuple[float, float]]] = {
    "seeds alone": SeedsAndImages.on_this_test_set,
    "Satterthwaite": satterthwaite_interval,
    "seeds and images": SeedsAndImages.on_new_images,
}


def _answers(scene: Scene, centre: float, difficulty: np.ndarray, seeds: int, rng: np.random.Generator) -> np.ndarray:
    """Whether each of a setting's networks is right, `(seeds, images)`."""
    size = len(difficulty)
    logits = centre + difficulty + scene.own_image_sd * rng.standard_normal(size, dtype=np.float32)
    by_seed = scene.seed_sd * rng.standard_normal((seeds, 1), dtype=np.float32)
    right: np.ndarray = rng.random((seeds, size), dtype=np.float32) < special.expit(logits + by_seed)
    return right


def _numbers(scene: Scene, found: list[SeedsAndImages]) -> list[str]:
    truth = scene.accuracies[1] - scene.accuracies[0]
    known = [each for each in found if each.is_known]
    half_widths: dict[str, float] = {}
    covered = []
    for name, method in METHODS.items():
        for level in LEVELS.values():
            bounds = np.array([method(each, level) for each in known])
            covered.append(np.mean((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])))
            half_widths.setdefault(name, float(np.median(bounds[:, 1] - bounds[:, 0])) / 2)
    spread = float(np.std([each.mean for each in found]))
    shown = [spread, half_widths["seeds alone"], half_widths["seeds and images"]]
    return [f"{100 * value:.2f}" for value in shown] + [f"{100 * share:.1f}" for share in covered]


if __name__ == "__main__":
    print(table())
