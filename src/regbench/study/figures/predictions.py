"""Figures of predictions: confusion matrix, reliability diagram, and grids of samples and of certain mistakes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from regbench.drawing.confusion import MOST_NAMED_CLASSES, Array, confusion_matrix, row_shares
from regbench.drawing.pictures import visible
from regbench.drawing.reliability import Calibration, draw_calibration, reliability_diagram
from regbench.drawing.series import in_series
from regbench.drawing.style import FAINT, SettingStyle, figure_style, new_figure, shorten
from regbench.study.figures.panels import MOST_LINES, name_panel, setting_panels
from regbench.study.figures.rendering import DrawnFigure, Value
from regbench.study.predictions import Mistake, Predictions

_MOST_CELLS = 500


def confusion_figure(
    name: str, counts: Array, classes: Sequence[str], label: str, strongest: float | None = None
) -> DrawnFigure:
    """Percent of each class's test images by answer; `strongest` as in `confusion_matrix`."""
    with figure_style():
        caption = f"{label}: percent of each class's test images by answer."
        figure = confusion_matrix(counts, classes, label, strongest)
        return DrawnFigure(name, caption, figure, _cells(figure.axes[0], counts, classes), label)


def reliability_figure(
    name: str, predictions: Mapping[str, Predictions], styles: Mapping[str, SettingStyle]
) -> DrawnFigure:
    """Accuracy against confidence: on the diagonal a network is as often right as it is sure."""
    found = {label: Calibration(each.bins, float(np.mean(each.errors))) for label, each in predictions.items()}
    with figure_style():
        if len(found) <= MOST_LINES:
            figure = reliability_diagram(found, styles)
            axes = figure.axes[0]
            panels, lines = dict.fromkeys(found, axes), axes.lines[1:]  # the first is the diagonal
        else:
            figure, panels, lines = _reliability_panels(found, styles)
        values = [
            Value(panels[label], x, y, f"{x:.1f} % sure, {y:.1f} % right", label)
            for label, line in zip(found, lines, strict=True)
            for x, y in np.asarray(line.get_xydata())
        ]
        caption = (
            "Test accuracy of predictions by their confidence, all runs together, in 15 bins; below the dashed line a "
            "network is surer than right. Bins with fewer than 10 or one in 1,000 predictions are not drawn. The error "
            "is the expected calibration error, averaged over runs."
        )
        return DrawnFigure(name, caption, figure, values)


def sample_grid(name: str, images: Array, classes: Sequence[str]) -> DrawnFigure:
    """Four test images of every class, two classes a row."""
    shown = min(len(classes), len(images) // 4, MOST_NAMED_CLASSES)
    rows = -(-shown // 2)
    with figure_style():
        figure, axes = new_figure(height=0.2 + 0.72 * rows)
        for number in range(shown):
            left, top = (number % 2) * 4.5, -(number // 2) * 1.5
            axes.text(left, top + 0.06, shorten(classes[number], 24), fontsize=9, va="bottom")
            for step in range(4):
                _tile(axes, images[4 * number + step], left + step, top)
        _bare(axes, 8.5, -1.5 * rows + 0.45, 0.5)
        return DrawnFigure(name, "Test images, four of every class.", figure)


def mistake_grid(name: str, found: Sequence[Mistake], classes: Sequence[str], label: str) -> DrawnFigure:
    """The test images that a setting's runs got most confidently wrong: class, answer and confidence beneath each."""
    rows = -(-len(found) // 4)
    with figure_style():
        figure, axes = new_figure(height=0.4 + 1.4 * rows)
        for number, mistake in enumerate(found):
            left, top = (number % 4) * 1.12, -(number // 4) * 1.44
            _tile(axes, mistake.image, left, top)
            told = f"{shorten(classes[mistake.target], 14)}\n→ {shorten(classes[mistake.answer], 12)}"
            axes.text(left, top - 1.0, f"{told}\n{100 * mistake.confidence:.1f} % sure", fontsize=8, va="top")
        _bare(axes, 4.36, -1.44 * rows + 0.02, 0.02)
        axes.set_title(shorten(label, 44))
        caption = f"{label}: its most certain mistakes, class → answer."
        return DrawnFigure(name, caption, figure, series=label)


def _reliability_panels(
    found: Mapping[str, Calibration], styles: Mapping[str, SettingStyle]
) -> tuple[Figure, dict[str, Axes], list[Line2D]]:
    """A panel for each setting, with its error above."""
    figure, panels = setting_panels(list(found), "Reliability")
    lines = []
    for axes, (label, calibration) in zip(panels, found.items(), strict=True):
        axes.plot([0, 100], [0, 100], color=FAINT, lw=1, ls=(0, (2, 2)))
        lines += draw_calibration(axes, calibration, replace(styles[label], marker="."), label)
        name_panel(axes, label, f"error {100 * calibration.error:.2f} %")
        in_series(label, axes)
    panels[0].set_xlim(0, 101)
    panels[0].set_ylim(0, 101)
    panels[0].set_ylabel("accuracy, %", fontsize=8.5)
    figure.supxlabel("confidence, %", fontsize=9.5)
    return figure, dict(zip(found, panels, strict=True)), lines


def _cells(axes: Axes, counts: Array, classes: Sequence[str]) -> list[Value]:
    """What every cell says, of many classes the cells with the most images."""
    shares = 100 * row_shares(counts)
    places = np.argwhere(counts > 0) if len(counts) > MOST_NAMED_CLASSES else np.argwhere(np.isfinite(shares))
    fullest = sorted(((int(row), int(answer)) for row, answer in places), key=lambda place: -counts[place])
    found = []
    for row, answer in sorted(fullest[:_MOST_CELLS]):
        told = f"{classes[row]} → {classes[answer]}: {shares[row, answer]:.1f} %, {counts[row, answer]:,} answers"
        found.append(Value(axes, answer, row, told))
    return found


def _tile(axes: Axes, image: Array, left: float, top: float) -> None:
    """One image, a unit wide, its upper left corner at (left, top)."""
    shown, place = visible(image), (left, left + 0.96, top - 0.96, top)
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="none", extent=place)


def _bare(axes: Axes, right: float, bottom: float, top: float) -> None:
    axes.set_xlim(0, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect("equal")
    axes.set_axis_off()
