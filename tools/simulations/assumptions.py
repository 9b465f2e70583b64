"""How far intervals, flags and the advice on seeds can be trusted where the t interval's assumptions fail.

`python -m tools.simulations.assumptions` prints Markdown tables; it takes one core about two minutes.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from regbench.study.statistics.checks.outliers import LIMIT, robust_scores
from regbench.study.statistics.checks.robust import FEWEST, trimmed_mean
from regbench.study.statistics.checks.skew import skew_limit
from regbench.study.statistics.evidence import Evidence, from_groups
from regbench.study.statistics.intervals import ALPHA
from regbench.study.statistics.power import seeds_range

STUDIES = 10_000
COLLAPSE = 8.0

Draw = Callable[[np.random.Generator, tuple[int, int, int]], np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """Shares of studies, from 0 to 1, but for `found`.

    Attributes:
        held: Single t intervals that hold the true difference of 0.
        false: Studies in which a t interval excludes it.
        unwarned: Studies in which one does and its setting has no flag.
        outlying: Studies with an outlying run.
        skewed: Studies with a skewed setting.
        robust_held: As `held`, for the trimmed means' intervals; NaN below five seeds.
        robust_false: As `false`, for them.
    """

    held: float
    false: float
    unwarned: float
    outlying: float
    skewed: float
    robust_held: float
    robust_false: float


def main() -> None:
    """Print all tables."""
    for table in (coverage_table, detection_table, seeds_table):
        print("\n".join(table()), end="\n\n")


def coverage_table(studies: int = STUDIES) -> Iterator[str]:
    """Write the table of coverage, false verdicts and flags by what the runs' values are like."""
    yield _row("values", "m", "n", "t: an interval holds", "t: false verdicts", "of them without a flag",
               "outlying run", "skew", "trimmed: an interval holds", "trimmed: false verdicts")  # fmt: skip
    yield _row(":--", *["--:"] * 9)
    for name, draw in SCENARIOS.items():
        for m in (3, 6, 10):
            for n in (5, 10):
                found = simulate(draw, m, n, studies)
                yield _row(name, m, n, *(_percent(value) for value in vars(found).values()))


def detection_table(studies: int = STUDIES) -> Iterator[str]:
    """Write the table of how often the outlier rule flags a clean study, and finds one collapsed run."""
    yield _row("m", "n", "clean studies with a flag", "one run 8 sd off found", "one run 16 sd off found")
    yield _row(*["--:"] * 5)
    for m in (1, 3, 10):
        for n in (3, 5, 10, 20):
            rng = np.random.default_rng([m, n])
            values = rng.normal(size=(studies, m + 1, n))
            shares = [(_scores(values) > LIMIT).any(axis=(1, 2)).mean()]
            for _ in range(2):
                values[:, 0, 0] -= COLLAPSE
                shares.append((_scores(values)[:, 0, 0] > LIMIT).mean())
            yield _row(m, n, *map(_percent, shares))


def seeds_table(studies: int = 2000) -> Iterator[str]:
    """Write the table of how the advice on seeds scatters, and how often its range holds the true number."""
    yield _row("runs", "n", "true need", "point advice, 10 to 90 %", "range, median", "range holds it")
    yield _row(":--", *["--:"] * 5)
    spread, margin, m = 0.3, 0.3, 3
    for paired in (True, False):
        for n in (5, 10, 20):
            rng = np.random.default_rng(n)
            truth = _advice(_known(spread, n, paired), m, margin)[1]
            draws = [_drawn(rng, spread, n, paired) for _ in range(studies if paired else studies // 5)]
            low, point, high = np.array([_advice(each, m, margin) for each in draws]).T
            scatter = "{:.0f} to {:.0f}".format(*np.quantile(point, [0.1, 0.9]))
            middle = f"{np.median(low):.0f} to {np.median(high):.0f}"
            holds = ((low <= truth) & (truth <= high)).mean()
            yield _row("pairs" if paired else "unpaired", n, f"{truth:.0f}", scatter, middle, _percent(holds))


def simulate(draw: Draw, m: int, n: int, studies: int) -> Outcome:
    """Run studies of `m` settings that share a baseline and do not differ from it."""
    rng = np.random.default_rng([m, n])
    values = draw(rng, (studies, m + 1, n))
    differences = values[:, 1:] - values[:, :1]
    low, high = _t_intervals(differences, ALPHA / m)
    misses = (low > 0) | (high < 0)
    unusual = _unusual(values, differences)
    skewed = _skewed(differences, unusual, m)
    robust = np.full(misses.shape, np.nan)
    if n >= FEWEST:
        low, high = trimmed_mean(differences).interval(ALPHA / m)
        robust = ((low > 0) | (high < 0)).astype(float)
    return Outcome(
        held=float(1 - misses.mean()),
        false=float(misses.any(axis=1).mean()),
        unwarned=float((misses & ~unusual.any(axis=2) & ~skewed).any(axis=1).mean()),
        outlying=float(unusual.any(axis=(1, 2)).mean()),
        skewed=float(skewed.any(axis=1).mean()),
        robust_held=float(1 - robust.mean()),
        robust_false=float(robust.max(axis=1).mean()),
    )


def _normal(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    return rng.normal(size=shape)


def _heavy_tails(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    return rng.standard_t(3, size=shape)


def _skew(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    values = rng.exponential(size=shape) - 1
    values[:, 0] = rng.normal(size=(shape[0], shape[2]))
    return values


def _skew_steady_baseline(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    values = _skew(rng, shape)
    values[:, 0] /= 10
    return values


def _unequal(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    spread = np.array([1.0, *np.resize([1.0, 3.0, 10.0], shape[1] - 1)])
    values: np.ndarray = rng.normal(size=shape) * spread[:, None]
    return values


def _collapses(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    return rng.normal(size=shape) - COLLAPSE * (rng.random(shape) < 0.1)


def _setting_collapses(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    collapsed = rng.random(shape) < 0.1
    collapsed[:, 0] = False
    return rng.normal(size=shape) - COLLAPSE * collapsed


def _setting_collapses_centred(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    values = _setting_collapses(rng, shape)
    values[:, 1:] += 0.1 * COLLAPSE
    return values


SCENARIOS: dict[str, Draw] = {
    "normal": _normal,
    "t with 3 degrees of freedom": _heavy_tails,
    "settings exponential, baseline normal": _skew,
    "the same, baseline ten times steadier": _skew_steady_baseline,
    "standard deviations 1 : 3 : 10": _unequal,
    "one run in ten collapses by 8 sd": _collapses,
    "the same, the baseline's never": _setting_collapses,
    "the same, equal to the baseline in the mean over collapses": _setting_collapses_centred,
}


def _t_intervals(differences: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    n = differences.shape[-1]
    mean = differences.mean(axis=-1)
    half = special.stdtrit(n - 1, 1 - level / 2) * differences.std(axis=-1, ddof=1) / math.sqrt(n)
    return mean - half, mean + half


def _scores(values: np.ndarray) -> np.ndarray:
    """Scores of complete studies `(studies, settings, n)`."""
    result: np.ndarray = np.stack(robust_scores(list(np.moveaxis(values, 1, 0))), axis=1)
    return result


def _unusual(values: np.ndarray, differences: np.ndarray) -> np.ndarray:
    """Whether a seed's pair has an outlying run and an unusual difference, `(studies, m, n)`."""
    outlying = _scores(values) > LIMIT
    away = np.abs(values - np.median(values, axis=2, keepdims=True))
    apart = np.abs(differences - np.median(differences, axis=2, keepdims=True))
    by_setting = outlying[:, 1:] & (apart >= away[:, 1:] / 2)
    by_baseline = outlying[:, :1] & (apart >= away[:, :1] / 2)
    result: np.ndarray = by_setting | by_baseline
    return result


def _skewed(differences: np.ndarray, unusual: np.ndarray, m: int) -> np.ndarray:
    """Whether the differences without the unusual ones are skewed, `(studies, m)`."""
    kept = (~unusual).astype(float)
    count = kept.sum(axis=-1)
    away = differences - ((differences * kept).sum(axis=-1) / np.maximum(count, 1))[..., None]
    second, third = ((kept * away**power).sum(axis=-1) / np.maximum(count, 1) for power in (2, 3))
    never = float(differences.shape[-1])  # g₁ of k values is below √k
    limits = np.array([skew_limit(k, m) if k >= FEWEST else never for k in range(differences.shape[-1] + 1)])
    result: np.ndarray = np.abs(third) > limits[count.astype(int)] * second**1.5
    return result


def _known(spread: float, n: int, paired: bool) -> Evidence:
    """Evidence whose standard deviations are the true ones."""
    variances = (spread**2, 0.0) if paired else (spread**2, spread**2)
    nan = math.nan
    return Evidence(n, 0.0, 1.0, n - 1 if paired else 2 * n - 2, spread, 0.5, nan, 0.5, paired, variances)


def _drawn(rng: np.random.Generator, spread: float, n: int, paired: bool) -> Evidence:
    values = rng.normal(scale=spread, size=(2, n))
    if not paired:
        return from_groups(*values)
    variance = float(values[0].var(ddof=1))
    return Evidence(n, 0.0, 1.0, n - 1, spread, 0.5, math.nan, 0.5, True, (variance, 0.0))


def _advice(evidence: Evidence, m: int, margin: float) -> Sequence[float]:
    found = seeds_range(evidence, m, margin)
    if found is None:
        raise ValueError("seeds needed: expected evidence with a test")
    return [math.inf if each is None else float(each) for each in (found.low, found.point, found.high)]


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.1f} %"


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
