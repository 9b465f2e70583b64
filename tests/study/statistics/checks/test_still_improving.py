import math

import pandas as pd
import pytest

from regbench.study.comparisons import Comparison
from regbench.study.statistics.checks.still_improving import still_improving

RUN = {"study": "s", "dataset": "digits", "model": "mlp", "split_seed": 0}


def family(
    best: list[int],
    epochs: int = 20,
    trained: int | None = None,
    checkpoint: str = "best",
    test: list[float] | None = None,
    rates: tuple[float, float] = (0.1, 0.1),
) -> Comparison:
    runs, history = [], []
    for seed, epoch in enumerate(best):
        key = {**RUN, "label": "dropout", "config_hash": "a", "seed": seed}
        runs.append({**key, "epochs": epochs, "best_epoch": epoch, "checkpoint": checkpoint})
        for step in range(trained or epochs):
            rate = rates[0] + (rates[1] - rates[0]) * step / max(epochs - 1, 1)
            history.append({**key, "epoch": step, "lr": rate, "test/acc": test[step] if test else math.nan})
    return Comparison("", None, ("dropout",), pd.DataFrame(runs), pd.DataFrame(history))


def test_runs_that_were_best_at_the_last_epoch_were_still_improving() -> None:
    found = still_improving(family([19, 19, 19, 19, 19]))["dropout"]
    assert (found.runs, found.at_last, found.share) == (5, 5, 1.0)
    assert found.sentence == (
        "5 of 5 runs of dropout were best at the last epoch: they were still improving, so the budget of 20 epochs "
        "decides: more may change the verdict."
    )


def test_the_last_tenth_counts_where_the_last_epoch_alone_does_not() -> None:
    found = still_improving(family([54, 58, 56, 59, 20], epochs=60))["dropout"]
    assert (found.at_last, found.late, found.window) == (1, 4, 6)
    assert "4 of 5 runs of dropout were best in the last 6 of 60 epochs: they were probably still" in found.sentence


def test_less_than_half_of_the_runs_say_nothing() -> None:
    assert still_improving(family([19, 19, 3, 4, 5]))["dropout"].sentence == ""
    assert still_improving(family([0], epochs=1))["dropout"].sentence == ""


def test_one_run_is_told_in_the_singular() -> None:
    alone = still_improving(family([19]))["dropout"].sentence
    assert alone.startswith("The only run of dropout was best at the last epoch: it was still improving")
    assert still_improving(family([19, 3]))["dropout"].sentence.startswith("1 of 2 runs of dropout was best")


def test_a_rate_that_falls_to_the_end_of_the_budget_explains_a_late_best_epoch() -> None:
    sentence = still_improving(family([19, 19], rates=(0.1, 0.0)))["dropout"].sentence
    assert "the learning rate falls toward the end" in sentence
    assert "still improving" not in sentence


def test_runs_that_early_stopping_ended_do_not_count() -> None:
    found = still_improving(family([9, 9], trained=10))["dropout"]
    assert found.runs == 0
    assert math.isnan(found.share)


def test_without_validation_the_recorded_test_curve_is_read_and_else_nothing_is_known() -> None:
    rising = [0.5 + step / 100 for step in range(20)]
    assert still_improving(family([19, 19], checkpoint="last", test=rising))["dropout"].at_last == 2
    assert still_improving(family([19, 19], checkpoint="last", test=rising[::-1]))["dropout"].at_last == 0
    assert still_improving(family([19, 19], checkpoint="last"))["dropout"].runs == 0


@pytest.mark.parametrize("history", [pd.DataFrame(), pd.DataFrame({"label": ["dropout"]})])
def test_without_a_history_the_budget_counts_as_trained(history: pd.DataFrame) -> None:
    known = family([19, 19])
    found = still_improving(Comparison("", None, known.labels, known.runs, history))["dropout"]
    assert found.at_last == 2
