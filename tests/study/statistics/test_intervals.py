import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from regbench.study.statistics import Difference, compare, judge
from regbench.study.statistics.hypothesis_tests import from_pairs
from regbench.study.statistics.intervals import binomial_error, prediction_interval
from tests.study.statistics.examples import ACCURACIES, family


def test_the_interval_of_a_lone_setting_is_scipys() -> None:
    (difference,) = compare(family({name: ACCURACIES[name] for name in ("none", "dropout")}))
    reference = stats.ttest_rel(ACCURACIES["dropout"], ACCURACIES["none"]).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx((reference.low, reference.high))
    assert difference.p_holm == pytest.approx(difference.p)


def test_intervals_follow_from_the_step_at_which_holm_stopped() -> None:
    differences = {difference.label: difference for difference in compare(family(ACCURACIES))}
    assert [differences[label].verdict for label in ("batchnorm", "dropout")] == ["better", "worse"]
    # Two of three are decided: the third is alone at level alpha, the decided ones at the extra level over three.
    for label, level in {"weight_decay": 0.05, "batchnorm": 0.02 / 3, "dropout": 0.02 / 3}.items():
        reference = stats.ttest_rel(ACCURACIES[label], ACCURACIES["none"]).confidence_interval(1 - level)
        shown = differences[label]
        low, high = reference.low, reference.high
        if shown.verdict == "worse":
            high = min(high, 0.0)
        assert (shown.low, shown.high) == pytest.approx((low, high))


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


@given(st.lists(accuracies, min_size=1, max_size=5), st.floats(-0.05, 0.05))
def test_an_interval_excludes_zero_just_where_holm_decides(arms: list[list[float]], shift: float) -> None:
    n = min(map(len, arms))
    noise = np.random.default_rng(0).normal(0, 1e-3, size=(len(arms), n))
    evidence = {
        f"setting {number}": from_pairs(np.array(arm[:n]) + noise[number], np.array(arms[0][:n]) - shift * number)
        for number, arm in enumerate(arms)
    }
    for difference in judge(evidence, "none"):
        if math.isnan(difference.p):
            assert math.isnan(difference.low)
            continue
        decided = difference.verdict in {"better", "worse"}
        assert decided == (difference.p_holm < 0.05)
        assert decided == (difference.low > 0 or difference.high < 0)
        assert difference.low <= difference.mean <= difference.high
        assert difference.p <= difference.p_holm


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
    assert false >= 20


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
    assert 930 <= covered <= 970, f"{covered} of 1,000"


def test_the_test_sets_own_error_is_binomial() -> None:
    assert binomial_error(0.9, 10_000) == pytest.approx(stats.binom.std(10_000, 0.9) / 10_000)
    with pytest.raises(ValueError, match="got 1\\.2 of 100"):
        binomial_error(1.2, 100)
