"""Designs in which seeds are added until a verdict: false verdicts, decided settings and seeds, beside fixed designs.

`python -m tools.simulations.stages` prints Markdown tables within a minute or two on one core.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from regbench.study.statistics.intervals import ALPHA
from regbench.study.statistics.stages import Stages

MARGIN = 0.3
STUDIES = 20_000

_SIZES = Stages().sizes
_DIFFERENCES = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)
_AT_ONCE = 4_000
_NULL_PATHS = 4_000_000


class Design(NamedTuple):
    """When a design looks, and how wide its intervals are then, in standard errors."""

    name: str
    sizes: tuple[int, ...]
    widths: list[float]


class Outcome(NamedTuple):
    """Shares of comparisons by verdict, share of families with a false one, mean seeds of a setting."""

    differs: float
    equivalent: float
    undecided: float
    false: float
    seeds: float


def designs(m: int) -> list[Design]:
    """Return the designs that are compared, for families of m comparisons."""
    equal = [1 / len(_SIZES)] * len(_SIZES)
    part = np.array(_SIZES) / _SIZES[-1]
    pocock = np.diff(np.log1p((np.e - 1) * part), prepend=0.0)
    o_brien = np.diff(2 * stats.norm.sf(stats.norm.isf(ALPHA / 2) / np.sqrt(part)), prepend=0.0) / ALPHA
    each = tuple(range(3, _SIZES[-1] + 1))
    return [
        Design("10 seeds, one look", (10,), t_widths((10,), [1.0], m)),
        Design("40 seeds, one look", (40,), t_widths((40,), [1.0], m)),
        Design("**stages, equal shares**", _SIZES, t_widths(_SIZES, equal, m)),
        Design("stages, half of alpha at the first", _SIZES, t_widths(_SIZES, [0.5, 0.25, 0.125, 0.125], m)),
        Design("stages, Pocock's spending", _SIZES, t_widths(_SIZES, pocock, m)),
        Design("stages, O'Brien and Fleming's spending", _SIZES, t_widths(_SIZES, o_brien, m)),
        Design("stages, equal shares, exact", _SIZES, exact_widths(_SIZES, equal, m)),
        Design("stages, anytime-valid", _SIZES, anytime_widths(_SIZES, m)),
        Design("a look at each seed, anytime-valid", each, anytime_widths(each, m)),
        Design("a look at each seed, nothing adjusted for it", each, t_widths(each, [1.0] * len(each), m)),
    ]


def t_widths(sizes: Sequence[int], shares: Sequence[float] | np.ndarray, m: int) -> list[float]:
    """Half-widths of t intervals at these shares of alpha / m, in standard errors; Bonferroni's shares add to 1."""
    return [float(special.stdtrit(n - 1, 1 - ALPHA * share / m / 2)) for n, share in zip(sizes, shares, strict=True)]


def exact_widths(sizes: Sequence[int], shares: Sequence[float] | np.ndarray, m: int) -> list[float]:
    """Boundaries that the t statistics cross first at each stage with just these shares of alpha / m.

    By simulation: the statistics' joint distribution without a true difference depends on nothing unknown. Source of
    the spending: K. K. G. Lan and D. L. DeMets, Biometrika 70 (1983) 659-663.
    """
    rng = np.random.default_rng(1)
    inside = np.ones(_NULL_PATHS, bool)
    mean, squares, before, widths = np.zeros(_NULL_PATHS), np.zeros(_NULL_PATHS), 0, []
    for n, share in zip(sizes, shares, strict=True):
        new = n - before
        step = rng.normal(scale=new**-0.5, size=_NULL_PATHS) - mean
        squares += rng.chisquare(new - 1, _NULL_PATHS) + step**2 * before * new / n
        mean += step * new / n
        t = np.abs(mean) / np.sqrt(squares / (n - 1) / n)
        crossing = max(round(ALPHA * float(share) / m * _NULL_PATHS), 1)
        widths.append(float(-np.partition(-t[inside], crossing)[crossing]))
        inside &= t < widths[-1]
        before = n
    return widths


def anytime_widths(sizes: Sequence[int], m: int, variance: float = 3.0) -> list[float]:
    """Half-widths of a t interval that holds at all numbers of seeds together, at level alpha / m.

    Where the e-process of a Gaussian mixture over the standardized effect (mean 0, this variance) is below m / alpha.
    Sources: T. L. Lai, Ann. Statist. 4 (1976) 265-280; H. Wang and A. Ramdas, arXiv:2310.03722.
    """
    widths = []
    for n in sizes:
        spread = 1 + n * variance
        ratio = (m / ALPHA * spread**0.5) ** (2 / n)
        widths.append(((n - 1) * (ratio - 1) / (1 - ratio / spread)) ** 0.5 if ratio < spread else np.inf)
    return widths


def moments(m: int, kind: str, studies: int = STUDIES) -> dict[int, np.ndarray]:
    """Draw studies without a true difference: means and standard errors, `(2, studies, m)`, by number of seeds.

    The standard deviation of the paired differences is 1; settings share a baseline, so their differences correlate by
    a half. Values are normal, or t with 3 degrees of freedom (`t3`).
    """
    rng = np.random.default_rng(0)
    numbers = range(2, _SIZES[-1] + 1)
    found: dict[int, list[np.ndarray]] = {n: [] for n in numbers}
    for _ in range(0, studies, _AT_ONCE):
        shape = (_AT_ONCE, _SIZES[-1], m + 1)
        values = rng.normal(size=shape) if kind == "normal" else rng.standard_t(3, size=shape) / 3**0.5
        differences = (values[:, :, 1:] - values[:, :, :1]) / 2**0.5
        sums, squares = np.cumsum(differences, axis=1), np.cumsum(differences**2, axis=1)
        for n in numbers:
            mean = sums[:, n - 1] / n
            found[n].append(np.stack([mean, np.sqrt((squares[:, n - 1] / n - mean**2) / (n - 1))]))
    return {n: np.concatenate(parts, axis=1) for n, parts in found.items()}


def outcome(design: Design, drawn: dict[int, np.ndarray], difference: float, deviation: float) -> Outcome:
    """Judge simulated studies in which all settings have this true difference; `deviation` is the pairs'."""
    shape = next(iter(drawn.values())).shape[1:]
    above, below, equivalent = (np.zeros(shape, bool) for _ in range(3))
    undecided, seeds = np.ones(shape, bool), np.zeros(shape)
    for n, width in zip(design.sizes, design.widths, strict=True):
        mean, error = drawn[n]
        low, high = (difference + deviation * (mean + sign * width * error) for sign in (-1, 1))
        seeds[undecided] = n
        above |= undecided & (low > 0)
        below |= undecided & (high < 0)
        equivalent |= undecided & (low > -MARGIN) & (high < MARGIN) & (low <= 0) & (high >= 0)
        undecided &= ~(above | below | equivalent)
    false = below | (above & (difference == 0)) | (equivalent & (difference >= MARGIN))
    shares = [float(each.mean()) for each in (above | below, equivalent, undecided, false.any(axis=1), seeds)]
    return Outcome(*shares)


def table(deviations: Sequence[float] = (0.3,), settings: Sequence[int] = (3, 9)) -> str:
    """Return the tables as Markdown, one for each number of settings and standard deviation of the pairs in points."""
    lines = [
        f"{STUDIES:,} simulated families a row, margin {MARGIN:g} points. *False*: families with a false verdict, %,",
        "at the worst of the true differences. By true difference in points: settings found to differ, % / equivalent,",
        "% / mean seeds of a setting.",
    ]
    for m in settings:
        drawn = {kind: moments(m, kind) for kind in ("normal", "t3")}
        for deviation in deviations:
            lines += ["", f"{m} settings, standard deviation of the paired differences {deviation:g} points:", ""]
            lines += _table(m, deviation, drawn)
    return "\n".join(lines)


def _table(m: int, deviation: float, drawn: dict[str, dict[int, np.ndarray]]) -> list[str]:
    """Rows of Markdown, a design each."""
    heads = [f"{difference:g}" for difference in _DIFFERENCES]
    lines = ["| design | false, % | false, t3, % | " + " | ".join(heads) + " |"]
    lines.append("|---|" + "---:|" * (2 + len(heads)))
    for design in designs(m):
        worst, cells = {}, []
        for kind, values in drawn.items():
            found = [outcome(design, values, difference, deviation) for difference in _DIFFERENCES]
            worst[kind] = f"{100 * max(each.false for each in found):.1f}"
            if kind == "normal":
                cells = [f"{100 * x.differs:.0f} / {100 * x.equivalent:.0f} / {x.seeds:.1f}" for x in found]
        lines.append(f"| {design.name} | {worst['normal']} | {worst['t3']} | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    print(table((0.15, 0.3)))
