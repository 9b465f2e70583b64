import pytest

from regbench.search.choosing import chance, choose, find_finalists
from regbench.storage.tuning import FinalistRecord, TrialRecord


def trial(number: int, score: float | None, state: str = "finished", rate: float | None = None) -> TrialRecord:
    values = {"optimizer.lr": float(number if rate is None else rate)}
    return TrialRecord.model_validate(
        {
            "number": number,
            "values": values,
            "state": state,
            "score": score,
            "accuracy": score,
            "epochs": 1,
            "folder": "",
        }
    )


def test_finalists_are_the_best_whole_trials_and_the_earlier_of_two_equal_ones() -> None:
    trials = [trial(0, 0.7), trial(1, 0.9), trial(2, 0.9), trial(3, 0.99, "pruned"), trial(4, 0.1, "diverged")]
    assert [each.number for each in find_finalists(trials, 2, "val/acc")] == [1, 2]
    assert [each.number for each in find_finalists(trials, 9, "val/acc")] == [1, 2, 0]
    assert [each.number for each in find_finalists(trials, 2, "val/loss")] == [0, 1]


def test_the_same_values_are_a_finalist_once() -> None:
    trials = [trial(0, 0.9, rate=0.1), trial(1, 0.9, rate=0.1), trial(2, 0.8, rate=0.2)]
    assert [each.number for each in find_finalists(trials, 2, "val/acc")] == [0, 2]


def test_the_best_mean_is_chosen_and_nothing_before_all_scores_are_there() -> None:
    finalists = [FinalistRecord(trial=4, scores=[0.8, 0.6]), FinalistRecord(trial=2, scores=[0.72, 0.7])]
    assert choose(finalists, "val/acc") == 2
    assert choose(finalists, "val/loss") == 4
    assert choose([*finalists, FinalistRecord(trial=3, scores=[0.9, None])], "val/acc") is None
    assert choose([], "val/acc") is None


def test_chance_is_what_guessing_scores() -> None:
    assert chance("val/acc", 10) == 0.1
    assert chance("val/loss", 10) == pytest.approx(2.302585093)
