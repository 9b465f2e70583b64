"""Published gains beside ours, and what the curves of R1's study tell."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from tools.published.course import course_table, courses, reading
from tools.published.gains import gains, gains_by_rate, hidden_dropout, interval_of_two_runs
from tools.published.values import R1, R2_HIDDEN, R2_RATE, Value

from regbench.study.comparisons import comparisons
from tests.tools.published import LEVELS, study_of, with_test_curves


def published(report: str, **levels: float) -> list[Value]:
    return [Value(report, R1, setting, "test/acc", level) for setting, level in levels.items()]


def test_the_interval_of_two_runs_takes_them_as_independent() -> None:
    ours, baseline = np.array([1.0, 2.0, 4.0, 5.0]), np.array([0.0, 0.5, 0.1])
    low, high = interval_of_two_runs(ours, baseline)
    assert (low + high) / 2 == pytest.approx(3.0 - 0.2)
    # Variances 10/3 and 0.07, times 1 + 1/n; Welch's degrees of freedom from these parts.
    parts = 10 / 3 * 5 / 4, 0.07 * 4 / 3
    df = sum(parts) ** 2 / (parts[0] ** 2 / 3 + parts[1] ** 2 / 2)
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, df) * sum(parts) ** 0.5)


def test_the_interval_of_two_runs_covers_95_percent() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        low, high = interval_of_two_runs(rng.normal(1, 0.2, 5), rng.normal(0, 0.15, 5))
        hits += low <= rng.normal(1, 0.2) - rng.normal(0, 0.15) <= high
    assert 0.935 < hits / 2000 < 0.97


def test_a_published_gain_is_inside_or_outside_the_interval_of_two_runs(tmp_path: Path) -> None:
    study = study_of(tmp_path / R1, {"none": 0.89, "dropout": 0.87})
    inside = gains(published("R9", none=89.0, dropout=87.0), {R1: study}).splitlines()
    outside = gains(published("R9", none=89.0, dropout=89.5), {R1: study}).splitlines()
    assert len(inside) == len(outside) == 3
    assert inside[2].startswith("| R9 | r1_lenet5_fashion_mnist | dropout | test % | −2.00 | −")
    assert inside[2].endswith("| inside |")
    assert "| +0.50 | −" in outside[2]
    assert outside[2].endswith("| **outside** |")
    assert (
        gains(published("R9", none=89.0, dropout=87.0), {}).splitlines()[2].endswith("| −2.00 | not run yet | – | – |")
    )


def test_gains_at_both_rates_stand_beside_r2s(tmp_path: Path) -> None:
    slow, fast = study_of(tmp_path / "slow"), study_of(tmp_path / "fast", {**LEVELS, "batchnorm": 0.89})
    values = published("R2", none=88.98, batchnorm=90.91)
    row = gains_by_rate(values, {R1: slow, R2_RATE: fast}).splitlines()[2]
    assert row.startswith("| batchnorm | +1.93 | +")
    assert "| better |" in row
    assert row.endswith(("| undecided |", "| equivalent |"))
    assert gains_by_rate(values, {R1: slow}) == "Not run yet."


def test_hidden_dropout_is_paired_with_the_baseline_of_the_other_study(tmp_path: Path) -> None:
    baseline, hidden = study_of(tmp_path / "r1"), study_of(tmp_path / "hidden", {"dropout": 0.85})
    values = [*published("R2", none=88.98, dropout=88.97), Value("R2", R1, "dropout", "train/acc", 89.11)]
    lines = hidden_dropout(values, {R1: baseline, R2_HIDDEN: hidden}).splitlines()
    ours, none = (
        study.runs[study.runs["setting"] == name].set_index("seed")["test/acc"]
        for study, name in ((hidden, "dropout"), (baseline, "none"))
    )
    assert len(lines) == 6
    assert f"−{abs(100 * (ours - none).mean()):.2f} (" in lines[-1]
    assert "), worse | " in lines[-1]
    assert lines[-1].endswith("| **outside** |")
    assert hidden_dropout(values, {R1: baseline}) == "Not run yet."


def test_a_course_counts_the_epochs_below_the_baseline_and_averages_the_last_ten(tmp_path: Path) -> None:
    flat = [0.80] * 12
    behind = [0.81, 0.81] + [0.79] * 10
    study = with_test_curves(study_of(tmp_path / "study"), {**dict.fromkeys(LEVELS, flat), "dropout": behind})
    (family,) = comparisons(study)
    course = courses(family)["dropout"]
    assert course.behind == 10
    assert course.late.mean == pytest.approx(-0.01, abs=1e-4)
    assert course.late.verdict == "worse"
    (row,) = (line for line in course_table(study).splitlines() if line.startswith("| dropout"))
    assert row.startswith("| dropout | −1.00, −1.00 | −1.00 (")
    assert "| 10 of 12 | " in row


def test_the_reading_tells_what_the_curves_show(tmp_path: Path) -> None:
    epochs = 20
    curves = {
        "none": [0.80] * epochs,
        "batchnorm": [0.83] * 10 + [0.81] * 10,
        "dropout": [0.79] * epochs,
        "weight_decay": [0.7975] * epochs,
    }
    study = with_test_curves(study_of(tmp_path / "study", epochs=epochs), curves)
    counted = 0.7 + 0.001 * study.history["epoch"]
    study = replace(study, history=study.history.assign(**{"train/acc_online": counted}))
    text = " ".join(reading(study).split())
    assert "its lead shrinks from 3.00 points after 5 epochs to 1.00 after 20:" in text
    assert "costs 1.00 points. Its deficit was 1.00 after 20 epochs" in text
    assert "train accuracy rose by 1.00 points or more over the last 10 epochs" in text
    assert "below the baseline's after 20 of 20 epochs, and over the last 10 by 0.25 points (0.2" in text
