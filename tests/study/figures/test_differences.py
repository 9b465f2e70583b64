"""The figures show what their data says: positions, colours and words are read back from the SVG."""

import numpy as np
import pandas as pd

from regbench.study.figures.differences import forest_plot, gap_plot, seed_plot
from tests.study.figures.drawn import STYLES, runs, texts


def test_the_forest_names_difference_and_verdict():
    frame = pd.DataFrame(
        [
            {"label": "batchnorm", "mean": 0.0121, "low": 0.009, "high": 0.015, "verdict": "better"},
            {"label": "dropout", "mean": -0.002, "low": np.nan, "high": np.nan, "verdict": "too few seeds"},
        ]
    )
    picture = forest_plot("differences", frame, STYLES, "none", 0.003)
    assert {"+1.21, better", "−0.20, too few seeds"} <= set(texts(picture))
    assert STYLES["batchnorm"].color in picture.svg


def test_seeds_and_gap_show_mean_and_deviation():
    assert "90.10 ± 0.10, n = 3" in texts(seed_plot("seeds", runs(), STYLES))
    assert "gap 3.00 ± 0.00" in texts(gap_plot("gap", runs(), STYLES))
    assert "gap 3.00" in texts(gap_plot("gap", runs(seeds=1), STYLES))
