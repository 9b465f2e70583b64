"""The reliability diagram: whether a network is as often right as it is sure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from regbench.drawing.series import in_series
from regbench.drawing.style import FAINT, PAPER, SettingStyle, legend_below, new_figure, shorten

Array = np.ndarray[Any, np.dtype[Any]]

BINS = 15
# A handful of predictions says nothing about a bin's accuracy.
_LEAST, _LEAST_SHARE = 10, 0.001


@dataclass(frozen=True)
class Calibration:
    """Predictions by their confidence.

    Attributes:
        bins: Number of predictions, sum of confidences and number right in equal bins of confidence, `(3, BINS)`.
        error: Expected calibration error, a fraction.
    """

    bins: Array
    error: float


def bin_by_confidence(confidence: Array, right: Array) -> Array:
    """Count predictions, and sum up confidences and right answers, in equal bins of confidence.

    Args:
        confidence: The answers' probabilities, `(N,)`.
        right: Whether they were right, `(N,)`.

    Returns:
        `(3, BINS)`.
    """
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    sums = (np.ones_like(confidence), confidence, right)
    return np.array([np.bincount(place, weights=weights, minlength=BINS) for weights in sums])


def calibration_error(bins: Array) -> float:
    """Return the expected calibration error: the mean over bins of |accuracy - confidence|, weighted by counts."""
    return float(np.abs(bins[2] - bins[1]).sum() / bins[0].sum()) if bins[0].sum() else float("nan")


def reliability_diagram(
    found: Mapping[str, Calibration], styles: Mapping[str, SettingStyle], counts: bool = False
) -> Figure:
    """Draw accuracy against confidence, one line per setting; on the diagonal a network is as right as it is sure.

    Bins with fewer than 10 or one in 1,000 predictions are left out. Call it within `figure_style`, and render it
    there.

    Args:
        found: What to draw, by label.
        styles: A style for each label.
        counts: Whether a panel below shows how many predictions each bin holds.
    """
    figure, axes = new_figure(height=3.9)
    if counts:
        figure.set_figheight(5.0)
        axes.remove()
        axes, below = figure.subplots(2, height_ratios=(3, 1), sharex=True)
        _count_panel(below, found, styles)
    axes.plot([0, 100], [0, 100], color=FAINT, lw=1, ls=(0, (2, 2)))
    for label, calibration in found.items():
        told = f"{shorten(label, 24)}: error {100 * calibration.error:.2f} %"
        in_series(label, draw_calibration(axes, calibration, styles[label], told))
    axes.set_xlim(0, 101)
    axes.set_ylim(0, 101)
    (below if counts else axes).set_xlabel("confidence, %")
    axes.set_ylabel("accuracy, %")
    axes.set_title("Reliability")
    legend_below(figure, axes)
    return figure


def draw_calibration(axes: Axes, calibration: Calibration, style: SettingStyle, label: str) -> list[Line2D]:
    """Draw one setting's accuracy against its confidence, both in percent.

    Args:
        axes: Where.
        calibration: What to draw; bins of a few predictions are left out.
        style: The setting's.
        label: For a legend.
    """
    number, certain, right = calibration.bins
    full = number >= max(_LEAST, _LEAST_SHARE * number.sum())
    return axes.plot(
        100 * certain[full] / number[full], 100 * right[full] / number[full], color=style.color, ls=style.dash,
        marker=style.marker, ms=5, mec=PAPER, mew=0.6, lw=1.5, label=label,
    )  # fmt: skip


def _count_panel(axes: Axes, found: Mapping[str, Calibration], styles: Mapping[str, SettingStyle]) -> None:
    edges = np.linspace(0, 100, BINS + 1)
    for label, calibration in found.items():
        steps = axes.stairs(calibration.bins[0], edges, color=styles[label].color, fill=len(found) == 1)
        in_series(label, steps)
    axes.set_ylabel("predictions")
