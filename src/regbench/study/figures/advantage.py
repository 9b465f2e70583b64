"""The advantage over the baseline at each budget: the lead had training stopped at each epoch.

Epochs are 0-based in tables and 1-based in figures. Accuracies are fractions in tables and percent here.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regbench.drawing.series import in_series
from regbench.drawing.style import FAINT, SettingStyle, figure_style, new_figure, shorten
from regbench.storage.schema import Kind
from regbench.study.figures.curves import SPLITS, epoch_axis
from regbench.study.figures.panels import MOST_LINES, MOST_PANELS, curve_panels, label_panels, name_panel, told_epochs
from regbench.study.figures.rendering import DrawnFigure, Value
from regbench.study.formatting import change, interval
from regbench.study.measured import Quantity

_SHOWN = ["mean", "low", "high"]


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
    split, higher = SPLITS[metric.split("/", maxsplit=1)[0]], kind.higher_is_better
    title = f"{'Advantage' if higher else 'Difference'} in {split} {kind.words}"
    labels = [label for label in styles if label in set(frame["label"])][:MOST_PANELS]
    curves = {label: scale * frame[frame["label"] == label].set_index("epoch")[_SHOWN].sort_index() for label in labels}
    with figure_style():
        together = len(labels) <= MOST_LINES
        if together:
            figure, panels = _together(curves, styles, baseline, title)
        else:
            figure, panels = _apart(curves, styles, baseline, title, quantity)
        axes = next(iter(panels.values()))
        _clip(axes, scale * frame["mean"])
        axes.set_xlim(float(frame["epoch"].min()) + 0.5, float(frame["epoch"].max()) + 1.5)
        if together:
            _leaders(axes, frame, styles, baseline, higher)
            axes.set_ylabel(f"{'lead over' if higher else 'difference from'} the baseline{quantity.unit}")
            epoch_axis(figure, axes)
        else:
            label_panels(figure, list(panels.values()), f"{'lead' if higher else 'difference'}{quantity.unit}")
        stopping = (
            ", were training to stop there."
            if constant_rate
            else " of these runs. Their learning rate follows the planned number of epochs, so runs that were planned "
            "shorter would differ."
        )
        caption = (
            f"Difference from {baseline} in {split} {kind.words} after each epoch, on the same seeds"
            f"{stopping} The band is a 95 % interval for all settings at that epoch; the verdicts "
            f"rest on the {judged} of the chosen checkpoints. {leader_sentence(frame, baseline, higher)}"
        )
        values = [each for label, curve in curves.items() for each in _values(panels[label], curve, label, quantity)]
        return DrawnFigure(name, caption, figure, values)


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


def _together(
    curves: Mapping[str, pd.DataFrame],
    styles: Mapping[str, SettingStyle],
    baseline: str,
    title: str,
) -> tuple[Figure, dict[str, Axes]]:
    """All curves on one panel, above a line for the baseline."""
    figure, axes = new_figure(height=3.4)
    for label, curve in curves.items():
        in_series(label, _band_and_line(axes, curve, styles[label], shorten(label)))
    zero = axes.axhline(0, color=_color(styles, baseline), lw=1.6, label=f"{shorten(baseline)} (baseline)", zorder=1.5)
    in_series(baseline, zero)
    axes.set_title(title)
    return figure, dict.fromkeys(curves, axes)


def _apart(
    curves: Mapping[str, pd.DataFrame],
    styles: Mapping[str, SettingStyle],
    baseline: str,
    title: str,
    quantity: Quantity,
) -> tuple[Figure, dict[str, Axes]]:
    """A panel for each curve, with its lead at the end."""
    figure, panels = curve_panels(list(curves), title)
    for label, curve in curves.items():
        _band_and_line(panels[label], curve, styles[label], label)
        panels[label].axhline(0, color=_color(styles, baseline), lw=1.2, zorder=1.5)
        last = change(curve["mean"].iloc[-1] / quantity.scale, quantity.kind)
        name_panel(panels[label], label, f"{last} at epoch {curve.index[-1] + 1}")
        in_series(label, panels[label])
    return figure, panels


def _band_and_line(axes: Axes, curve: pd.DataFrame, style: SettingStyle, name: str) -> list[Artist]:
    epochs = curve.index + 1
    parts: list[Artist] = [axes.fill_between(epochs, curve["low"], curve["high"], color=style.color, alpha=0.16, lw=0)]
    parts += axes.plot(epochs, curve["mean"], color=style.color, ls=style.dash, lw=1.8, label=name)
    return parts + (axes.plot(epochs, curve["mean"], style.marker, color=style.color) if len(curve) == 1 else [])


def _values(axes: Axes, curve: pd.DataFrame, label: str, quantity: Quantity) -> list[Value]:
    found, scale, kind = [], quantity.scale, quantity.kind
    for epoch, mean, low, high in told_epochs(curve)[_SHOWN].itertuples():
        between = f" ({interval(low / scale, high / scale, kind)})" if np.isfinite(low) else ""
        found.append(Value(axes, epoch + 1, mean, f"epoch {epoch + 1}: {change(mean / scale, kind)}{between}", label))
    return found


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
