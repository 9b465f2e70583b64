"""Figures of accuracy and gap against a number that was varied, such as a technique's strength."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from regbench.drawing.series import in_series
from regbench.drawing.style import FAINT, INK, PAPER, SettingStyle, figure_style, legend_below, new_figure, shorten
from regbench.study.figures.differences import present_labels
from regbench.study.figures.rendering import DrawnFigure, Value

_SPLITS = (
    ("train/acc", "training", "#0072b2", "o", "-"),
    ("val/acc", "validation", "#d55e00", "s", (0, (5, 1.5))),
    ("test/acc", "test", "#009e73", "D", ":"),
)
_POINTWISE = "Means over seeds; each interval is a 95 % t-interval of its own point."


def parameter_plots(
    name: str, runs: pd.DataFrame, key: str, log: bool, picked: float | None
) -> tuple[DrawnFigure, DrawnFigure]:
    """Accuracy and gap of one technique against its strength, and the strength that validation picks.

    Args:
        name: The files' common stem.
        runs: Rows with ``value``, ``train/acc``, ``val/acc``, ``test/acc`` and ``gap``, one row per run.
        key: The parameter's name for the axis.
        log: Draw the strengths on a log axis; a strength of 0 gets a place of its own left of the others.
        picked: The strength with the best validation accuracy, for a line; None where there is no validation.
    """
    told = "" if picked is None else f" Validation picks {shorten(key)} = {picked:g}."
    with figure_style():
        first, axes = new_figure()
        values: list[Value] = []
        for column, split, color, marker, dash in _SPLITS:
            values += _against(axes, runs, column, split, SettingStyle(color, marker, dash), log)
        _value_axis(first, axes, runs["value"], key, log, picked)
        axes.set_ylabel("accuracy, %")
        axes.set_title(f"Accuracy against {shorten(key, 26)}")
        second, axes = new_figure()
        gaps = _against(axes, runs, "gap", "training minus test", SettingStyle("#9d6fd1", "o", "-"), log)
        axes.axhline(0, color=FAINT, lw=1)
        _value_axis(second, axes, runs["value"], key, log, picked)
        axes.set_ylabel("gap, points")
        axes.set_title(f"Gap against {shorten(key, 28)}")
        ending = f"{_POINTWISE}{told}"
        return (
            DrawnFigure(
                f"{name}-accuracy", f"Accuracy of the chosen checkpoints against {key}. {ending}", first, values
            ),
            DrawnFigure(f"{name}-gap", f"Training minus test accuracy against {key}. {ending}", second, gaps),
        )


def setting_plots(
    name: str, runs: pd.DataFrame, key: str, log: bool, styles: Mapping[str, SettingStyle]
) -> tuple[DrawnFigure, DrawnFigure]:
    """Test accuracy and gap against a numeric axis that several settings share, such as ``train_size``."""
    drawn = []
    for column, quantity in (("test/acc", "test accuracy, %"), ("gap", "gap, points")):
        with figure_style():
            figure, axes = new_figure()
            values: list[Value] = []
            for label in present_labels(runs, styles):
                values += _against(axes, runs[runs["label"] == label], column, label, styles[label], log)
            _value_axis(figure, axes, runs["value"], key, log, None)
            axes.set_ylabel(quantity)
            title = "Test accuracy" if column == "test/acc" else "Gap"
            axes.set_title(f"{title} against {shorten(key, 24)}")
            stem = "accuracy" if column == "test/acc" else "gap"
            caption = f"{title} of every setting against {key}. {_POINTWISE}"
            drawn.append(DrawnFigure(f"{name}-{stem}", caption, figure, values))
    return drawn[0], drawn[1]


def _against(axes: Axes, runs: pd.DataFrame, column: str, label: str, style: SettingStyle, log: bool) -> list[Value]:
    """Draw mean and t-interval of one column at every value, and return what they say."""
    if column not in runs or runs[column].notna().sum() == 0:
        return []
    grouped = (100 * runs[column].astype(float)).groupby(runs["value"].astype(float))
    mean, count = grouped.mean(), grouped.count().to_numpy()
    deviation = np.nan_to_num(np.asarray(grouped.std(), dtype=float))
    half = deviation / np.sqrt(count) * stats.t.ppf(0.975, np.maximum(count - 1, 1))
    places = _places(mean.index.to_numpy(dtype=float), log)
    drawn = axes.errorbar(
        places, mean, yerr=half, color=style.color, ls=style.dash, marker=style.marker, ms=5,
        mec=PAPER, mew=0.6, lw=1.6, elinewidth=1.3, capsize=2.5, label=shorten(label),
    )  # fmt: skip
    in_series(label, drawn)
    return [
        Value(axes, place, middle, f"{value:g}: {middle:.2f} ({middle - spread:.2f} to {middle + spread:.2f})", label)
        for place, value, middle, spread in zip(places, mean.index, mean, half, strict=True)
    ]


def _places(values: Sequence[float] | np.ndarray, log: bool) -> np.ndarray:
    """Where values stand on the axis: on a log axis 0 is set as far left of the smallest as that from its neighbour."""
    found = np.asarray(values, dtype=float)
    if not log:
        return found
    positive = np.sort(np.unique(found[found > 0]))
    step = positive[1] / positive[0] if positive.size > 1 else 10.0
    return np.where(found > 0, found, positive[0] / step)


def _value_axis(
    figure: Figure, axes: Axes, values: "pd.Series[float]", key: str, log: bool, picked: float | None
) -> None:
    ticks = np.sort(values.astype(float).unique())
    places = _places(ticks, log)
    if log:
        axes.set_xscale("log")
    if picked is not None:
        where = float(_places([picked, *ticks], log)[0])
        axes.axvline(where, color=INK, lw=1, ls=(0, (2, 2)), label=f"picked on validation: {picked:g}", zorder=1)
    keep = _apart(places, log)
    axes.set_xticks(places[keep], [f"{tick:g}".replace("e-0", "e-") for tick in ticks[keep]])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(shorten(key))
    legend_below(figure, axes)


def _apart(places: np.ndarray, log: bool) -> list[int]:
    """Which ticks can be named without touching: each at least an eleventh of the axis from the one before."""
    scale = np.log(places) if log else places
    least = (scale.max() - scale.min()) / 11
    keep: list[int] = []
    for index, place in enumerate(scale):
        if not keep or place - scale[keep[-1]] >= least:
            keep.append(index)
    return keep
