"""False verdicts of tuned studies in which all settings are the same: `python -m tools.simulations.tuned PAGE`.

Each setting is searched by the protocol's own rules: trials at uniform values, a quality that falls with the square of
the distance from the best value, noise on every validation score, finalists, a choice. The choices are compared on
confirming seeds in pairs, by the t interval of the seeds alone, and by that with the search's own uncertainty.
"""

import sys
from itertools import product
from pathlib import Path

import numpy as np
from scipy import special

from regbench.study.expected_best import choice_sd
from regbench.study.statistics.intervals import ALPHA
from tools.pages import fill_file

STUDIES = 1_000
TRIALS, FINALISTS, FINALIST_SEEDS, SEEDS, OTHERS = 30, 3, 3, 10, 2

# In points of accuracy: what a decade away from the best value costs, the noise of a validation score, and a run's
# deviation over seeds beyond what it shares with the baseline's.
COSTS, NOISES, RUNS = (0.5, 2.0, 5.0), (0.1, 0.2, 0.4), (0.1, 0.2, 0.4)


def table() -> str:
    """Return the share of studies with a false verdict, in percent, by cost, noise and deviation."""
    lines = ["| a decade costs | noise of a score | a run's deviation | seeds alone | with the search's |"]
    lines.append("|---:|---:|---:|---:|---:|")
    for number, case in enumerate(product(COSTS, NOISES, RUNS)):
        alone, whole = false_verdicts(*case, STUDIES, np.random.default_rng(number))
        lines.append(f"| {' | '.join(f'{each:g}' for each in case)} | {100 * alone:.1f} | {100 * whole:.1f} |")
    return "\n".join(lines)


def false_verdicts(
    cost: float, noise: float, run: float, studies: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the share of null studies with a false verdict, by the seeds alone and with the search's uncertainty."""
    critical = float(special.stdtrit(SEEDS - 1, 1 - ALPHA / OTHERS / 2))
    found = np.zeros(2)
    for _ in range(studies):
        qualities, deviations = zip(*(tuned(cost, noise, rng) for _ in range(1 + OTHERS)), strict=True)
        runs = np.array(qualities)[:, None] + rng.normal(0, run, (1 + OTHERS, SEEDS))
        differences = runs[1:] - runs[0]
        by_seeds = differences.var(axis=1, ddof=1) / SEEDS
        by_search = np.array(deviations[1:]) ** 2 + deviations[0] ** 2
        for place, variance in enumerate((by_seeds, by_seeds + by_search)):
            found[place] += bool(np.any(np.abs(differences.mean(axis=1)) > critical * np.sqrt(variance)))
    alone, whole = found / studies
    return float(alone), float(whole)


def tuned(cost: float, noise: float, rng: np.random.Generator) -> tuple[float, float]:
    """Search one setting; return the chosen value's quality, and how much the best trial's score varies by search."""
    qualities = -cost * rng.uniform(-1, 1, TRIALS) ** 2
    scores = qualities + rng.normal(0, noise, TRIALS)
    finalists = np.argsort(-scores)[:FINALISTS]
    means = qualities[finalists] + rng.normal(0, noise, (FINALIST_SEEDS, FINALISTS)).mean(axis=0)
    chosen = finalists[int(means.argmax())]
    return float(qualities[chosen]), choice_sd(scores, scores)


if __name__ == "__main__":
    fill_file(Path(sys.argv[1]), {"null_studies": table()})
