"""Figures over epochs: convergence, the advantage over the baseline at each budget, and one run's curves.

Epochs are 0-based in tables and 1-based in figures: "epoch 1" is the first. Accuracies are fractions in files and
percent here. ``probe`` is the fixed subset of the training images that is scored after every epoch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from regbench.drawing.style import FAINT, INK, PAPER, SettingStyle, figure_style, legend_below, new_figure, shorten
from regbench.storage.schema import KINDS, Kind
from regbench.study.figures.rendering import DrawnFigure
from regbench.study.measured import Quantity

SPLITS = {"probe": "training subset", "val": "validation", "test": "test"}
_SPLIT_STYLE = {"probe": ("#0072b2", "-", "o"), "val": ("#d55e00", (0, (5, 1.5)), "s"), "test": ("#009e73", ":", "D")}
_MOST_LINES = 12


def convergence_plot(
    name: str,
    history: pd.DataFrame,
    best: Mapping[str, float],
    column: str,
    styles: Mapping[str, SettingStyle],
    measured: Kind | None = None,
) -> DrawnFigure:
    """One quantity by epoch, one line per setting: the mean over seeds and a band of one standard deviation.

    Args:
        name: The file's stem.
        history: Rows with ``label``, ``seed``, ``epoch`` and ``column``; the labels in ``styles`` are drawn.
        best: For each label the epoch (0-based) of its chosen checkpoint, marked by a line from the axis to the curve.
        column: Such as ``val/acc``; all columns of its kind (``acc``, ``loss``) share one axis.
        styles: A style for each label, in the order of the legend.
        measured: What the column is, where it is no metric that every run has.
    """
    split, name_of_kind = column.split("/")
    kind = measured or KINDS[name_of_kind]
    labels = list(styles)[:_MOST_LINES]
    with figure_style():
        figure, axes = new_figure()
        curves = {label: _by_epoch(history[history["label"] == label], column, kind) for label in labels}
        limits = _limits(history[history["label"].isin(labels)], name_of_kind, kind)
        for label, curve in curves.items():
            if curve.empty:
                continue
            style = styles[label]
            _line_and_band(axes, curve, shorten(label), style.color, style.dash)
            _mark_best(axes, curve, best.get(label), style.color, style.marker, limits[0])
        _finish(figure, axes, kind, limits, f"{SPLITS[split].capitalize()} {kind.words}")
        left_out = len(styles) - len(labels)
        caption = f"{SPLITS[split].capitalize()} {kind.words} by epoch."
        return DrawnFigure(name, caption + (f" {left_out} more settings are left out." if left_out else ""), figure)


def advantage_plot(
    name: str,
    frame: pd.DataFrame,
    styles: Mapping[str, SettingStyle],
    baseline: str,
    metric: str = "val/acc",
    constant_rate: bool = True,
    measured: Kind | None = None,
    judged: str = "test accuracy",
) -> DrawnFigure:
    """The mean difference from the baseline by epoch, with its interval, and below it who leads at which budget.

    Args:
        name: The file's stem.
        frame: Rows with ``label``, ``epoch``, ``mean``, ``low``, ``high``, in the metric's unit: as fractions.
        styles: A style for each label; the baseline's colours the zero line.
        baseline: The baseline's label.
        metric: The compared column of the history.
        constant_rate: Whether the learning rate is the same at every epoch, so that a run's first epochs are those of a
            shorter run.
        measured: What the metric is, where it is none that every run has.
        judged: What the verdicts are on.
    """
    quantity = Quantity(metric, measured) if measured else Quantity.of(metric)
    scale, kind = quantity.scale, quantity.kind
    with figure_style():
        figure, axes = new_figure(height=3.4)
        labels = [label for label in styles if label in set(frame["label"])][:_MOST_LINES]
        for label in labels:
            curve = frame[frame["label"] == label].sort_values("epoch")
            style, epochs = styles[label], curve["epoch"] + 1
            mean, low, high = (scale * curve[each] for each in ("mean", "low", "high"))
            axes.fill_between(epochs, low, high, color=style.color, alpha=0.16, lw=0)
            axes.plot(epochs, mean, color=style.color, ls=style.dash, lw=1.8, label=shorten(label))
            if len(curve) == 1:
                axes.plot(epochs, mean, style.marker, color=style.color)
        axes.axhline(0, color=_color(styles, baseline), lw=1.6, label=f"{shorten(baseline)} (baseline)", zorder=1.5)
        _clip(axes, scale * frame["mean"])
        axes.set_xlim(float(frame["epoch"].min()) + 0.5, float(frame["epoch"].max()) + 1.5)
        _leaders(axes, frame, styles, baseline, kind.higher_is_better)
        split = SPLITS[metric.split("/", maxsplit=1)[0]]
        leads = "lead over" if kind.higher_is_better else "difference from"
        axes.set_ylabel(f"{leads} the baseline{quantity.unit}")
        axes.set_title(f"{'Advantage' if kind.higher_is_better else 'Difference'} in {split} {kind.words}")
        _epoch_axis(figure, axes)
        stopping = (
            ", were training to stop there."
            if constant_rate
            else " of these runs. Their learning rate follows the planned number of epochs, so runs that were planned "
            "shorter would differ."
        )
        caption = (
            f"Difference from {baseline} in {split} {kind.words} after each epoch, on the same seeds"
            f"{stopping} The band is a 95 % interval for all settings at that epoch; the verdicts "
            f"rest on the {judged} of the chosen checkpoints. "
            f"{leader_sentence(frame, baseline, kind.higher_is_better)}"
        )
        return DrawnFigure(name, caption, figure)


def leader_sentence(frame: pd.DataFrame, baseline: str, higher: bool = True) -> str:
    """Who has the highest mean at which epochs, as a sentence; long alternations are cut to the start and the end.

    Where a lower value is better, who has the lowest.
    """
    spans = _spans(frame, baseline, higher)
    best = "highest" if higher else "lowest"
    if not spans:
        return ""
    said = [f"{label} from epoch {first}" + (f" to {last}" if last > first else "") for label, first, last in spans]
    if len(said) == 1:
        return f"{spans[0][0]} has the {best} mean at every epoch."
    if len(said) > 6:
        said = [*said[:3], "then the lead changes often", said[-1]]
    return f"The {best} mean: {', '.join(said)}."


def run_curves(name: str, history: pd.DataFrame, best: float | None, kind: str, title: str = "") -> DrawnFigure:
    """Accuracy (``acc``) or loss of one run by epoch: training subset, validation, and test where tracked."""
    with figure_style():
        figure, axes = new_figure()
        limits = _limits(history, kind, KINDS[kind])
        for split, (color, dash, marker) in _SPLIT_STYLE.items():
            column = f"{split}/{kind}"
            if column not in history or history[column].notna().sum() == 0:
                continue
            curve = _by_epoch(history, column, KINDS[kind])
            _line_and_band(axes, curve, SPLITS[split], color, dash)
            if len(curve) == 1:
                axes.plot(curve.index + 1, curve["mean"], marker, color=color)
        if best is not None and np.isfinite(best):
            axes.axvline(best + 1, color=INK, lw=1, ls=(0, (2, 2)), label=f"chosen checkpoint, epoch {best + 1:g}")
        _finish(figure, axes, KINDS[kind], limits, shorten(title, 44) or KINDS[kind].words.capitalize())
        return DrawnFigure(name, f"{KINDS[kind].words.capitalize()} by epoch{' of ' + title if title else ''}.", figure)


def _by_epoch(history: pd.DataFrame, column: str, kind: Kind) -> pd.DataFrame:
    """Mean and standard deviation over seeds, by 0-based epoch; fractions in percent."""
    values = history[["epoch", column]].replace([np.inf, -np.inf], np.nan).dropna()
    grouped = (values[column].astype(float) * (100.0 if kind.fraction else 1.0)).groupby(values["epoch"].astype(int))
    return pd.DataFrame({"mean": grouped.mean(), "sd": grouped.std().fillna(0.0)})


def _line_and_band(axes: Axes, curve: pd.DataFrame, label: str, color: str, dash: Any) -> None:
    epochs = curve.index + 1
    axes.fill_between(epochs, curve["mean"] - curve["sd"], curve["mean"] + curve["sd"], color=color, alpha=0.18, lw=0)
    axes.plot(epochs, curve["mean"], color=color, ls=dash, lw=1.7, label=label)


def _mark_best(axes: Axes, curve: pd.DataFrame, best: float | None, color: str, marker: str, bottom: float) -> None:
    if best is None or not np.isfinite(best):
        return
    height = float(np.interp(best, curve.index, curve["mean"]))
    axes.vlines(best + 1, bottom, height, color=color, lw=1, ls=(0, (1.5, 1.5)), zorder=1.6)
    axes.plot([best + 1], [height], marker, color=color, ms=6, mec=PAPER, mew=0.8, zorder=4)


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
    plain = "cross-entropy" if kind == KINDS["loss"] else kind.words
    axes.set_ylabel(f"{kind.words}, %" if kind.fraction else plain)
    axes.set_title(title)
    _epoch_axis(figure, axes)


def _epoch_axis(figure: Figure, axes: Axes) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    legend_below(figure, axes)


def _clip(axes: Axes, means: "pd.Series[float]") -> None:
    """Keep the bulk of the means in view: wide intervals and the wild first epoch may run out of the panel."""
    finite = means[np.isfinite(means)]
    if finite.empty:
        return
    low, high = min(0.0, float(finite.quantile(0.03))), max(0.0, float(finite.quantile(0.97)))
    room = max(0.35 * (high - low), 0.1)
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, low - room), min(top, high + room))


def _spans(frame: pd.DataFrame, baseline: str, higher: bool) -> list[tuple[str, int, int]]:
    """(leader, first epoch, last epoch), 1-based; the baseline leads where no mean is better than zero."""
    sign = 1 if higher else -1
    spans: list[tuple[str, int, int]] = []
    for epoch, rows in frame.dropna(subset=["mean"]).sort_values("epoch").groupby("epoch"):
        top = rows.sort_values("mean", kind="stable", key=lambda means: sign * means).iloc[-1]
        leader = str(top["label"]) if sign * float(top["mean"]) > 0 else baseline
        number = int(str(epoch)) + 1
        if spans and spans[-1][0] == leader:
            spans[-1] = (leader, spans[-1][1], number)
        else:
            spans.append((leader, number, number))
    return spans


def _leaders(axes: Axes, frame: pd.DataFrame, styles: Mapping[str, SettingStyle], baseline: str, higher: bool) -> None:
    """A strip along the bottom in the colour of whoever has the best mean at that epoch."""
    bottom, top = axes.get_ylim()
    for leader, first, last in _spans(frame, baseline, higher):
        color = _color(styles, leader)
        axes.axvspan(first - 0.5, last + 0.5, ymin=0, ymax=0.045, color=color, lw=0, zorder=3)
    # Room for the strip and its name below all bands.
    axes.set_ylim(bottom - 0.12 * (top - bottom), top)
    text = f"strip: {'highest' if higher else 'lowest'} mean"
    axes.text(0.012, 0.05, text, transform=axes.transAxes, fontsize=7.5, va="bottom", ha="left")


def _color(styles: Mapping[str, SettingStyle], label: str) -> str:
    return styles[label].color if label in styles else FAINT
