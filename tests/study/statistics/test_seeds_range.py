import math

import numpy as np
import pytest
from scipy import stats

from regbench.study.statistics.evidence import Evidence, from_groups, from_pairs
from regbench.study.statistics.power import (
    SeedsRange,
    power_curve,
    power_curves,
    power_of,
    seeds_needed,
    seeds_range,
)


def pairs(n: int, sd: float, seed: int = 0) -> Evidence:
    values = np.random.default_rng(seed).normal(size=n)
    return from_pairs(sd * (values - values.mean()) / values.std(ddof=1), np.zeros(n))


def test_the_range_holds_the_advice_for_both_ends_of_the_deviations_interval() -> None:
    evidence = pairs(5, 0.3)
    found = seeds_range(evidence, 3, 0.3)
    low, high = (0.3 * math.sqrt(4 / stats.chi2.ppf(share, 4)) for share in (0.9, 0.1))
    assert found == SeedsRange(
        seeds_needed(pairs(5, low), 3, 0.3), seeds_needed(evidence, 3, 0.3), seeds_needed(pairs(5, high), 3, 0.3)
    )
    assert found.point == 14
    assert found.low is not None
    assert found.high is not None
    assert found.low < 14 < found.high


def test_eighty_of_a_hundred_ranges_hold_the_true_number() -> None:
    rng = np.random.default_rng(0)
    ranges = [seeds_range(from_pairs(rng.normal(scale=0.3, size=5), np.zeros(5)), 3, 0.3) for _ in range(400)]
    held = [each.low <= 14 <= (each.high or math.inf) for each in ranges if each and each.low]
    assert len(held) == 400
    assert np.mean(held) == pytest.approx(0.82, abs=0.05)


def test_an_unpaired_range_scales_both_groups() -> None:
    ours, theirs = np.random.default_rng(0).normal(0, [[1.0], [2.0]], size=(2, 6))
    evidence = from_groups(ours, theirs)
    factor = math.sqrt(evidence.df / stats.chi2.ppf(0.1, evidence.df))
    found = seeds_range(evidence, 2, 2.0)
    assert found is not None
    assert found.high == seeds_needed(from_groups(factor * ours, factor * theirs), 2, 2.0)


def test_a_range_may_be_unknown_or_open() -> None:
    assert seeds_range(from_pairs(np.array([1.0]), np.array([0.0])), 1, 0.1) is None
    assert seeds_range(from_pairs(np.zeros(4), np.zeros(4)), 1, 0.1) is None
    assert seeds_range(pairs(5, 1.0), 1, 1e-6) == SeedsRange(None, None, None)


def test_a_range_in_words() -> None:
    assert SeedsRange(8, 14, 37).words == "8 to 37"
    assert SeedsRange(4, 4, 4).words == "4"
    assert SeedsRange(1200, None, None).words == "1,200 to more than 10,000"
    assert SeedsRange(None, None, None).words == "more than 10,000"


@pytest.mark.parametrize(("shift", "df", "level"), [(0.2, 4.0, 0.05), (1.3, 9.0, 0.0125), (4.0, 19.0, 0.05)])
def test_power_counts_both_tails(shift: float, df: float, level: float) -> None:
    critical = stats.t.isf(level / 2, df)
    expected = stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift)
    assert power_of(shift, df, level) == pytest.approx(expected, abs=1e-9)


def test_power_is_the_level_without_a_difference_and_certain_far_out() -> None:
    assert power_of(0.0, 4.0, 0.05) == pytest.approx(0.05)
    assert power_of(60.0, 4.0, 0.05) == power_of(1e4, 199.0, 0.001) == 1.0


def test_the_curve_crosses_80_percent_where_seeds_are_enough() -> None:
    evidence = pairs(5, 0.3)
    curve = power_curve(evidence, 3, -0.3, [13, 14]).set_index("n")
    assert curve.loc[13, "power"] < 0.8 <= curve.loc[14, "power"]
    assert (curve["low"] < curve["power"]).all()
    assert (curve["power"] < curve["high"]).all()


def test_a_curve_without_a_test_or_of_one_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="expected evidence with a test, got 1 seeds"):
        power_curve(from_pairs(np.array([1.0]), np.array([0.0])), 1, 0.1, [2])
    with pytest.raises(ValueError, match="expected 2 seeds or more, got 1"):
        power_curve(pairs(5, 1.0), 1, 0.1, [1, 2])


def test_the_curves_of_a_family_share_their_seeds_and_reach_as_far_as_the_ranges() -> None:
    family = {"dropout": pairs(5, 0.3), "l1": pairs(5, 0.1), "ema": from_pairs(np.zeros(5), np.zeros(5))}
    curves = power_curves(family, 0.3)
    assert list(curves["label"].unique()) == ["dropout", "l1"]
    grids = [list(rows["n"]) for _, rows in curves.groupby("label")]
    assert grids[0] == grids[1]
    assert grids[0][:19] == list(range(2, 21))
    assert grids[0][-1] == 40
    assert power_curves(family, 0.01)["n"].max() == 400
    assert power_curves({"ema": family["ema"]}, 0.3).empty


def test_the_observed_power_is_that_of_the_mean_difference() -> None:
    evidence = from_pairs(np.array([0.1, 0.4, 0.2]), np.zeros(3))
    curves = power_curves({"dropout": evidence}, 0.3)
    assert list(curves["observed"]) == list(power_curve(evidence, 1, evidence.mean, list(curves["n"]))["power"])
