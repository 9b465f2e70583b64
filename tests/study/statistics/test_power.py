import math

import numpy as np
import pytest
from scipy import stats

from regbench.study.statistics import compare
from regbench.study.statistics.evidence import from_groups, from_pairs
from regbench.study.statistics.power import detectable, seeds_needed
from tests.study.statistics.examples import ACCURACIES, family


@pytest.mark.parametrize(("n", "m"), [(3, 1), (5, 3), (10, 3), (10, 9)])
def test_the_detectable_difference_is_seen_with_80_percent_power(n: int, m: int) -> None:
    evidence = from_pairs(np.random.default_rng(n).normal(size=n), np.zeros(n))
    shift = detectable(evidence, m) / evidence.error
    critical = stats.t.isf(0.05 / m / 2, n - 1)
    assert stats.nct.sf(critical, n - 1, shift) == pytest.approx(0.8, abs=1e-4)


def test_the_detectable_difference_of_a_known_case() -> None:
    # G*Power, two-sided paired t-test, alpha 0.05, power 0.8, 34 pairs: an effect of 0.5 standard deviations is seen.
    values = np.resize([1.0, -1.0], 34)
    evidence = from_pairs(values / values.std(ddof=1), np.zeros(34))
    assert detectable(evidence, 1) == pytest.approx(0.495, abs=0.002)
    assert seeds_needed(evidence, 1, 0.5) == 34


def test_seeds_needed_is_the_first_number_that_is_enough() -> None:
    (difference,) = compare(family({name: ACCURACIES[name] for name in ("none", "weight_decay")}), margin=0.001)
    assert difference.verdict == "undecided"
    assert difference.seeds_needed is not None
    needed = difference.seeds_needed.point
    assert needed is not None

    def power(n: int) -> float:
        return float(stats.nct.sf(stats.t.isf(0.025, n - 1), n - 1, 0.001 / difference.sd * math.sqrt(n)))

    assert power(needed - 1) < 0.8 <= power(needed)
    assert difference.seeds_needed.words in difference.sentence


def test_unpaired_seeds_needed_are_at_least_as_many_as_for_scipys_power() -> None:
    ours, theirs = np.random.default_rng(0).normal(0, [[1.0], [2.0]], size=(2, 6))
    evidence = from_groups(ours, theirs)
    needed = seeds_needed(evidence, 1, 2.0)
    assert needed is not None
    total = sum(evidence.variances)
    df = total**2 * (needed - 1) / sum(variance**2 for variance in evidence.variances)
    assert stats.nct.sf(stats.t.isf(0.025, df), df, 2.0 / math.sqrt(total / needed)) >= 0.8
    assert seeds_needed(evidence, 1, 1e-6) is None
