"""The figures show what their data says: positions, colours and words are read back from the SVG."""

import re

import numpy as np
import pandas as pd
import pytest

from regbench.drawing.style import setting_styles
from regbench.study.figures.advantage import advantage_plot, leader_sentence
from regbench.study.figures.curves import convergence_plot, run_curves
from tests.study.figures.drawn import LABELS, STYLES, texts


def history(labels=("none",), epochs=4, seeds=3):
    rows = [
        {"label": label, "seed": seed, "epoch": epoch, "val/acc": 0.8 + 0.02 * epoch + 0.01 * seed, "val/loss": 1.0}
        for label in labels
        for seed in range(seeds)
        for epoch in range(epochs)
    ]
    return pd.DataFrame(rows)


def advantage(leads):
    """Rows of an advantage by epoch from {label: [mean at epoch 1, 2, …]}."""
    rows = [
        {"label": label, "epoch": epoch, "mean": mean, "low": mean - 0.01, "high": mean + 0.01}
        for label, means in leads.items()
        for epoch, mean in enumerate(means)
    ]
    return pd.DataFrame(rows)


def test_convergence_shows_percent_and_counts_epochs_from_one():
    picture = convergence_plot("accuracy-val", history(LABELS), {"none": 3}, "val/acc", STYLES)
    assert {"1", "4"} <= set(texts(picture))
    assert "0" not in texts(picture)
    assert "accuracy, %" in texts(picture)
    assert set(LABELS) <= set(texts(picture))


def test_mean_and_band_over_seeds_are_those_of_the_runs():
    """Three seeds a point apart have a standard deviation of one point; heights are read off the axis' grid lines."""
    svg = convergence_plot("accuracy-val", history(), {}, "val/acc", {"none": STYLES["none"]}).svg
    grid = re.findall(r'id="ytick_\d+">.*?M \S+ (\S+) .*?>(\d+)</text>', svg, re.S)
    (y, low), *_, (top, high) = [(float(place), float(value)) for place, value in grid]
    color = STYLES["none"].color

    def shown(path, offset=0.0):
        places = [float(each) + offset for each in re.findall(r"[ML] \S+ (\S+)", path)]
        return [low + (place - y) / (top - y) * (high - low) for place in places]

    line = re.search(rf'<path d="([^"]+)" [^>]*stroke: {color}', svg)[1]
    assert shown(line) == pytest.approx([81, 83, 85, 87])
    area = r'<path id="\w+" d="([^"]+)"/>\s*</defs>\s*<g [^>]*>\s*<use [^>]*y="(\S+)" style="fill: '
    band, offset = re.search(area + color, svg).groups()
    heights = {round(height, 6) for height in shown(band, float(offset))}
    assert heights == {80, 82, 84, 86, 88}


def test_values_that_are_not_finite_leave_gaps_instead_of_errors():
    rows = history()
    rows.loc[0, "val/loss"] = np.inf
    rows.loc[1, "val/loss"] = np.nan
    picture = convergence_plot("loss-val", rows, {"none": np.nan}, "val/loss", {"none": STYLES["none"]})
    assert "cross-entropy" in texts(picture)


def test_the_leader_by_epoch_is_named_in_a_sentence():
    frame = advantage({"batchnorm": [0.02, 0.01, -0.01], "dropout": [-0.03, -0.01, -0.02]})
    assert leader_sentence(frame, "none") == "The highest mean: batchnorm from epoch 1 to 2, none from epoch 3."
    steady = advantage({"batchnorm": [0.02, 0.01]})
    assert leader_sentence(steady, "none") == "batchnorm has the highest mean at every epoch."


def test_a_lead_that_often_changes_is_told_briefly():
    frame = advantage({"batchnorm": [0.01, -0.01] * 10})
    assert "then the lead changes often" in leader_sentence(frame, "none")


def test_the_advantage_draws_the_baseline_and_every_setting():
    picture = advantage_plot("advantage", advantage({"batchnorm": [0.01, 0.02], "dropout": [0, 0]}), STYLES, "none")
    assert {"none (baseline)", "batchnorm", "dropout"} <= set(texts(picture))
    assert "batchnorm has the highest mean at every epoch." in picture.caption


def test_a_run_of_one_epoch_still_shows_its_points():
    picture = run_curves("accuracy", history(epochs=1, seeds=1), 0.0, "acc")
    assert "chosen checkpoint, epoch 1" in texts(picture)


def test_many_settings_get_a_panel_each_with_the_baseline_behind():
    labels = ["none", *(f"l1 c={strength}" for strength in range(12)), "confidence_penalty"]
    styles = setting_styles(labels)
    picture = convergence_plot("x", history(labels), dict.fromkeys(labels, 3), "val/acc", styles, baseline="none")
    shown = texts(picture)
    assert {*labels[:-1], "confidence_", "penalty"} <= set(shown)
    assert shown.count("87.00 at epoch 4") == len(labels)
    assert len(picture.figure.axes) == len(labels)
    assert "Grey: none." in picture.caption
    leads = advantage({label: [0.01, 0.02] for label in labels[1:]})
    shown = texts(advantage_plot("x", leads, styles, "none"))
    assert shown.count("+2.00 at epoch 2") == len(labels) - 1
