import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from regbench.study.statistics import Difference, compare, judge
from regbench.study.statistics.evidence import from_pairs
from regbench.study.statistics.intervals import binomial_error, prediction_interval
from tests.study.statistics.examples import ACCURACIES, family


def test_the_interval_of_a_lone_setting_is_scipys() -> None:
    (difference,) = compare(family({name: ACCURACIES[name] for name in ("none", "dropout")}))
    reference = stats.ttest_rel(ACCURACIES["dropout"], ACCURACIES["none"]).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx((reference.low, reference.high))
    assert difference.p_adjusted == pytest.approx(difference.p)


def test_three_settings_share_the_error_whatever_their_verdicts() -> None:
    for difference in compare(family(ACCURACIES)):
        reference = stats.ttest_rel(ACCURACIES[difference.label], ACCURACIES["none"])
        bounds = reference.confidence_interval(1 - 0.05 / 3)
        assert (difference.low, difference.high) == pytest.approx((bounds.low, bounds.high))
        assert difference.p_adjusted == pytest.approx(min(1, 3 * reference.pvalue))


def test_the_prediction_interval_of_a_known_case() -> None:
    """Mean 3, sd √2.5, t = 2.776: 3 ± 2.776 · 1.5811 · √1.2."""
    low, high = prediction_interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert (low, high) == pytest.approx((3 - 4.8089, 3 + 4.8089), abs=1e-3)
    with pytest.raises(ValueError, match="expected two values or more, got 1"):
        prediction_interval(np.array([1.0]))


def test_the_prediction_interval_holds_one_run_more_as_often_as_claimed() -> None:
    draws = np.random.default_rng(0).normal(0.9, 0.002, size=(4_000, 6))
    bounds = [prediction_interval(row[:5]) for row in draws]
    share = np.mean([low <= row[5] <= high for row, (low, high) in zip(draws, bounds, strict=True)])
    assert share == pytest.approx(0.95, abs=0.012)


accuracies = st.lists(st.floats(0.5, 1.0, width=32), min_size=2, max_size=8)


@given(st.lists(accuracies, min_size=1, max_size=5), st.floats(-0.05, 0.05), st.floats(1e-4, 0.1), st.booleans())
def test_no_verdict_contradicts_its_interval(
    arms: list[list[float]], shift: float, margin: float, of_loss: bool
) -> None:
    n = min(map(len, arms))
    noise = np.random.default_rng(0).normal(0, 1e-3, size=(len(arms), n))
    evidence = {
        f"setting {number}": from_pairs(np.array(arm[:n]) + noise[number], np.array(arms[0][:n]) - shift * number)
        for number, arm in enumerate(arms)
    }
    for difference in judge(evidence, "none", "test/loss" if of_loss else "test/acc", margin):
        if math.isnan(difference.p):
            assert (difference.verdict, math.isnan(difference.low)) == ("too few seeds", True)
            continue
        above, below = difference.low > 0, difference.high < 0
        inside = -margin < difference.low and difference.high < margin
        assert (above or below) == (difference.p_adjusted < 0.05) == (difference.verdict in {"better", "worse"})
        assert (difference.verdict == "better") == (below if of_loss else above)
        assert (difference.verdict == "equivalent") == (inside and not above and not below)
        assert (difference.verdict == "undecided") == (not inside and not above and not below)
        assert difference.low <= difference.mean <= difference.high
        assert difference.within_margin == inside


def studies(effects: Sequence[float], seeds: int, count: int, seed: int) -> np.ndarray:
    """Test accuracies (count, settings, seeds), the baseline first: a seed's runs share a part of their luck."""
    rng = np.random.default_rng(seed)
    luck = rng.normal(0, 0.001, size=(count, 1, seeds))
    own = rng.normal(0, 0.002, size=(count, len(effects) + 1, seeds))
    exact = 0.89 + np.array([0.0, *effects])[None, :, None] + luck + own
    return np.round(exact, 4)


def verdicts(study: np.ndarray) -> list[Difference]:
    return judge({f"setting {number}": from_pairs(arm, study[0]) for number, arm in enumerate(study[1:])}, "none")


@pytest.mark.parametrize(("settings", "seeds"), [(3, 5), (3, 10), (6, 10)])
def test_where_nothing_differs_a_false_verdict_is_as_rare_as_claimed(settings: int, seeds: int) -> None:
    false = sum(
        any(difference.verdict in {"better", "worse"} for difference in verdicts(study))
        for study in studies([0.0] * settings, seeds, 1000, seed=settings * 100 + seeds)
    )
    # At most 5 % within the sampling error of 1,000 studies; and not so rare that the procedure only looks careful.
    assert stats.binomtest(false, 1000, 0.05, alternative="greater").pvalue > 0.05, f"{false} of 1,000"
    assert false >= 15


EFFECTS = {
    "one strong": [0.012, 0.0, 0.0],
    "two strong": [0.012, -0.010, 0.0],
    "all strong": [0.012, -0.010, 0.009],
    "strong, weak and none": [0.012, -0.003, 0.0],
    "weak": [0.002, -0.002, 0.003],
}


@pytest.mark.parametrize("effects", EFFECTS.values(), ids=EFFECTS)
@pytest.mark.parametrize("seeds", [5, 10])
def test_known_differences_are_covered_together(effects: list[float], seeds: int) -> None:
    covered = sum(
        all(
            difference.low <= effect <= difference.high
            for difference, effect in zip(verdicts(study), effects, strict=True)
        )
        for study in studies(effects, seeds, 1000, seed=seeds)
    )
    # At least 95 % within the sampling error of 1,000 studies, and not much more: the settings share their baseline.
    assert stats.binomtest(covered, 1000, 0.95, alternative="less").pvalue > 0.05, f"{covered} of 1,000"
    assert covered <= 980


def test_the_test_sets_own_error_is_binomial() -> None:
    assert binomial_error(0.9, 10_000) == pytest.approx(stats.binom.std(10_000, 0.9) / 10_000)
    with pytest.raises(ValueError, match="got 1\\.2 of 100"):
        binomial_error(1.2, 100)
