import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from regbench.study.statistics.evidence import from_groups, from_pairs, sign_flip_p
from tests.study.statistics.examples import ACCURACIES


def test_welch_takes_groups_of_different_sizes() -> None:
    ours, theirs = np.array(ACCURACIES["dropout"]), np.array(ACCURACIES["none"][:4])
    reference = stats.ttest_ind(ours, theirs, equal_var=False)
    evidence = from_groups(ours, theirs)
    assert (evidence.p, evidence.df, evidence.n) == pytest.approx((reference.pvalue, reference.df, 4))
    assert evidence.wins == pytest.approx(stats.mannwhitneyu(ours, theirs).statistic / (6 * 4))


def test_wins_ties_and_losses_are_counted() -> None:
    assert from_pairs(np.array([3, 2, 2, 5]), np.array([1, 2, 4, 4])).outcomes == (2, 1, 1)
    # Each of 3 with each of 2: 1 < 2, 1 < 3, 2 = 2, 2 < 3, 4 > 2, 4 > 3.
    assert from_groups(np.array([1, 2, 4]), np.array([2, 3])).outcomes == (2, 1, 3)
    assert from_groups(np.array([1]), np.array([2, 1])).outcomes == (0, 1, 1)


@pytest.mark.parametrize("size", [2, 5, 9])
def test_sign_flip_p_is_the_exact_one_of_scipy(size: int) -> None:
    differences = np.random.default_rng(size).normal(0.5, 1, size)
    reference = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(differences) == pytest.approx(reference.pvalue)


def test_sign_flip_p_is_exact_for_many_pairs() -> None:
    # All alike: only the two flips of everything reach the observed sum.
    assert sign_flip_p(np.full(30, 0.01)) == pytest.approx(2 / 2**30)
    # One of thirty points the other way: 1 + 30 flips reach the observed sum, on either side.
    assert sign_flip_p(np.array([-0.01, *[0.01] * 29])) == pytest.approx(2 * 31 / 2**30)


def test_sign_flip_p_beyond_forty_pairs_is_drawn() -> None:
    differences = np.random.default_rng(0).normal(0.3, 1, 60)
    assert sign_flip_p(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.01)


def test_the_unpaired_permutation_p_is_the_exact_one_of_scipy() -> None:
    ours, theirs = np.array(ACCURACIES["weight_decay"]), np.array(ACCURACIES["none"][:5])
    reference = stats.permutation_test(
        (ours, theirs), lambda a, b: abs(np.mean(a) - np.mean(b)), n_resamples=np.inf, alternative="greater"
    )
    assert from_groups(ours, theirs).p_permutation == pytest.approx(reference.pvalue)
    many = np.random.default_rng(1).normal([[0.6], [0.0]], size=(2, 12))
    assert from_groups(*many).p_permutation == pytest.approx(stats.ttest_ind(*many).pvalue, abs=0.02)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=10))
def test_turning_the_comparison_around_turns_only_the_sign(differences: list[float]) -> None:
    values, zeros = np.array(differences), np.zeros(len(differences))
    one, other = from_pairs(values, zeros), from_pairs(zeros, values)
    assert one.mean == -other.mean
    assert one.p == pytest.approx(other.p, nan_ok=True)
    assert one.p_permutation == other.p_permutation
    assert one.wins + other.wins == pytest.approx(1)
