import numpy as np
import pandas as pd
import pytest

from regbench.study.statistics.checks.outliers import LIMIT, find_outlying, robust_scores, unusual_pairs


def by_seed(*values: float) -> pd.Series:
    index = pd.MultiIndex.from_tuples([(seed, seed) for seed in range(len(values))], names=["seed", "split_seed"])
    return pd.Series(values, index=index)


def test_the_score_of_a_hand_computed_family() -> None:
    ours, theirs = np.array([0.0, 1.0, 2.0, 3.0, 20.0]), np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    # Deviations without each group's 0: 2 1 1 18 and 2 1 1 2, median 1.5; a group's own 1, times 1.206 · 0.65, is less.
    scores = robust_scores([ours, theirs])
    assert scores[0][-1] == pytest.approx(18 / (1.4826 * 1.5))
    assert scores[1][0] == pytest.approx(2 / (1.4826 * 1.5))


def test_a_setting_that_scatters_widely_is_measured_by_its_own_spread() -> None:
    wide, narrow = np.arange(0.0, 130.0, 10.0), np.linspace(0, 1, 13)
    own = 1.4826 * 13 / 12.2 * 30
    assert robust_scores([wide, narrow, narrow, narrow])[0][0] == pytest.approx(60 / own)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_clean_studies_are_rarely_flagged_and_a_collapsed_run_is_found(n: int) -> None:
    values = np.random.default_rng(n).normal(size=(4, 2000, n))
    assert (np.stack(robust_scores(list(values))) > LIMIT).any(axis=(0, 2)).mean() < 0.06
    values[0, :, 0] -= 16
    assert (robust_scores(list(values))[0][:, 0] > LIMIT).mean() > 0.94


def test_where_most_runs_tie_the_mean_deviation_serves() -> None:
    ties = np.array([0.9, 0.9, 0.9, 0.9, 0.9, 0.5])
    (scores,) = robust_scores([ties])
    assert scores[-1] == pytest.approx(0.4 / (1.2533 * 0.4 / 5))
    assert not scores[:-1].any()


@pytest.mark.parametrize("groups", [[[0.9] * 5, [0.8] * 5], [[0.1, 0.9], [0.5, 0.6]], [[0.9], [0.8]], [[], [0.8]]])
def test_without_spread_or_with_two_runs_nothing_is_unusual(groups: list[list[float]]) -> None:
    scores = robust_scores([np.array(group) for group in groups])
    assert [each.shape for each in scores] == [(len(group),) for group in groups]
    assert not np.concatenate(scores).any()


def test_the_collapsed_run_is_named_whether_it_is_the_settings_or_the_baselines() -> None:
    values = {
        "none": by_seed(0.90, 0.91, 0.40, 0.89, 0.90),
        "dropout": by_seed(0.91, 0.90, 0.90, 0.92, 0.10),
        "batchnorm": by_seed(0.92, 0.91, 0.92, 0.93, 0.92),
    }
    found = find_outlying(values)
    assert [(run.label, run.seed, run.value, run.median) for run in found] == [
        ("dropout", 4, 0.10, 0.90),
        ("none", 2, 0.40, 0.90),
    ]
    assert found[0].score > found[1].score > LIMIT


def test_a_seed_that_is_hard_for_both_makes_no_unusual_pair() -> None:
    setting, baseline = by_seed(0.91, 0.92, 0.90, 0.92, 0.50), by_seed(0.90, 0.91, 0.89, 0.90, 0.49)
    found = find_outlying({"none": baseline, "dropout": setting})
    assert {run.seed for run in found} == {4}
    assert unusual_pairs(found, setting, baseline) == []
    lonely = by_seed(0.90, 0.91, 0.89, 0.90, 0.91)
    assert [run.label for run in unusual_pairs(find_outlying({"d": setting, "none": lonely}), setting, lonely)] == ["d"]


def test_the_split_is_named_where_a_seed_has_several_runs() -> None:
    index = pd.MultiIndex.from_tuples([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)])
    (found,) = find_outlying({"dropout": pd.Series([0.90, 0.91, 0.90, 0.20, 0.92], index=index)})
    assert (found.name, found.key) == ("seed 1, split 1", (1, 1))
    (found,) = find_outlying({"dropout": pd.Series([0.90, 0.91, 0.90, 0.20, 0.92], index=range(5))})
    assert (found.name, found.key) == ("seed 3", (3,))
