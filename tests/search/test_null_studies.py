"""The whole protocol where all settings are the same: how often a difference is found that is not there."""

import math

import numpy as np

from regbench.search.choosing import choose, find_finalists
from regbench.storage.tuning import FinalistRecord, TrialRecord
from regbench.study.statistics import BETTER, WORSE, judge
from regbench.study.statistics.evidence import from_pairs

STUDIES = 600
TRIALS, FINALISTS, FINALIST_SEEDS, SEEDS, OTHERS = 30, 3, 3, 10, 2

# Standard deviations in accuracy, about those of LeNet-5 on a few thousand images of Fashion-MNIST: of one trial's
# validation score on top of what its seed does to all, of a seed shared by all settings, and of a run on top of that.
VALIDATION, SHARED, RUN = 0.004, 0.002, 0.002


def quality(log_rate: float) -> float:
    """What a rate is worth on average: a decade away from the best one costs two points."""
    return 0.88 - 0.02 * log_rate**2


def tuned_rate(rng: np.random.Generator) -> float:
    """Search one setting's rate within two decades, and choose by the protocol's own rules."""
    rates = rng.uniform(-1, 1, TRIALS)
    scores = [quality(rate) + rng.normal(0, VALIDATION) for rate in rates]
    trials = [
        TrialRecord(number=number, values={"lr": rate}, state="finished", score=score, epochs=1, folder="")
        for number, (rate, score) in enumerate(zip(rates.tolist(), scores, strict=True))
    ]
    finalists = [
        FinalistRecord(
            trial=each.number,
            scores=[quality(rates[each.number]) + rng.normal(0, VALIDATION) for _ in range(FINALIST_SEEDS)],
        )
        for each in find_finalists(trials, FINALISTS, "val/acc")
    ]
    chosen = choose(finalists, "val/acc")
    assert chosen is not None
    return float(rates[chosen])


def test_false_verdicts_stay_rare_over_the_whole_protocol() -> None:
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(STUDIES):
        rates = [tuned_rate(rng) for _ in range(1 + OTHERS)]
        shared = rng.normal(0, SHARED, SEEDS)
        baseline, *others = (quality(rate) + shared + rng.normal(0, RUN, SEEDS) for rate in rates)
        family = {str(number): from_pairs(values, baseline) for number, values in enumerate(others)}
        found += any(each.verdict in {BETTER, WORSE} for each in judge(family, "none"))
    share = found / STUDIES
    print(f"{found} of {STUDIES} null studies have a false verdict: {share:.1%} ± {math.sqrt(0.05 * 0.95 / STUDIES):.1%}")
    assert share <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / STUDIES)
