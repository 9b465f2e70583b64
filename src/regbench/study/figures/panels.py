"""Small multiples: one panel a setting, on shared axes, with the setting's name above it."""

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regbench.drawing.style import new_figure, shorten

_SHORT_NAME, _LONG_NAME = 16, 22


def setting_panels(labels: Sequence[str], title: str, panel_height: float = 1.25) -> tuple[Figure, list[Axes]]:
    """Return a figure as wide as all others with a panel for every label, two or three side by side.

    Axes are shared; tick labels stand at the left and below the lowest panel of each column.

    Args:
        labels: One or more settings.
        title: Of the figure.
        panel_height: Of one panel without its name, in inches.
    """
    count = len(labels)
    widest = max(len(label) for label in labels)
    columns = 1 if count == 1 else 3 if count > 4 and widest <= _SHORT_NAME else 2
    rows = -(-count // columns)
    name_lines = 2 if widest > _LONG_NAME and columns > 1 else 1
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


def name_panel(axes: Axes, label: str, told: str) -> None:
    """Write the setting's name above its panel, and below the name what the panel tells in a few words."""
    # Two lines for long names: what tells strengths apart stands at their end.
    width = _SHORT_NAME if columns_of(axes) == 3 else _LONG_NAME
    lines = textwrap.wrap(shorten(label, 2 * width - 4), width, break_on_hyphens=False)
    axes.set_title("\n".join(lines), fontsize=9, pad=14, linespacing=1.05)
    axes.annotate(told, (0, 1), (0, 3), xycoords="axes fraction", textcoords="offset points", fontsize=8)


def columns_of(axes: Axes) -> int:
    """How many panels stand side by side in this panel's figure."""
    place = axes.get_subplotspec()
    return place.get_gridspec().ncols if place is not None else 1
