import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from regbench.study.comparisons import Comparison
from regbench.study.statistics import compare
from tests.study.statistics.examples import ACCURACIES, family


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


def test_a_setting_is_equivalent_where_two_one_sided_tests_say_so() -> None:
    pair = family({name: ACCURACIES[name] for name in ("none", "weight_decay")})
    apart = np.subtract(ACCURACIES["weight_decay"], ACCURACIES["none"])
    for margin in (0.0012, 0.0020):
        (difference,) = compare(pair, margin=margin)
        larger_p = max(
            stats.ttest_1samp(apart, -margin, alternative="greater").pvalue,
            stats.ttest_1samp(apart, margin, alternative="less").pvalue,
        )
        assert (difference.verdict == "equivalent") == (larger_p < 0.025)
        assert difference.low < 0 < difference.high
    assert difference.verdict == "equivalent"
    assert f"equivalent to none within ±{100 * margin:.2f} points" in difference.sentence


def test_a_difference_too_small_to_matter_is_called_so() -> None:
    (difference,) = compare(family({name: ACCURACIES[name] for name in ("none", "batchnorm")}), margin=0.02)
    assert (difference.verdict, difference.within_margin) == ("better", True)
    assert difference.sentence.startswith("batchnorm is better than none by less than 2.00 points: ")


def test_an_undecided_setting_tells_where_it_leans_and_what_is_ruled_out() -> None:
    values = {"none": [0.90, 0.91, 0.92, 0.93], "dropout": [0.899, 0.908, 0.920, 0.927]}
    (difference,) = compare(family(values), margin=0.001)
    assert (difference.verdict, difference.leaning) == ("undecided", "worse")
    assert difference.sentence.startswith("dropout beside none is undecided, leaning to worse: ")
    assert "a gain of 0.10 points is ruled out" in difference.sentence
    assert "a loss of" not in difference.sentence
    (balanced,) = compare(family({"none": [0.90, 0.91, 0.92], "dropout": [0.91, 0.90, 0.92]}))
    assert (balanced.verdict, balanced.leaning) == ("undecided", "")


def test_the_familys_own_margin_is_for_accuracies_alone() -> None:
    pair = family({name: ACCURACIES[name] for name in ("none", "weight_decay")})
    (wide,) = compare(replace(pair, margin=0.01))
    assert (wide.verdict, wide.margin) == ("equivalent", 0.01)
    (loss,) = compare(replace(pair, margin=10.0), "test/loss")
    assert (loss.verdict, math.isnan(loss.margin)) == ("undecided", True)


def test_verdicts_on_a_loss_turn_around() -> None:
    by_loss = compare(family({name: ACCURACIES[name] for name in ("none", "batchnorm")}), "test/loss")
    worse = compare(family({name: ACCURACIES[name] for name in ("none", "dropout")}), "test/loss")[0]
    assert [by_loss[0].verdict, worse.verdict] == ["better", "worse"]
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


def test_identical_accuracies_decide_nothing_either() -> None:
    (difference,) = compare(family({"none": [0.90, 0.91, 0.92], "dropout": [0.90, 0.91, 0.92]}))
    assert (difference.verdict, difference.mean, math.isnan(difference.low)) == ("too few seeds", 0.0, True)
    assert "the same test accuracy on all 3 seeds, so no spread is known" in difference.sentence


def test_a_family_without_its_baseline_has_no_differences() -> None:
    comparison = family({"dropout": [0.9, 0.91]})
    assert compare(Comparison("", None, ("dropout",), comparison.runs, comparison.history)) == []


def test_a_margin_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="margin: expected a difference above 0, got 0"):
        compare(family(ACCURACIES), margin=0)


def test_hardly_shared_seeds_are_not_paired() -> None:
    accuracies = [0.80 + 0.01 * seed for seed in range(8)]
    shifted = family({"none": accuracies, "dropout": accuracies}, {"dropout": range(6, 14)})
    assert not compare(shifted)[0].paired
