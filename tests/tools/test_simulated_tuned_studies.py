import re

import numpy as np
import pytest
from tools.simulations.tuned import COSTS, NOISES, RUNS, STUDIES, false_verdicts, tuned

from tests.commands import ROOT

PAGE = (ROOT / "docs/tuning.md").read_text(encoding="utf-8")
ROWS = [[float(cell) for cell in line.strip("| ").split(" | ")] for line in re.findall(r"^\| [\d. |]+ \|$", PAGE, re.M)]


def test_the_committed_table_holds_every_case_and_no_share_above_five_percent() -> None:
    assert [tuple(row[:3]) for row in ROWS] == [(c, n, r) for c in COSTS for n in NOISES for r in RUNS]
    assert max(row[4] for row in ROWS) < 5
    assert max(row[3] for row in ROWS) > 40


@pytest.mark.parametrize("number", [4, 24])
def test_a_row_of_the_committed_table_is_what_is_drawn(number: int) -> None:
    cost, noise, run, *shown = ROWS[number]
    drawn = false_verdicts(cost, noise, run, STUDIES, np.random.default_rng(number))
    assert shown == [round(100 * each, 1) for each in drawn]


def test_without_noise_the_best_trial_is_chosen() -> None:
    rng = np.random.default_rng(0)
    again = np.random.default_rng(0)
    quality, _ = tuned(2.0, 0.0, rng)
    assert quality == max(-2.0 * again.uniform(-1, 1, 30) ** 2)
