import math

import numpy as np
import pytest
from scipy import stats

from regbench.study.statistics.seeds_and_images import SeedsAndImages, from_image_groups, from_paired_images
from tests.study.statistics.crossed import effects

SETTING = np.array([[1, 0, 1, 1], [1, 0, 1, 1]], dtype=bool)
BASELINE = np.array([[0, 0, 1, 0], [0, 1, 1, 1]], dtype=bool)


def test_a_hand_computed_example() -> None:
    # Differences 1 0 0 1 and 1 -1 0 0: row means 1/2 and 0, column means 1, -1/2, 0, 1/2, all eight residuals ±1/4.
    found = from_paired_images(SETTING, BASELINE)
    assert (found.mean, found.df, found.df_images, found.size) == (0.25, 1, 3, 4)
    assert (found.seeds, found.images, found.interaction) == pytest.approx((1 / 16, 5 / 48, 1 / 48))
    assert (found.error, found.error_new_images) == pytest.approx((1 / 4, math.sqrt(7 / 48)))
    # t quantiles of 1 and 3 degrees of freedom, 12.7062 and 3.1824.
    assert found.on_this_test_set(0.05) == pytest.approx((0.25 - 12.7062 / 4, 0.25 + 12.7062 / 4), abs=1e-4)
    half = math.sqrt(12.7062**2 / 16 + 3.1824**2 / 12)
    assert found.on_new_images(0.05) == pytest.approx((0.25 - half, 0.25 + half), abs=1e-3)


def test_on_this_test_set_pairs_are_judged_by_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    setting, baseline = rng.random((6, 50)) < 0.9, rng.random((6, 50)) < 0.8
    found = from_paired_images(setting, baseline)
    reference = stats.ttest_rel(setting.mean(1), baseline.mean(1))
    bounds = reference.confidence_interval(0.99)
    assert found.on_this_test_set(0.01) == pytest.approx((bounds.low, bounds.high))
    assert (found.mean / found.error, found.df) == pytest.approx((reference.statistic, reference.df))


def test_on_this_test_set_groups_are_judged_by_welchs_t_test() -> None:
    rng = np.random.default_rng(0)
    setting, baseline = rng.random((6, 50)) < 0.9, rng.random((4, 50)) < 0.8
    found = from_image_groups(setting, baseline)
    reference = stats.ttest_ind(setting.mean(1), baseline.mean(1), equal_var=False)
    bounds = reference.confidence_interval(0.95)
    assert found.on_this_test_set(0.05) == pytest.approx((bounds.low, bounds.high))
    assert (found.mean / found.error, found.df) == pytest.approx((reference.statistic, reference.df))


def test_the_images_part_of_groups_is_the_spread_of_the_mean_differences() -> None:
    rng = np.random.default_rng(1)
    setting, baseline = rng.random((6, 50)) < 0.9, rng.random((4, 50)) < 0.8
    found = from_image_groups(setting, baseline)
    assert math.sqrt(found.images) == pytest.approx(stats.sem(setting.mean(0) - baseline.mean(0)))
    alone = [from_paired_images(values, np.zeros_like(values)) for values in (setting, baseline)]
    assert found.interaction == pytest.approx(sum(each.interaction for each in alone))


def test_the_images_degrees_of_freedom_fall_with_their_kurtosis() -> None:
    # One image in ten tells the settings apart, so that the kurtosis is high.
    by_image = np.tile([1, *[0] * 9], 30)
    values = by_image + np.array([[0.0], [0.1]])
    found = from_paired_images(values, np.zeros_like(values))
    assert found.df_images == pytest.approx(2 / (2 / 299 + stats.kurtosis(by_image) / 300))
    assert found.df_images < 100


@pytest.mark.parametrize("by_seed", [0.0, 0.1, 0.3])
def test_the_standard_error_is_the_spread_of_the_mean_over_new_seeds_and_images(by_seed: float) -> None:
    rng = np.random.default_rng(2)
    drawn = [effects(5, 60, by_seed=by_seed, by_image=0.6, rest=0.8, rng=rng) for _ in range(2000)]
    found = [from_paired_images(values, np.zeros_like(values)) for values in drawn]
    exact = by_seed**2 / 5 + 0.6**2 / 60 + 0.8**2 / 300
    unbiased = np.mean([each.seeds + each.images - each.interaction for each in found])
    assert unbiased / exact == pytest.approx(1, abs=0.06)
    assert np.var([each.mean for each in found]) / exact == pytest.approx(1, abs=0.1)
    # It is raised to its larger part, never lowered.
    assert 0.95 < np.mean([each.error_new_images**2 for each in found]) / exact < 1.2


def test_groups_that_share_the_images_have_the_variance_of_their_difference() -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(2000):
        shared = rng.normal(size=80)
        found.append(
            from_image_groups(
                shared + effects(5, 80, by_seed=0.1, by_image=0.5, rest=0.7, rng=rng),
                shared + effects(3, 80, by_seed=0.2, by_image=0.0, rest=0.4, rng=rng),
            )
        )
    exact = 0.1**2 / 5 + 0.2**2 / 3 + 0.5**2 / 80 + 0.7**2 / 400 + 0.4**2 / 240
    unbiased = np.mean([each.seeds + each.images - each.interaction for each in found])
    assert unbiased / exact == pytest.approx(1, abs=0.06)
    assert np.var([each.mean for each in found]) / exact == pytest.approx(1, abs=0.1)


def pigeonhole_variance(values: np.ndarray, rng: np.random.Generator, draws: int = 4000) -> float:
    """Variance of the mean over resampled seeds and images, each drawn on its own (Owen 2007)."""
    seeds, size = values.shape
    rows = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws)
    columns = rng.multinomial(size, np.full(size, 1 / size), size=draws)
    return float(np.var(np.einsum("ds,si,di->d", rows, values, columns, optimize=True) / (seeds * size)))


def test_the_variance_agrees_with_a_pigeonhole_bootstrap() -> None:
    rng = np.random.default_rng(4)
    values = effects(60, 80, by_seed=0.8, by_image=1.0, rest=0.6, rng=rng)
    found = from_paired_images(values, np.zeros_like(values))
    assert pigeonhole_variance(values, rng) / found.error_new_images**2 == pytest.approx(1, abs=0.08)


def test_the_pigeonhole_bootstrap_counts_the_interaction_three_times() -> None:
    # As its author shows; so it is no yardstick where the interaction matters, unless two are taken off.
    rng = np.random.default_rng(5)
    values = effects(60, 80, by_seed=0.1, by_image=0.1, rest=2.0, rng=rng)
    found = from_paired_images(values, np.zeros_like(values))
    once = found.seeds + found.images - found.interaction
    assert (pigeonhole_variance(values, rng) - 2 * found.interaction) / once == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(("seeds", "by_seed"), [(3, 0.0), (3, 0.1), (3, 0.3), (5, 0.1), (10, 0.1)])
@pytest.mark.parametrize("level", [0.05, 0.05 / 3])
def test_new_seeds_and_images_are_covered_as_often_as_claimed(seeds: int, by_seed: float, level: float) -> None:
    rng = np.random.default_rng(seeds)
    drawn = (effects(seeds, 100, by_seed=by_seed, by_image=1.0, rest=1.0, rng=rng) for _ in range(1000))
    bounds = (from_paired_images(values, np.zeros_like(values)).on_new_images(level) for values in drawn)
    covered = sum(low <= 0 <= high for low, high in bounds)
    assert stats.binomtest(covered, 1000, 1 - level, alternative="less").pvalue > 0.01, f"{covered} of 1,000"


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("level", [0.05, 0.05 / 9])
def test_the_interval_on_new_images_holds_the_one_on_this_test_set(seed: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    found = from_paired_images(rng.random((3, 40)) < 0.7, rng.random((3, 40)) < 0.6)
    (low, high), (lower, higher) = found.on_this_test_set(level), found.on_new_images(level)
    assert lower <= low <= found.mean <= high <= higher
    assert found.error_new_images >= max(found.error, math.sqrt(found.images))


def test_the_order_of_seeds_and_images_does_not_matter_and_turning_around_turns_the_sign() -> None:
    rng = np.random.default_rng(6)
    setting, baseline = rng.random((4, 30)), rng.random((4, 30))
    found, turned = from_paired_images(setting, baseline), from_paired_images(baseline[::-1, ::-1], setting[::-1, ::-1])
    low, high = found.on_new_images(0.05)
    assert turned.on_new_images(0.05) == pytest.approx((-high, -low))


def is_unknown(bounds: tuple[float, float]) -> bool:
    return all(map(math.isnan, bounds))


def test_one_seed_has_a_mean_and_no_interval() -> None:
    for found in (from_paired_images(SETTING[:1], BASELINE[:1]), from_image_groups(SETTING[:1], BASELINE)):
        assert not found.is_known
        assert is_unknown(found.on_this_test_set(0.05))
        assert is_unknown(found.on_new_images(0.05))
    assert from_paired_images(SETTING[:1], BASELINE[:1]).mean == 0.5


def test_one_image_has_no_interval() -> None:
    found = from_paired_images(SETTING[:, :1], BASELINE[:, :1])
    assert found.mean == 1
    assert is_unknown(found.on_new_images(0.05))


@pytest.mark.parametrize("compare", [from_paired_images, from_image_groups])
def test_settings_that_answer_all_images_alike_have_no_interval(compare) -> None:
    found = compare(SETTING, SETTING)
    assert (found.mean, found.seeds, found.images) == (0, 0, 0)
    assert is_unknown(found.on_this_test_set(0.05))
    assert is_unknown(found.on_new_images(0.05))


def test_seeds_that_differ_by_the_same_number_have_no_interval() -> None:
    # Each network has one image more, another one each: no spread over seeds, by coincidence of coarse accuracies.
    found = from_paired_images(np.eye(3, 9), np.zeros((3, 9)))
    assert found.error == 0
    assert is_unknown(found.on_new_images(0.05))


def test_matrices_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected one shape, got \(2, 4\), \(1, 4\)"):
        from_paired_images(SETTING, BASELINE[:1])
    with pytest.raises(ValueError, match=r"expected the same images, got \(2, 4\), \(2, 3\)"):
        from_image_groups(SETTING, BASELINE[:, :3])


def test_a_negative_estimate_is_raised_to_the_larger_part() -> None:
    found = SeedsAndImages(mean=0.0, seeds=1.0, images=2.0, interaction=1.5, df=4.0, df_images=9.0, size=10)
    assert found.error_new_images == pytest.approx(math.sqrt(2))
    found = SeedsAndImages(mean=0.0, seeds=2.0, images=1.0, interaction=1.5, df=4.0, df_images=9.0, size=10)
    assert found.error_new_images == pytest.approx(math.sqrt(2))
    assert found.on_new_images(0.05) == pytest.approx(found.on_this_test_set(0.05))
