from itertools import product

import numpy as np
import pytest

from regbench.study.expected_best import choice_sd, expected_best

SCORES = [0.7, 0.2, 0.9, 0.9, 0.5]


@pytest.mark.parametrize("best", [max, min])
def test_mean_and_deviation_are_those_of_all_draws_with_replacement(best: type[max]) -> None:
    curve = expected_best(SCORES, higher_is_better=best is max)
    assert curve.trials.tolist() == [1, 2, 3, 4, 5]
    for k in range(1, 6):
        draws = np.array([best(draw) for draw in product(SCORES, repeat=k)])
        assert curve.mean[k - 1] == pytest.approx(draws.mean(), abs=1e-12)
        assert curve.sd[k - 1] == pytest.approx(draws.std(), abs=1e-12)


def test_one_trial_may_expect_the_mean_and_the_curve_only_rises() -> None:
    curve = expected_best(SCORES)
    assert curve.mean[0] == pytest.approx(np.mean(SCORES))
    assert np.all(np.diff(curve.mean) > 0)
    assert np.all(np.diff(expected_best(SCORES, higher_is_better=False).mean) < 0)


def test_a_search_of_a_uniform_value_comes_to_the_known_mean_of_the_largest() -> None:
    # The largest of k uniform values has mean k / (k + 1) and variance k / ((k + 1)^2 (k + 2)).
    curve = expected_best((np.arange(2000) + 0.5) / 2000)
    for k in (1, 5, 50):
        assert curve.mean[k - 1] == pytest.approx(k / (k + 1), abs=1e-3)
        assert curve.sd[k - 1] == pytest.approx((k / ((k + 1) ** 2 * (k + 2))) ** 0.5, rel=1e-2)


def test_the_band_stays_within_the_scores() -> None:
    for higher_is_better in (True, False):
        curve = expected_best(SCORES, higher_is_better)
        assert curve.low.min() >= 0.2
        assert curve.high.max() <= 0.9
        assert np.all(curve.low <= curve.mean)
        assert np.all(curve.mean <= curve.high)


@pytest.mark.parametrize("scores", [[], [0.1, float("nan")]])
def test_scores_that_are_none_are_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="expected finite scores, one or more, received"):
        expected_best(scores)


def test_another_search_would_choose_as_a_bootstrap_over_the_trials_does() -> None:
    losses, accuracies = [0.3, 0.9, 0.2, 0.5], [0.88, 0.6, 0.91, 0.7]
    chosen = [accuracies[min(draw, key=lambda trial: losses[trial])] for draw in product(range(4), repeat=4)]
    assert choice_sd(losses, accuracies, higher_is_better=False) == pytest.approx(np.std(chosen), abs=1e-12)
    assert choice_sd(SCORES, SCORES) == pytest.approx(expected_best(SCORES).sd[-1])
    assert choice_sd([0.5] * 4, [0.5] * 4) == 0
