"""Power: how likely a study of so many seeds shows a difference as large as the margin."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from regbench.drawing.series import in_series
from regbench.drawing.style import FAINT, INK, PAPER, SettingStyle, figure_style, shorten
from regbench.study.figures.panels import columns_of, name_panel, setting_panels
from regbench.study.figures.rendering import DrawnFigure, Value
from regbench.study.measured import ACCURACY, Quantity

_TICKS = (2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
_WANTED = 80.0


def power_plot(
    name: str,
    curves: pd.DataFrame,
    styles: Mapping[str, SettingStyle],
    baseline: str,
    margin: float,
    now: Mapping[str, int],
    needed: Mapping[str, str],
    quantity: Quantity = ACCURACY,
) -> DrawnFigure:
    """Draw each setting's power against the number of seeds, one panel a setting.

    Args:
        name: The file's stem.
        curves: Rows with ``label``, ``n``, ``power``, ``low``, ``high`` for the margin, and ``observed`` for the
            difference that was observed; powers from 0 to 1.
        styles: A style for each label.
        baseline: The label that the settings are compared with.
        margin: The smallest difference that matters, in the quantity's unit; a fraction of accuracy.
        now: Each setting's seeds in this study.
        needed: The seeds that reach 80 %, in words such as `8 to 37`.
        quantity: What differs.
    """
    labels = [label for label in styles if label in set(curves["label"])]
    with figure_style():
        figure, panels = setting_panels(labels, f"Power to show {quantity.size(margin)}")
        places: list[Value] = []
        for axes, label in zip(panels, labels, strict=True):
            own = curves[curves["label"] == label].sort_values("n")
            _curve(axes, own, styles[label], now[label])
            in_series(label, axes)
            places += _values(axes, own[own["n"].isin([*_TICKS, now[label]])], label)
            name_panel(axes, label, f"80 %: {needed[label]} seeds")
        seeds = curves["n"].astype(float)
        panels[0].set_xscale("log")
        panels[0].set_xlim(seeds.min() * 0.94, seeds.max() * 1.06)
        panels[0].set_ylim(-3, 103)
        panels[0].set_yticks([0, 40, 80])
        ticks = [tick for tick in _TICKS if seeds.min() <= tick <= seeds.max()]
        panels[0].set_xticks(_apart(ticks, 4 if columns_of(panels[0]) == 3 else 7))
        panels[0].xaxis.set_major_formatter("{x:.0f}")
        panels[0].xaxis.set_minor_locator(NullLocator())
        panels[0].set_ylabel("power, %", fontsize=8.5)
        figure.supxlabel("seeds a setting", fontsize=9.5)
        caption = (
            f"How likely a study with so many seeds finds a setting better or worse than {shorten(baseline, 30)} if it "
            f"truly differs by the margin of {quantity.size(margin)}. The band is what the uncertain spread of few "
            "seeds leaves open (80 % interval of the standard deviation); the dot is this study, the line across is "
            "80 %. Dotted: the same if the difference just observed were the true one, which it never quite is. "
            "Low power does not weaken a verdict that was reached: such a study could as well have missed it."
        )
        return DrawnFigure(name, caption, figure, places)


def _curve(axes: Axes, own: pd.DataFrame, style: SettingStyle, now: int) -> None:
    n = own["n"].to_numpy(dtype=float)
    power, low, high, observed = (100 * own[key].to_numpy(dtype=float) for key in ("power", "low", "high", "observed"))
    axes.axhline(_WANTED, color=FAINT, lw=1, ls=(0, (4, 2)))
    axes.fill_between(n, low, high, color=style.color, alpha=0.22, lw=0)
    axes.plot(n, observed, color=INK, lw=1, ls=":")
    axes.plot(n, power, color=style.color, lw=2)
    here = float(np.interp(np.log(now), np.log(n), power))
    axes.plot([now], [here], style.marker, color=style.color, ms=7.5, mec=PAPER, mew=0.8, zorder=4)
    left = now < np.sqrt(n[0] * n[-1])
    place, anchor = ((7, -3), ("left", "top")) if left else ((-7, -3), ("right", "top"))
    axes.annotate(
        f"{now}: {here:.0f} %", (now, here), place if here > 15 else (place[0], 4), textcoords="offset points",
        fontsize=8, ha=anchor[0], va=anchor[1] if here > 15 else "bottom", zorder=5,
        bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
    )  # fmt: skip


def _values(axes: Axes, curve: pd.DataFrame, label: str) -> list[Value]:
    found = []
    for n, *powers in curve[["n", "power", "low", "high"]].itertuples(index=False):
        power, low, high = (100 * each for each in powers)
        found.append(Value(axes, n, power, f"{n} seeds: {power:.0f} % ({low:.0f} to {high:.0f})", label))
    return found


def _apart(ticks: list[int], most: int) -> list[int]:
    """Leave out ticks so that no more than `most` remain."""
    step = -(-len(ticks) // most)
    return ticks[::step]
