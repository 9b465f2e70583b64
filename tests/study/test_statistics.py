import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from regbench.study import inference, load, statistics
from regbench.study.axes import Comparison, comparisons
from regbench.study.inference import from_groups, from_pairs
from regbench.study.statistics import advantage_by_epoch, compare, gather, judge

from .synthetic import write_study

ACCURACIES = {
    "none": [0.8912, 0.8890, 0.8875, 0.8931, 0.8903, 0.8887],
    "batchnorm": [0.9020, 0.9003, 0.8991, 0.9011, 0.9034, 0.8986],
    "dropout": [0.8895, 0.8871, 0.8880, 0.8902, 0.8889, 0.8860],
    "weight_decay": [0.8915, 0.8884, 0.8899, 0.8926, 0.8910, 0.8893],
}


def family(values: Mapping[str, Sequence[float]], seeds: Mapping[str, Sequence[int]] | None = None) -> Comparison:
    """A comparison with these test accuracies; seeds 0, 1, … where none are named."""
    rows = [
        {"label": label, "seed": seed, "split_seed": 0, "test/acc": value, "test/loss": 1 - value}
        for label, numbers in values.items()
        for seed, value in zip((seeds or {}).get(label, range(len(numbers))), numbers, strict=True)
    ]
    return Comparison("made up", "none", tuple(values), pd.DataFrame(rows), pd.DataFrame())


def test_holm_agrees_with_a_hand_worked_example() -> None:
    # In order: 0.005 × 4 = 0.02, 0.01 × 3 = 0.03, 0.03 × 2 = 0.06, and 0.04 × 1 = 0.04 is raised to the 0.06 before it.
    assert inference.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_leaves_out_what_could_not_be_tested() -> None:
    assert inference.holm([0.04, math.nan, 0.02]) == pytest.approx([0.04, math.nan, 0.04], nan_ok=True)
    assert inference.holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert len(inference.holm([])) == 0


def test_paired_p_values_and_spread_are_scipys() -> None:
    differences = {difference.label: difference for difference in compare(family(ACCURACIES))}
    assert list(differences) == ["batchnorm", "dropout", "weight_decay"]
    for label, difference in differences.items():
        reference = stats.ttest_rel(ACCURACIES[label], ACCURACIES["none"])
        apart = np.subtract(ACCURACIES[label], ACCURACIES["none"])
        assert difference.p == pytest.approx(reference.pvalue)
        assert (difference.n, difference.paired) == (6, True)
        assert difference.mean == pytest.approx(apart.mean())
        assert difference.sd == pytest.approx(apart.std(ddof=1))
        assert difference.p_beats == pytest.approx((apart > 0).mean())


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


def test_unpaired_seeds_are_compared_by_welch_and_it_is_said() -> None:
    seeds = {"none": range(6), "batchnorm": range(10, 16)}
    values = {name: ACCURACIES[name] for name in seeds}
    (difference,) = compare(family(values, seeds))
    reference = stats.ttest_ind(values["batchnorm"], values["none"], equal_var=False)
    interval = reference.confidence_interval(0.95)
    assert difference.p == pytest.approx(reference.pvalue)
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high))
    assert not difference.paired
    assert math.isnan(difference.sd)
    assert "Welch" in difference.sentence


def test_welch_takes_groups_of_different_sizes() -> None:
    ours, theirs = np.array(ACCURACIES["dropout"]), np.array(ACCURACIES["none"][:4])
    reference = stats.ttest_ind(ours, theirs, equal_var=False)
    evidence = from_groups(ours, theirs)
    assert (evidence.p, evidence.df, evidence.n) == pytest.approx((reference.pvalue, reference.df, 4))
    assert evidence.wins == pytest.approx(stats.mannwhitneyu(ours, theirs).statistic / (6 * 4))


def test_a_missing_seed_leaves_its_pair_out_and_it_is_said() -> None:
    seeds = {"none": [0, 1, 2, 4, 5], "dropout": range(6)}
    values = {"none": [ACCURACIES["none"][seed] for seed in seeds["none"]], "dropout": ACCURACIES["dropout"]}
    (difference,) = compare(family(values, seeds))
    matched = [ACCURACIES["dropout"][seed] for seed in seeds["none"]]
    assert difference.n == 5
    assert difference.p == pytest.approx(stats.ttest_rel(matched, values["none"]).pvalue)
    assert "1 run without a partner" in difference.sentence


def test_pairs_need_the_same_split_as_well_as_the_same_seed() -> None:
    comparison = family({name: ACCURACIES[name] for name in ("none", "dropout")})
    comparison.runs.loc[comparison.runs["label"] == "dropout", "split_seed"] = 1
    assert not compare(comparison)[0].paired


def test_two_runs_of_one_seed_count_once() -> None:
    comparison = family({name: ACCURACIES[name] for name in ("none", "dropout")})
    (once,) = compare(comparison)
    doubled = Comparison("", "none", comparison.labels, pd.concat([comparison.runs] * 2), comparison.history)
    assert compare(doubled)[0] == once


@pytest.mark.parametrize("size", [2, 5, 9])
def test_sign_flip_p_is_the_exact_one_of_scipy(size: int) -> None:
    differences = np.random.default_rng(size).normal(0.5, 1, size)
    reference = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert inference.sign_flip_p(differences) == pytest.approx(reference.pvalue)


def test_sign_flip_p_is_exact_for_many_pairs() -> None:
    # All alike: only the two flips of everything reach the observed sum.
    assert inference.sign_flip_p(np.full(30, 0.01)) == pytest.approx(2 / 2**30)
    # One of thirty points the other way: 1 + 30 flips reach the observed sum, on either side.
    assert inference.sign_flip_p(np.array([-0.01, *[0.01] * 29])) == pytest.approx(2 * 31 / 2**30)


def test_sign_flip_p_beyond_forty_pairs_is_drawn() -> None:
    differences = np.random.default_rng(0).normal(0.3, 1, 60)
    assert inference.sign_flip_p(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.01)


def test_the_unpaired_permutation_p_is_the_exact_one_of_scipy() -> None:
    ours, theirs = np.array(ACCURACIES["weight_decay"]), np.array(ACCURACIES["none"][:5])
    reference = stats.permutation_test(
        (ours, theirs), lambda a, b: abs(np.mean(a) - np.mean(b)), n_resamples=np.inf, alternative="greater"
    )
    assert from_groups(ours, theirs).p_permutation == pytest.approx(reference.pvalue)
    many = np.random.default_rng(1).normal([[0.6], [0.0]], size=(2, 12))
    assert from_groups(*many).p_permutation == pytest.approx(stats.ttest_ind(*many).pvalue, abs=0.02)


@pytest.mark.parametrize(("n", "m"), [(3, 1), (5, 3), (10, 3), (10, 9)])
def test_the_detectable_difference_is_seen_with_80_percent_power(n: int, m: int) -> None:
    evidence = from_pairs(np.random.default_rng(n).normal(size=n), np.zeros(n))
    shift = inference.detectable(evidence, m) / evidence.error
    critical = stats.t.isf(0.05 / m / 2, n - 1)
    assert stats.nct.sf(critical, n - 1, shift) == pytest.approx(0.8, abs=1e-4)


def test_the_prediction_interval_of_a_known_case() -> None:
    """Mean 3, sd √2.5, t = 2.776: 3 ± 2.776 · 1.5811 · √1.2."""
    low, high = inference.prediction_interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert (low, high) == pytest.approx((3 - 4.8089, 3 + 4.8089), abs=1e-3)
    with pytest.raises(ValueError, match="expected two values or more, got 1"):
        inference.prediction_interval(np.array([1.0]))


def test_the_prediction_interval_holds_one_run_more_as_often_as_claimed() -> None:
    draws = np.random.default_rng(0).normal(0.9, 0.002, size=(4_000, 6))
    bounds = [inference.prediction_interval(row[:5]) for row in draws]
    share = np.mean([low <= row[5] <= high for row, (low, high) in zip(draws, bounds, strict=True)])
    assert share == pytest.approx(0.95, abs=0.012)


def test_the_detectable_difference_of_a_known_case() -> None:
    # G*Power, two-sided paired t-test, alpha 0.05, power 0.8, 34 pairs: an effect of 0.5 standard deviations is seen.
    values = np.resize([1.0, -1.0], 34)
    evidence = from_pairs(values / values.std(ddof=1), np.zeros(34))
    assert inference.detectable(evidence, 1) == pytest.approx(0.495, abs=0.002)
    assert inference.seeds_needed(evidence, 1, 0.5) == 34


def test_seeds_needed_is_the_first_number_that_is_enough() -> None:
    (difference,) = compare(family({name: ACCURACIES[name] for name in ("none", "weight_decay")}), margin=0.001)
    assert difference.verdict == "too few seeds"
    needed = difference.seeds_needed
    assert needed is not None

    def power(n: int) -> float:
        return float(stats.nct.sf(stats.t.isf(0.025, n - 1), n - 1, 0.001 / difference.sd * math.sqrt(n)))

    assert power(needed - 1) < 0.8 <= power(needed)
    assert str(needed) in difference.sentence


def test_unpaired_seeds_needed_are_at_least_as_many_as_for_scipys_power() -> None:
    ours, theirs = np.random.default_rng(0).normal(0, [[1.0], [2.0]], size=(2, 6))
    evidence = from_groups(ours, theirs)
    needed = inference.seeds_needed(evidence, 1, 2.0)
    assert needed is not None
    total = sum(evidence.variances)
    df = total**2 * (needed - 1) / sum(variance**2 for variance in evidence.variances)
    assert stats.nct.sf(stats.t.isf(0.025, df), df, 2.0 / math.sqrt(total / needed)) >= 0.8
    assert inference.seeds_needed(evidence, 1, 1e-6) is None


def test_a_small_difference_that_would_have_shown_is_not_distinguishable() -> None:
    (difference,) = compare(family({name: ACCURACIES[name] for name in ("none", "weight_decay")}), margin=0.003)
    assert difference.detectable < 0.003
    assert difference.verdict == "not distinguishable"
    assert difference.low < 0 < difference.high


def test_verdicts_on_a_loss_turn_around() -> None:
    by_loss = compare(family(ACCURACIES), "test/loss")
    assert [difference.verdict for difference in by_loss][:2] == ["better", "worse"]
    assert by_loss[0].mean < 0
    assert by_loss[0].p_beats == 1.0


def test_one_seed_is_too_few() -> None:
    (difference,) = compare(family({"none": [0.89], "dropout": [0.91]}))
    assert difference.verdict == "too few seeds"
    assert difference.mean == pytest.approx(0.02)
    assert math.isnan(difference.low)
    assert difference.seeds_needed is None
    assert "1 of the 2" in difference.sentence


def test_a_setting_without_runs_of_the_metric_is_too_few() -> None:
    comparison = family({name: ACCURACIES[name] for name in ("none", "dropout")})
    comparison.runs.loc[comparison.runs["label"] == "dropout", "test/acc"] = math.nan
    assert [difference.verdict for difference in compare(comparison)] == ["too few seeds"]


def test_coarse_accuracies_that_all_differ_alike_decide_nothing() -> None:
    (difference,) = compare(family({"none": [0.90, 0.91, 0.92], "dropout": [0.91, 0.92, 0.93]}))
    assert difference.verdict == "too few seeds"
    assert math.isnan(difference.p)
    assert "no spread" in difference.sentence


def test_identical_runs_are_not_distinguishable() -> None:
    (difference,) = compare(family({"none": [0.90, 0.91, 0.92], "dropout": [0.90, 0.91, 0.92]}))
    assert (difference.verdict, difference.p, difference.low, difference.high) == ("not distinguishable", 1.0, 0.0, 0.0)
    assert difference.sentence.endswith("is not distinguishable from none: the same test accuracy on all 3 seeds.")


def test_a_family_without_its_baseline_has_no_differences() -> None:
    comparison = family({"dropout": [0.9, 0.91]})
    assert compare(Comparison("", None, ("dropout",), comparison.runs, comparison.history)) == []


def test_a_margin_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="margin: expected a difference above 0, got 0"):
        compare(family(ACCURACIES), margin=0)


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


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms())
def test_holm_keeps_the_order_and_does_not_mind_it(p: list[float], random) -> None:
    adjusted = inference.holm(p)
    assert (adjusted >= p).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()
    shuffled = random.sample(range(len(p)), len(p))
    assert inference.holm([p[index] for index in shuffled]) == pytest.approx(adjusted[shuffled])


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=10))
def test_turning_the_comparison_around_turns_only_the_sign(differences: list[float]) -> None:
    values, zeros = np.array(differences), np.zeros(len(differences))
    one, other = from_pairs(values, zeros), from_pairs(zeros, values)
    assert one.mean == -other.mean
    assert one.p == pytest.approx(other.p, nan_ok=True)
    assert one.p_permutation == other.p_permutation
    assert one.wins + other.wins == pytest.approx(1)


def studies(effects: Sequence[float], seeds: int, count: int, seed: int) -> np.ndarray:
    """Test accuracies (count, settings, seeds), the baseline first: a seed's runs share a part of their luck."""
    rng = np.random.default_rng(seed)
    luck = rng.normal(0, 0.001, size=(count, 1, seeds))
    own = rng.normal(0, 0.002, size=(count, len(effects) + 1, seeds))
    exact = 0.89 + np.array([0.0, *effects])[None, :, None] + luck + own
    return np.round(exact, 4)


def verdicts(study: np.ndarray) -> list[statistics.Difference]:
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


def test_the_advantage_by_epoch_is_the_difference_at_that_epoch(tmp_path: Path) -> None:
    study = load(write_study(tmp_path / "study", {"none": 0.89, "batchnorm": 0.90, "dropout": 0.88}, epochs=4))
    (comparison,) = comparisons(study)
    frame = advantage_by_epoch(comparison, "val/acc")
    assert list(frame.columns) == ["label", "epoch", "mean", "low", "high"]
    assert len(frame) == 2 * 4
    at = study.history[study.history["epoch"] == 2].pivot(index="seed", columns="label", values="val/acc")
    reference = stats.ttest_rel(at["dropout"], at["none"]).confidence_interval(1 - 0.05 / 2)
    row = frame[(frame["label"] == "dropout") & (frame["epoch"] == 2)].iloc[0]
    assert row["mean"] == pytest.approx((at["dropout"] - at["none"]).mean())
    assert (row["low"], row["high"]) == pytest.approx((reference.low, reference.high))


def test_the_advantage_leaves_out_seeds_that_stopped_earlier(tmp_path: Path) -> None:
    study = load(write_study(tmp_path / "study", {"none": 0.89, "dropout": 0.88}, seeds=range(3), epochs=4))
    (comparison,) = comparisons(study)
    short = (comparison.history["label"] == "dropout") & (comparison.history["seed"] < 2)
    history = comparison.history[~(short & (comparison.history["epoch"] == 3))]
    frame = advantage_by_epoch(Comparison("", "none", comparison.labels, comparison.runs, history), "val/acc")
    last = frame[frame["epoch"] == 3].iloc[0]
    assert not math.isnan(last["mean"])
    assert math.isnan(last["low"])


def test_the_advantage_compares_unshared_seeds_as_groups(tmp_path: Path) -> None:
    write_study(tmp_path / "study", {"none": 0.89}, seeds=range(4), epochs=2)
    study = load(write_study(tmp_path / "study", {"dropout": 0.88}, seeds=range(10, 14), epochs=2))
    (comparison,) = comparisons(study)
    row = advantage_by_epoch(comparison, "val/acc").iloc[-1]
    at = study.history[study.history["epoch"] == 1].groupby("label")["val/acc"]
    ours, theirs = at.get_group("dropout"), at.get_group("none")
    reference = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((reference.low, reference.high))


def test_there_is_no_advantage_in_what_was_not_recorded(tmp_path: Path) -> None:
    (comparison,) = comparisons(load(write_study(tmp_path / "study", epochs=2, val_size=0)))
    assert advantage_by_epoch(comparison, "val/acc").empty
    assert advantage_by_epoch(comparison, "test/acc").empty


def test_the_test_sets_own_error_is_binomial() -> None:
    assert statistics.test_set_error(0.9, 10_000) == pytest.approx(stats.binom.std(10_000, 0.9) / 10_000)
    with pytest.raises(ValueError, match="got 1\\.2 of 100"):
        statistics.test_set_error(1.2, 100)


def test_hardly_shared_seeds_are_not_paired() -> None:
    ours, theirs = pd.Series(range(8), index=range(8)), pd.Series(range(8), index=range(6, 14))
    assert not gather(ours.astype(float), theirs.astype(float)).paired
