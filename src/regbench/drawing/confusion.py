"""The confusion matrix: which answers a network gives to the images of each class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from regbench.drawing.style import new_figure, shorten

Array = np.ndarray[Any, np.dtype[Any]]

# Beyond these the names and numbers would cover each other.
MOST_NAMED_CLASSES = 20


def row_shares(counts: Array) -> Array:
    """Divide each row of counts `(C, C)` by its sum; a class without images gives zeros."""
    totals = counts.sum(axis=1, keepdims=True)
    shares: Array = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    return shares


def most_confused(counts: Array) -> float:
    """Return the largest percent of a class's images that get one wrong answer."""
    shares = 100 * row_shares(counts)
    return float((shares - np.diag(np.diag(shares))).max(initial=0.0))


def confusion_matrix(counts: Array, classes: Sequence[str], title: str, strongest: float | None = None) -> Figure:
    """Draw the percent of each class's images by answer: right ones blue, wrong ones orange, on a scale of their own.

    The cells are more or less transparent, so that the matrix reads on white and on black paper. Call it within
    `figure_style`, and render it there.

    Args:
        counts: Images by (class, answer), `(C, C)`.
        classes: The names, `C`; more than 20 are left out, and the percents with them.
        title: Of the figure.
        strongest: The percent of the strongest orange, so that matrices beside each other share one scale; the largest
            of this one unless given.
    """
    shares = 100 * row_shares(counts)
    strongest = most_confused(counts) if strongest is None else strongest
    wrong = shares - np.diag(np.diag(shares))
    figure, axes = new_figure(height=4.35)
    cells = np.zeros((*shares.shape, 4))
    cells[..., :3] = to_rgb("#d55e00")
    # Mistakes are rare: on a straight scale none would be seen beside the diagonal.
    cells[..., 3] = 0.75 * np.sqrt(np.minimum(wrong / max(strongest, 1e-9), 1))
    steps = np.arange(len(shares))
    cells[steps, steps, :3] = to_rgb("#0072b2")
    cells[steps, steps, 3] = 0.1 + 0.45 * np.diag(shares) / 100
    axes.imshow(cells, interpolation="none")
    axes.grid(visible=False)
    if len(shares) <= MOST_NAMED_CLASSES:
        _name_cells(axes, shares)
        _name_classes(axes, [shorten(each, 14) for each in classes])
    axes.tick_params(length=0, labelsize=8.5)
    axes.set_xlabel("answer")
    axes.set_ylabel("class")
    axes.set_title(shorten(title, 44))
    return figure


def _name_cells(axes: Axes, shares: Array) -> None:
    for row, column in zip(*np.nonzero(shares), strict=True):
        percent = f"{shares[row, column]:.0f}"
        axes.text(column, row, "·" if percent == "0" else percent, ha="center", va="center", fontsize=8)


def _name_classes(axes: Axes, names: Sequence[str]) -> None:
    steps = np.arange(len(names))
    axes.set_yticks(steps, names)
    if max(map(len, names)) > 2:
        axes.set_xticks(steps, names, rotation=45, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks(steps, names)
