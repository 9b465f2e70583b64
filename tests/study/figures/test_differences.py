"""The figures show what their data says: positions, colours and words are read back from the SVG."""

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg

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


def test_no_line_runs_through_what_is_written_of_a_setting():
    """The zero line, red here, stands where all verdicts are written."""
    styles = STYLES | {"none": replace(STYLES["none"], color="#ff0000")}
    frame = pd.DataFrame(
        [
            {"label": label, "mean": mean, "low": mean - 0.001, "high": mean + 0.001, "verdict": "worse"}
            for label, mean in (("batchnorm", -0.02), ("dropout", -0.003))
        ]
    )
    figure = forest_plot("differences", frame, styles, "none", 0.001).figure
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    red, green, blue, _ = np.moveaxis(np.asarray(canvas.buffer_rgba()).astype(int), -1, 0)
    is_red = (red - green > 60) & (red - blue > 60)
    (axes,) = figure.axes
    zero = axes.transData.transform((0, 0))[0]
    crossed = [box for text in axes.texts if (box := text.get_window_extent()).x0 < zero < box.x1]
    assert len(crossed) == 2
    for box in crossed:
        rows = slice(round(is_red.shape[0] - box.y1), round(is_red.shape[0] - box.y0))
        assert not is_red[rows, round(box.x0) : round(box.x1)].any()
    assert is_red[:, round(zero) - 1 : round(zero) + 2].any(axis=1).sum() > 0.4 * is_red.shape[0]
