"""Figures of a family of settings: differences with intervals, every seed, and the generalization gap.

All take plain DataFrames whose accuracies are fractions, and show percent and points. Names stand above their row, so
that long ones cost no room on a phone.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from regbench.drawing.series import in_series
from regbench.drawing.style import FAINT, PAPER, RULE, SettingStyle, figure_style, new_figure, shorten
from regbench.study.figures.rendering import DrawnFigure, Value
from regbench.study.formatting import change, interval, mean_sd_of
from regbench.study.measured import ACCURACY, Quantity

_MOST_SEEDS = 100
_MANY_ROWS = 8


def forest_plot(
    name: str,
    frame: pd.DataFrame,
    styles: Mapping[str, SettingStyle],
    baseline: str,
    margin: float,
    limits: tuple[float, float] | None = None,
    title: str = "",
    quantity: Quantity = ACCURACY,
) -> DrawnFigure:
    """Each setting's difference from the baseline with its interval, and the verdict beside it.

    Args:
        name: The file's stem.
        frame: Rows with ``label``, ``mean``, ``low``, ``high``, ``verdict``, in the quantity's unit, as fractions.
        styles: A style for each label.
        baseline: The baseline's label, which is the zero line.
        margin: Half the width of the shaded band of differences too small to matter, in the same unit; NaN for none.
        limits: Ends of the axis as it is shown, so that figures side by side share it.
        title: Overrides the usual title.
        quantity: What differs.
    """
    with figure_style():
        figure, axes = _rows(len(frame))
        values = []
        scale = quantity.scale
        if np.isfinite(margin):
            axes.axvspan(-scale * margin, scale * margin, color=RULE, alpha=0.6, lw=0, zorder=0)
        axes.axvline(0, color=styles[baseline].color if baseline in styles else FAINT, lw=1.4, zorder=1)
        for row, entry in enumerate(frame.to_dict("records")):
            style, y = styles[str(entry["label"])], -float(row)
            mean, low, high = (scale * float(entry[key]) for key in ("mean", "low", "high"))
            parts = axes.plot([mean], [y], style.marker, color=style.color, ms=7.5, mec=PAPER, mew=0.8, zorder=4)
            if np.isfinite(low) and np.isfinite(high):
                parts += axes.plot([low, high], [y, y], color=style.color, lw=2.4, solid_capstyle="butt")
                parts += axes.plot([low, high], [y, y], "|", color=style.color, ms=8, mew=1.6)
            differs = change(entry["mean"], quantity.kind)
            told = _row_text(axes, y, shorten(entry["label"], 30), f"{differs}, {entry['verdict']}")
            in_series(str(entry["label"]), parts, told)
            between = f" ({interval(entry['low'], entry['high'], quantity.kind)})" if np.isfinite(low) else ""
            values.append(Value(axes, mean, y, f"{differs}{between}, {entry['verdict']}", str(entry["label"])))
        axes.margins(x=0.08)
        if limits is not None:
            axes.set_xlim(limits)
        axes.set_xlabel(f"{quantity.words} minus that of {shorten(baseline, 24)}{quantity.unit}")
        axes.set_title(shorten(title, 48) or "Difference from the baseline")
        caption = (
            f"Mean difference in {quantity.words} from {baseline}, with intervals that hold for all settings at once. "
        )
        caption += _about_margin(margin, quantity)
        return DrawnFigure(name, f"{title}: {caption}" if title else caption, figure, values)


def _about_margin(margin: float, quantity: Quantity) -> str:
    if not np.isfinite(margin):
        better = "higher" if quantity.kind.higher_is_better else "lower"
        return f"A {better} value is better. There is no margin, so that nothing is called equivalent."
    return (
        f"The shaded band is the margin, ±{quantity.size(margin)}: a setting is equivalent where its "
        "interval lies inside the band, and undecided where it holds 0 and leaves the band."
    )


def seed_plot(
    name: str, runs: pd.DataFrame, styles: Mapping[str, SettingStyle], quantity: Quantity = ACCURACY
) -> DrawnFigure:
    """Every run's test accuracy, or another metric, as a point, the same seed at the same height in every row.

    A bar is the mean.
    """
    labels = present_labels(runs, styles)
    shown, told = some_seeds(runs)
    heights = {seed: step for step, seed in enumerate(shown)}
    with figure_style():
        figure, axes = _rows(len(labels))
        places = []
        for row, label in enumerate(labels):
            own, style = runs[runs["label"] == label], styles[label]
            values = quantity.scale * own[quantity.column].astype(float)
            drawn = own["seed"].isin(shown)
            spread = [-row + 0.14 - 0.4 * (heights[seed] + 0.5) / len(heights) for seed in own.loc[drawn, "seed"]]
            parts = axes.plot(values[drawn], spread, style.marker, color=style.color, ms=5, alpha=0.75, mew=0)
            parts += axes.plot([values.mean()] * 2, [-row - 0.28, -row + 0.16], color=style.color, lw=2.4)
            mean = mean_sd_of(values, digits=quantity.digits)
            in_series(label, parts, _row_text(axes, -row, shorten(label, 36), f"{mean}, n = {values.notna().sum()}"))
            unit = " %" if quantity.kind.fraction else ""
            places.append(Value(axes, float(values.mean()), -row - 0.06, f"mean {mean}{unit}", label))
            places += [
                Value(axes, value, height, f"seed {seed}: {value:.{quantity.digits}f}{unit}", label)
                for seed, value, height in zip(own.loc[drawn, "seed"], values[drawn], spread, strict=True)
            ]
        axes.set_xlabel(quantity.axis)
        axes.set_title(f"Every seed's {quantity.words}")
        caption = (
            f"{quantity.title} of every run; the bar is the mean. In every row the same seed stands at the same "
            f"height. Numbers are the mean ± one standard deviation.{told}"
        )
        return DrawnFigure(name, caption, figure, places)


def gap_plot(name: str, runs: pd.DataFrame, styles: Mapping[str, SettingStyle]) -> DrawnFigure:
    """The generalization gap: test accuracy (full) joined to training accuracy (hollow), one row per setting."""
    labels = present_labels(runs, styles)
    shown, told = some_seeds(runs)
    with figure_style():
        figure, axes = _rows(len(labels))
        places = []
        for row, label in enumerate(labels):
            own, style = runs[runs["label"] == label], styles[label]
            drawn = own["seed"].isin(shown)
            train, test = (100 * own[key].astype(float) for key in ("train/acc", "test/acc"))
            parts = axes.plot([test.mean(), train.mean()], [-row, -row], color=style.color, lw=3, alpha=0.45)
            for split, values, face in (("test", test, style.color), ("training", train, PAPER)):
                parts += axes.plot(values[drawn], [-row] * int(drawn.sum()), "|", color=style.color, ms=9, alpha=0.55)
                parts += axes.plot(
                    [values.mean()], [-row], style.marker, ms=7.5, mfc=face, mec=style.color, mew=1.5, zorder=4
                )
                places.append(Value(axes, float(values.mean()), -row, f"{split} {mean_sd_of(values)} %", label))
            in_series(label, parts, _row_text(axes, -row, shorten(label, 36), f"gap {mean_sd_of(own['gap'], 100)}"))
        axes.set_xlabel("accuracy, %: test (full), training (hollow)")
        axes.set_title("Generalization gap")
        caption = (
            "Test accuracy (full mark) and training accuracy (hollow mark), both of the chosen checkpoint in "
            "evaluation mode; ticks are single runs. Between them lies the generalization gap. A small gap is no merit "
            f"where the test accuracy is lower, too.{told}"
        )
        return DrawnFigure(name, caption, figure, places)


def some_seeds(runs: pd.DataFrame, most: int = _MOST_SEEDS) -> tuple[list[Any], str]:
    """Return the seeds that a figure has room for, evenly taken from all, and a sentence where these are not all."""
    seeds = sorted(runs["seed"].unique())
    if len(seeds) <= most:
        return seeds, ""
    places = np.linspace(0, len(seeds) - 1, most).round().astype(int)
    told = f" Drawn are {most} of the {len(seeds):,} seeds; numbers and means are of all."
    return [seeds[place] for place in places], told


def present_labels(runs: pd.DataFrame, styles: Mapping[str, SettingStyle]) -> list[str]:
    """Return the labels that have runs, in the order of their styles."""
    there = set(runs["label"])
    return [label for label in styles if label in there]


def _rows(count: int) -> tuple[Figure, Axes]:
    # Many rows stand closer, so that a figure of them fits a screen.
    figure, axes = new_figure(height=0.95 + (0.54 if count <= _MANY_ROWS else 0.46) * max(count, 1))
    axes.set_ylim(-count + 0.45, 0.72)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    return figure, axes


def _row_text(axes: Axes, y: float, left: str, right: str) -> list[Text]:
    # On paper of their own, since the zero line would run through a name that reaches so far.
    shared: dict[str, Any] = {
        "transform": axes.get_yaxis_transform(),
        "va": "bottom",
        "bbox": {"facecolor": PAPER, "edgecolor": "none", "pad": 0.8},
    }
    return [
        axes.text(0.0, y + 0.32, left, ha="left", fontsize=9, fontweight="bold", **shared),
        axes.text(1.0, y + 0.32, right, ha="right", fontsize=8.5, **shared),
    ]
