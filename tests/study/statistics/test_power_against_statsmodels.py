"""The noncentral t computations beside statsmodels' power classes, an independent implementation."""

import math

import numpy as np
import pytest
from statsmodels.stats.power import TTestIndPower, TTestPower

from regbench.study.statistics.evidence import from_groups, from_pairs
from regbench.study.statistics.power import detectable, power_curve, seeds_needed


def standard(n: int) -> np.ndarray:
    values = np.random.default_rng(n).normal(size=n)
    return (values - values.mean()) / values.std(ddof=1)


@pytest.mark.parametrize(("n", "m", "effect"), [(3, 1, 1.0), (5, 3, 1.0), (10, 3, 0.5), (20, 9, 0.3)])
def test_paired_power_agrees(n: int, m: int, effect: float) -> None:
    curve = power_curve(from_pairs(standard(n), np.zeros(n)), m, effect, [5, 10, 40])
    expected = [TTestPower().power(effect, size, 0.05 / m) for size in (5, 10, 40)]
    assert curve["power"].to_numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("n", "m", "effect"), [(5, 1, 1.0), (5, 3, 1.0), (8, 9, 0.5)])
def test_paired_seeds_and_detectable_differences_agree(n: int, m: int, effect: float) -> None:
    evidence = from_pairs(standard(n), np.zeros(n))
    exact = TTestPower().solve_power(effect_size=effect, alpha=0.05 / m, power=0.8)
    assert seeds_needed(evidence, m, effect) == math.ceil(exact)
    shown = TTestPower().solve_power(nobs=n, alpha=0.05 / m, power=0.8)
    assert detectable(evidence, m) == pytest.approx(shown, rel=1e-4)


@pytest.mark.parametrize(("m", "effect"), [(1, 1.0), (3, 0.7)])
def test_unpaired_power_and_seeds_agree_where_variances_are_equal(m: int, effect: float) -> None:
    evidence = from_groups(standard(7), standard(7)[::-1])
    exact = TTestIndPower().solve_power(effect_size=effect, alpha=0.05 / m, power=0.8)
    assert seeds_needed(evidence, m, effect) == math.ceil(exact)
    curve = power_curve(evidence, m, effect, [10, 30])
    expected = [TTestIndPower().power(effect, size, 0.05 / m) for size in (10, 30)]
    assert curve["power"].to_numpy() == pytest.approx(expected, abs=1e-6)
