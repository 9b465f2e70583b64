"""Figures over epochs: convergence, and one run's curves.

Epochs are 0-based in tables and 1-based in figures: "epoch 1" is the first. Accuracies are fractions in files and
percent here. ``probe`` is the fixed subset of the training images that is scored after every epoch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from regbench.drawing.series import in_series
from regbench.drawing.style import FAINT, INK, PAPER, SettingStyle, figure_style, legend_below, new_figure, shorten
from regbench.storage.schema import KINDS, Kind
from regbench.study.figures.panels import MOST_LINES, MOST_PANELS, curve_panels, label_panels, name_panel, told_epochs
from regbench.study.figures.rendering import DrawnFigure, Value
from regbench.study.formatting import mean_sd

SPLITS = {"probe": "training subset", "val": "validation", "test": "test"}
_SPLIT_STYLE = {"probe": ("#0072b2", "-", "o"), "val": ("#d55e00", (0, (5, 1.5)), "s"), "test": ("#009e73", ":", "D")}


def convergence_plot(
    name: str,
    history: pd.DataFrame,
    best: Mapping[str, float],
    column: str,
    styles: Mapping[str, SettingStyle],
    measured: Kind | None = None,
    baseline: str | None = None,
) -> DrawnFigure:
    """One quantity by epoch, one line per setting: the mean over seeds and a band of one standard deviation.

    More than eight settings get a panel each, the baseline in grey behind.

    Args:
        name: The file's stem.
        history: Rows with ``label``, ``seed``, ``epoch`` and ``column``; the labels in ``styles`` are drawn.
        best: For each label the epoch (0-based) of its chosen checkpoint, marked by a line from the axis to the curve.
        column: Such as ``val/acc``; all columns of its kind (``acc``, ``loss``) share one axis.
        styles: A style for each label, in the order of the legend.
        measured: What the column is, where it is no metric that every run has.
        baseline: The baseline's label.
    """
    split, name_of_kind = column.split("/")
    kind = measured or KINDS[name_of_kind]
    labels = list(styles)[:MOST_PANELS]
    title = f"{SPLITS[split].capitalize()} {kind.words}"
    with figure_style():
        curves = {label: _by_epoch(history[history["label"] == label], column, kind) for label in labels}
        curves = {label: curve for label, curve in curves.items() if not curve.empty}
        limits = _limits(history[history["label"].isin(labels)], name_of_kind, kind)
        together = len(curves) <= MOST_LINES
        if together:
            figure, axes = new_figure()
            panels = dict.fromkeys(curves, axes)
        else:
            figure, panels = curve_panels(list(curves), title)
        for label, curve in curves.items():
            style, panel = styles[label], panels[label]
            parts = _line_and_band(panel, curve, shorten(label), style.color, style.dash)
            parts += _mark_best(panel, curve, best.get(label), style.color, style.marker, limits[0])
            in_series(label, parts if together else [panel])
            if not together:
                _draw_behind(panel, curves.get(baseline or ""))
                name_panel(panel, label, _at_best(curve, best.get(label), kind))
        values = [each for label, curve in curves.items() for each in _values(panels[label], curve, label, kind)]
        if together:
            _finish(figure, axes, kind, limits, title)
        else:
            panels[next(iter(curves))].set_ylim(limits)
            label_panels(figure, list(panels.values()), _unit(kind))
        left_out = len(styles) - len(labels)
        caption = f"{title} by epoch." + ("" if together else f" Grey: {baseline}." if baseline in curves else "")
        caption += f" {left_out} more settings are left out." if left_out else ""
        return DrawnFigure(name, caption, figure, values)


def run_curves(name: str, history: pd.DataFrame, best: float | None, kind: str, title: str = "") -> DrawnFigure:
    """Accuracy (``acc``) or loss of one run by epoch: training subset, validation, and test where tracked."""
    with figure_style():
        figure, axes = new_figure()
        values: list[Value] = []
        limits = _limits(history, kind, KINDS[kind])
        for split, (color, dash, marker) in _SPLIT_STYLE.items():
            column = f"{split}/{kind}"
            if column not in history or history[column].notna().sum() == 0:
                continue
            curve = _by_epoch(history, column, KINDS[kind])
            parts = _line_and_band(axes, curve, SPLITS[split], color, dash)
            if len(curve) == 1:
                parts += axes.plot(curve.index + 1, curve["mean"], marker, color=color)
            in_series(SPLITS[split], parts)
            values += _values(axes, curve, SPLITS[split], KINDS[kind])
        if best is not None and np.isfinite(best):
            axes.axvline(best + 1, color=INK, lw=1, ls=(0, (2, 2)), label=f"chosen checkpoint, epoch {best + 1:g}")
        _finish(figure, axes, KINDS[kind], limits, shorten(title, 44) or KINDS[kind].words.capitalize())
        caption = f"{KINDS[kind].words.capitalize()} by epoch{' of ' + title if title else ''}."
        return DrawnFigure(name, caption, figure, values)


def _by_epoch(history: pd.DataFrame, column: str, kind: Kind) -> pd.DataFrame:
    """Mean and standard deviation over seeds, by 0-based epoch; fractions in percent."""
    values = history[["epoch", column]].replace([np.inf, -np.inf], np.nan).dropna()
    grouped = (values[column].astype(float) * (100.0 if kind.fraction else 1.0)).groupby(values["epoch"].astype(int))
    return pd.DataFrame({"mean": grouped.mean(), "sd": grouped.std().fillna(0.0)})


def _line_and_band(axes: Axes, curve: pd.DataFrame, label: str, color: str, dash: Any) -> list[Artist]:
    epochs, low, high = curve.index + 1, curve["mean"] - curve["sd"], curve["mean"] + curve["sd"]
    band = axes.fill_between(epochs, low, high, color=color, alpha=0.18, lw=0)
    return [band, *axes.plot(epochs, curve["mean"], color=color, ls=dash, lw=1.7, label=label)]


def _mark_best(
    axes: Axes, curve: pd.DataFrame, best: float | None, color: str, marker: str, bottom: float
) -> list[Artist]:
    if best is None or not np.isfinite(best):
        return []
    height = float(np.interp(best, curve.index, curve["mean"]))
    stem = axes.vlines(best + 1, bottom, height, color=color, lw=1, ls=(0, (1.5, 1.5)), zorder=1.6)
    return [stem, *axes.plot([best + 1], [height], marker, color=color, ms=6, mec=PAPER, mew=0.8, zorder=4)]


def _draw_behind(axes: Axes, baseline: pd.DataFrame | None) -> None:
    if baseline is not None:
        axes.plot(baseline.index + 1, baseline["mean"], color=FAINT, lw=1, zorder=1.5)


def _at_best(curve: pd.DataFrame, best: float | None, kind: Kind) -> str:
    """The value at the chosen checkpoint."""
    if best is None or not np.isfinite(best):
        return ""
    height = float(np.interp(best, curve.index, curve["mean"]))
    return f"{height:.{2 if kind.fraction else 4}f} at epoch {best + 1:g}"


def _values(axes: Axes, curve: pd.DataFrame, series: str, kind: Kind) -> list[Value]:
    digits, unit = (2, " %") if kind.fraction else (4, "")
    told = told_epochs(curve)
    return [
        Value(axes, epoch + 1, mean, f"epoch {epoch + 1}: {mean_sd(mean, sd or None, digits)}{unit}", series)
        for epoch, mean, sd in zip(told.index, told["mean"], told["sd"], strict=True)
    ]


def _unit(kind: Kind) -> str:
    return f"{kind.words}, %" if kind.fraction else "cross-entropy" if kind == KINDS["loss"] else kind.words


def _limits(history: pd.DataFrame, name: str, kind: Kind) -> tuple[float, float]:
    """The axis of all curves of a kind together, which leaves out the very first, far-off epochs of a long run."""
    columns = [f"{split}/{name}" for split in SPLITS if f"{split}/{name}" in history]
    values = history[columns].to_numpy(dtype=float).ravel() * (100.0 if kind.fraction else 1.0)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if kind.higher_is_better:
        low = max(low, float(np.quantile(values, 0.06)) - 0.15 * (high - low))
    else:
        high = min(high, float(np.quantile(values, 0.94)) + 0.15 * (high - low))
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room


def _finish(figure: Figure, axes: Axes, kind: Kind, limits: tuple[float, float], title: str) -> None:
    axes.set_ylim(limits)
    axes.set_ylabel(_unit(kind))
    axes.set_title(title)
    epoch_axis(figure, axes)


def epoch_axis(figure: Figure, axes: Axes) -> None:
    """Finish a figure of one panel whose axis is epochs: whole numbers, and the legend below."""
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    legend_below(figure, axes)
