"""The figures show what their data says: positions, colours and words are read back from the SVG."""

import re

import numpy as np
import pandas as pd
import pytest

from regbench.study.figures.varied_parameters import parameter_plots, setting_plots
from tests.study.figures.drawn import LABELS, STYLES, texts


def strengths(values):
    rows = [
        {"value": value, "seed": seed, "val/acc": 0.9 + 0.001 * seed, "test/acc": 0.89, "train/acc": 0.92, "gap": 0.03}
        for value in values
        for seed in range(2)
    ]
    return pd.DataFrame(rows)


def test_a_log_axis_gives_zero_a_place_of_its_own():
    accuracy, gap = parameter_plots("wd", strengths([0, 1e-5, 1e-4, 1e-3]), "weight_decay coefficient", True, 1e-4)
    assert {"0", "1e-5", "0.0001", "0.001", "picked on validation: 0.0001"} <= set(texts(accuracy))
    assert "gap, points" in texts(gap)
    named = re.findall(r'anchor: middle; [^"]*" x="(\S+)"[^>]*>([^<]+)<', accuracy.svg)
    ticks = {text: float(x) for x, text in named}
    assert ticks["1e-5"] - ticks["0"] == pytest.approx(ticks["0.0001"] - ticks["1e-5"])


def test_an_axis_without_validation_is_drawn_without_a_pick():
    rows = strengths([0.1, 0.3, 0.5]).assign(**{"val/acc": np.nan})
    accuracy, _ = parameter_plots("p", rows, "dropout p", False, None)
    assert "validation" not in texts(accuracy)
    assert "test" in texts(accuracy)


def test_several_settings_share_a_numeric_axis():
    rows = pd.concat([strengths([100, 1000, 10000]).assign(label=label) for label in LABELS])
    accuracy, _ = setting_plots("size", rows, "train_size", True, STYLES)
    assert set(LABELS) <= set(texts(accuracy))
