import math

import numpy as np
import pandas as pd
import pytest

from regbench.study.statistics.checks.assumptions import Assumptions, examine

NONE = [0.8912, 0.8890, 0.8875, 0.8931, 0.8903, 0.8887]


def examined(
    setting: list[float], baseline: list[float] = NONE, paired: bool = True, margin: float = 0.003
) -> Assumptions:
    values = {
        label: pd.Series(numbers, index=pd.MultiIndex.from_tuples([(seed, 0) for seed in range(len(numbers))]))
        for label, numbers in (("none", baseline), ("dropout", setting))
    }
    return examine(values, "none", {"dropout": paired}, margin=margin)["dropout"]


def lifted(*by: float) -> list[float]:
    return [value + step for value, step in zip(NONE, by, strict=False)]


def test_normal_differences_are_told_nothing_of() -> None:
    found = examined(lifted(0.010, 0.011, 0.009, 0.0105, 0.0095, 0.010))
    assert not found.is_doubtful
    assert found.sentences == ()
    assert found.second.agrees
    assert found.second.mean == pytest.approx(0.010)


def test_a_collapsed_seed_is_named_with_its_size_and_a_second_opinion() -> None:
    found = examined(lifted(0.010, 0.011, 0.009, -0.3, 0.0095, 0.010))
    assert [(run.label, run.seed) for run in found.outlying] == [("dropout", 3)]
    assert found.sentences[0].startswith("Seed 3 of dropout is unusual: 30.")
    assert "points below the median of its setting's runs" in found.sentences[0]
    assert not found.is_skewed
    assert len(found.sentences) == 2
    assert found.second.method == "trimmed mean"
    assert found.sentences[1] == found.second.sentence
    assert found.second.mean == pytest.approx(np.mean([0.010, 0.009, 0.0095, 0.010]))
    assert not found.second.agrees
    assert "excludes 0, where the t interval decides nothing" in found.second.sentence


def test_a_collapsed_baseline_run_is_told_as_the_baselines() -> None:
    baseline = [*NONE[:5], 0.3]
    found = examined(lifted(0.010, 0.011, 0.009, 0.012, 0.0095, 0.010), baseline)
    assert [(run.label, run.seed) for run in found.outlying] == [("none", 5)]
    assert "Seed 5 of none is unusual" in found.sentences[0]


def test_strong_skew_is_told_with_its_direction() -> None:
    steps = [0.0, 0.0001, 0.0002, 0.0001, 0.0, 0.0002, 0.0001, 0.0, 0.0002, 0.008]
    baseline = list(np.linspace(0.85, 0.90, 10))
    found = examined([value + step for value, step in zip(baseline, steps, strict=True)], baseline)
    assert found.outlying == ()
    assert found.is_skewed
    assert "strongly skewed (g₁ = +2.7): some seeds reach far upward" in found.sentences[0]


def test_few_seeds_get_the_permutation_test_and_its_smallest_p() -> None:
    found = examined(lifted(0.010, 0.011, 0.009, 0.010))
    assert math.isnan(found.skewness)
    assert (found.second.method, found.second.p, found.second.agrees) == ("permutation", 0.125, None)
    assert "cannot give less than p = 0.125" in found.second.sentence


def test_unpaired_groups_are_compared_by_yuens_method_or_permutation() -> None:
    many = examined([0.95, 0.951, 0.952, 0.953, 0.954], paired=False)
    assert (many.second.method, many.second.agrees) == ("trimmed mean", True)
    assert math.isnan(many.skewness)
    few = examined([0.95, 0.951, 0.952, 0.953], paired=False)
    assert (few.second.method, few.second.agrees) == ("permutation", True)
    assert few.second.p == pytest.approx(1 / math.comb(10, 4))


def test_a_wider_robust_interval_is_called_less_sure() -> None:
    found = examined(lifted(0.009, 0.001, 0.004, 0.006, 0.002))
    assert not found.second.agrees
    assert "is less sure" in found.second.sentence
    assert "decides nothing, where the t interval excludes 0" in found.second.sentence


def test_an_equivalence_is_asked_again_too() -> None:
    steps = (0.0002, -0.0002, 0.0001, -0.0001, 0.0002, -0.0002)
    assert examined(lifted(*steps), margin=0.01).second.agrees
    assert not examined(lifted(*steps), margin=0.00025).second.agrees


def test_one_seed_has_no_second_opinion() -> None:
    found = examined([0.9], [0.8])
    assert (found.second.method, found.second.agrees) == ("none", None)
