"""Small multiples: one panel a setting, on shared axes, with the setting's name above it."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from regbench.drawing.style import new_figure, shorten

_SHORT_NAME, _LONG_NAME = 16, 22
# So many settings share one panel at most, and so many have one of their own.
MOST_LINES, MOST_PANELS = 8, 24
# A page tells so many values of a curve at most: nobody could point at one of more.
_MOST_TOLD = 100
# More rows of panels than this stand closer, so that a figure of them fits a screen.
_MANY_ROWS = 3


def setting_panels(labels: Sequence[str], title: str, panel_height: float = 1.25) -> tuple[Figure, list[Axes]]:
    """Return a figure as wide as all others with a panel for every label, two or three side by side.

    Axes are shared; tick labels stand at the left and below the lowest panel of each column.

    Args:
        labels: One or more settings.
        title: Of the figure.
        panel_height: Of one panel without its name, in inches.
    """
    count = len(labels)
    narrow = count > 4 and all(len(_name_lines(label, _SHORT_NAME)) <= 2 for label in labels)
    columns = 1 if count == 1 else 3 if narrow else 2
    rows = -(-count // columns)
    name_lines = max(len(_name_lines(label, _width(columns))) for label in labels)
    panel_height *= 0.7 if rows > _MANY_ROWS else 1.0
    figure, axes = new_figure(height=0.75 + (panel_height + 0.3 + 0.15 * name_lines) * rows)
    axes.remove()
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for spare in panels[count:]:
        spare.remove()
    for index, panel in enumerate(panels[:count]):
        panel.tick_params(labelsize=8, labelbottom=index + columns >= count, labelleft=index % columns == 0)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    return figure, panels[:count]


def curve_panels(labels: Sequence[str], title: str) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure of curves over epochs with a panel for every label.

    Args:
        labels: The settings.
        title: Of the figure.
    """
    figure, panels = setting_panels(labels, title)
    return figure, dict(zip(labels, panels, strict=True))


def label_panels(figure: Figure, panels: Sequence[Axes], quantity: str) -> None:
    """Name the axes that panels of curves over epochs share."""
    panels[0].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4, min_n_ticks=1))
    panels[0].set_ylabel(quantity, fontsize=8.5)
    figure.supxlabel("epoch", fontsize=9.5)


def told_epochs(curve: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a curve whose values a page tells: all, or of many some that are evenly taken from them."""
    if len(curve) <= _MOST_TOLD:
        return curve
    return curve.iloc[np.linspace(0, len(curve) - 1, _MOST_TOLD).round().astype(int)]


def name_panel(axes: Axes, label: str, told: str) -> None:
    """Write the setting's name above its panel, and below the name what the panel tells in a few words."""
    lines = _name_lines(label, _width(columns_of(axes)))
    axes.set_title("\n".join(lines), fontsize=9, pad=14, linespacing=1.05)
    size = 7.5 if columns_of(axes) == 3 else 8
    axes.annotate(told, (0, 1), (0, 3), xycoords="axes fraction", textcoords="offset points", fontsize=size)


def columns_of(axes: Axes) -> int:
    """How many panels stand side by side in this panel's figure."""
    place = axes.get_subplotspec()
    return place.get_gridspec().ncols if place is not None else 1


def _width(columns: int) -> int:
    return _SHORT_NAME if columns == 3 else _LONG_NAME


def _name_lines(label: str, width: int) -> list[str]:
    """Break a name into lines: what tells strengths apart stands at its end, so long names get several.

    Lines end at a blank, else after `+`, else after `_`, else anywhere.
    """
    lines: list[str] = []
    for word in shorten(label, 2 * width - 4).split(" "):
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
            continue
        lines.append("")
        for piece in _pieces(word, width):
            if len(lines[-1]) + len(piece) <= width:
                lines[-1] += piece
            else:
                lines.append(piece)
    return lines


def _pieces(word: str, width: int, signs: str = "+_") -> list[str]:
    """Cut a word that is wider than a line."""
    if len(word) <= width:
        return [word]
    if not signs:
        return [word[start : start + width] for start in range(0, len(word), width)]
    parts = re.split(rf"(?<={re.escape(signs[0])})", word)
    return [piece for part in parts if part for piece in _pieces(part, width, signs[1:])]
