import numpy as np
import pytest
from scipy import stats

from regbench.study.statistics.checks.robust import trimmed_difference, trimmed_mean
from regbench.study.statistics.checks.skew import skew_limit, skewness


def test_the_trimmed_mean_agrees_with_a_hand_computed_case() -> None:
    # Kept: 2 3 4. Winsorized: 2 2 3 4 4, sum of squares 4. Error: sqrt(4 / (3 · 2)), 2 degrees of freedom.
    found = trimmed_mean(np.array([3.0, 1.0, 100.0, 2.0, 4.0]))
    assert (found.mean, found.error, found.df) == (3.0, pytest.approx((4 / 6) ** 0.5), 2)
    low, high = found.interval(0.1)
    assert high - 3 == pytest.approx(3 - low) == pytest.approx(stats.t.isf(0.05, 2) * (4 / 6) ** 0.5)


@pytest.mark.parametrize("n", [5, 9, 10, 23])
def test_the_trimmed_mean_agrees_with_scipys_mean_and_winsorizing(n: int) -> None:
    values = np.random.default_rng(n).standard_t(3, size=n)
    found = trimmed_mean(values)
    cut = int(0.2 * n)
    kept = n - 2 * cut
    winsorized = np.asarray(stats.mstats.winsorize(values, (0.2, 0.2)))
    assert found.mean == pytest.approx(stats.trim_mean(values, 0.2))
    assert found.error == pytest.approx((winsorized.var(ddof=1) * (n - 1) / (kept * (kept - 1))) ** 0.5)


def test_two_groups_agree_with_scipys_yuen_test() -> None:
    ours, theirs = np.random.default_rng(0).normal(size=10), np.random.default_rng(1).normal(0.5, 3, size=7)
    found = trimmed_difference(ours, theirs)
    expected = stats.ttest_ind(ours, theirs, equal_var=False, trim=0.2)
    assert found.mean / found.error == pytest.approx(expected.statistic)
    assert 2 * stats.t.sf(abs(found.mean / found.error), found.df) == pytest.approx(expected.pvalue)


def test_many_studies_at_once_give_what_each_gives_alone() -> None:
    values = np.random.default_rng(0).normal(size=(4, 6))
    together = trimmed_mean(values).interval(0.05)
    assert np.transpose(together) == pytest.approx(np.array([trimmed_mean(each).interval(0.05) for each in values]))


def test_fewer_than_five_values_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 5 values or more, got 4"):
        trimmed_mean(np.zeros(4))


def test_skewness_agrees_with_scipy_and_is_0_without_spread() -> None:
    values = np.random.default_rng(0).exponential(size=(3, 8))
    assert skewness(values) == pytest.approx(stats.skew(values, axis=-1))
    assert skewness(np.full(5, 0.9)) == 0


def test_the_skew_limit_agrees_with_dagostinos_test_and_grows_with_the_family() -> None:
    values = np.random.default_rng(1).normal(size=(4000, 20))
    flagged = np.abs(skewness(values)) > skew_limit(20, 1)
    assert flagged.mean() == pytest.approx((stats.skewtest(values, axis=-1).pvalue < 0.05).mean(), abs=0.01)
    assert skew_limit(20, 1) < skew_limit(20, 3) < skew_limit(20, 18)
