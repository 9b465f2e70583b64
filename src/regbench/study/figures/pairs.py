"""The paired differences: what each seed reached with the baseline, and with the setting in its place."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from regbench.drawing.series import in_series
from regbench.drawing.style import FAINT, INK, SettingStyle, figure_style, shorten
from regbench.study.figures.differences import present_labels, some_seeds
from regbench.study.figures.panels import name_panel, setting_panels
from regbench.study.figures.rendering import DrawnFigure, Value
from regbench.study.formatting import change
from regbench.study.measured import ACCURACY, Quantity

_MOST_LINES = 40


def pairs_plot(
    name: str,
    runs: pd.DataFrame,
    styles: Mapping[str, SettingStyle],
    baseline: str,
    outlying: Collection[tuple[str, int]] = (),
    quantity: Quantity = ACCURACY,
) -> DrawnFigure | None:
    """Draw a line for every seed from the baseline's test accuracy, or another metric, to the setting's.

    There is a panel a setting. A line that rises is a seed on which the setting is better, or worse where a lower value
    is better. Lines that run side by side show what pairing takes out:
    seeds that are easier or harder for both.

    Args:
        name: The file's stem.
        runs: Rows with ``label``, ``seed``, the quantity's column, and ``split_seed`` where it differs; several runs of
            a seed count as their mean.
        styles: A style for each label.
        baseline: The label that the lines start from.
        outlying: Runs to be named, as (label, seed).
        quantity: What is shown.

    Returns:
        The figure; None where no setting shares two seeds with the baseline.
    """
    keys = [key for key in ("seed", "split_seed") if key in runs]
    values = runs.fillna(dict.fromkeys(keys, -1)).groupby(["label", *keys])[quantity.column].mean()
    pairs: dict[str, pd.DataFrame] = {}
    for label in present_labels(runs, styles):
        if label != baseline and baseline in values:
            both = pd.concat([values[baseline], values[label]], axis=1, keys=["baseline", "setting"]).dropna()
            if len(both) > 1:
                pairs[label] = quantity.scale * both
    if not pairs:
        return None
    seeds, told = some_seeds(runs, _MOST_LINES)
    with figure_style():
        figure, panels = setting_panels(list(pairs), f"{quantity.title}, seed by seed")
        places: list[Value] = []
        for axes, (label, both) in zip(panels, pairs.items(), strict=True):
            _lines(axes, both, styles[label], seeds, quantity.kind.higher_is_better)
            in_series(label, axes)
            places += _values(axes, both, label, seeds, quantity)
            _name_outlying(axes, both, label, baseline, outlying)
            differences = both["setting"] - both["baseline"]
            rising, level = int((differences > 0).sum()), int((differences == 0).sum())
            counted = f"{rising} rise, {level} tie" if level else f"{rising} of {len(both)} rise"
            name_panel(axes, label, f"{change(differences.mean() / quantity.scale, quantity.kind)}, {counted}")
            axes.set_xticks([0, 1], [shorten(baseline, 10), "setting"])
            axes.set_xlim(-0.42, 1.42)
            axes.margins(y=0.12)
            axes.grid(visible=False, axis="x")
        panels[0].set_ylabel(quantity.axis, fontsize=8.5)
        better, worse = ("rises", "falls") if quantity.kind.higher_is_better else ("falls", "rises")
        caption = (
            f"One thin line for each seed, from {baseline} to the setting, both trained with that seed. Where it "
            f"{better} the setting is better (coloured); where it {worse}, worse (grey, dashed); where it is level, a "
            "tie. The thick line joins the means. Lines that run side by side say that seeds differ, but the "
            "difference between the settings hardly does."
            f"{told}"
        )
        return DrawnFigure(name, caption, figure, places)


def _lines(axes: Axes, both: pd.DataFrame, style: SettingStyle, seeds: Collection[Any], higher: bool) -> None:
    faint = 0.75 if len(both) <= 12 else 0.45
    for first, second in both[both.index.get_level_values("seed").isin(seeds)].to_numpy():
        better = second > first if higher else second < first
        dash: Any = "-" if better else (0, (1, 1.2)) if second == first else (0, (3, 1.5))
        axes.plot(
            [0, 1], [first, second], color=style.color if better else FAINT, ls=dash,
            marker=style.marker, ms=3, mew=0, lw=1, alpha=faint,
        )  # fmt: skip
    axes.plot([0, 1], both.mean().to_numpy(), color=style.color, lw=3.2, solid_capstyle="butt", zorder=3)


def _values(axes: Axes, both: pd.DataFrame, label: str, seeds: Collection[Any], quantity: Quantity) -> list[Value]:
    found, digits, unit = [], quantity.digits, " %" if quantity.kind.fraction else ""
    for seed, first, second in zip(both.index.get_level_values("seed"), both["baseline"], both["setting"], strict=True):
        if seed in seeds:
            differs = change((second - first) / quantity.scale, quantity.kind)
            text = f"seed {seed}: {first:.{digits}f} → {second:.{digits}f}{unit} ({differs})"
            found += [Value(axes, place, height, text, label) for place, height in ((0, first), (1, second))]
    return found


def _name_outlying(
    axes: Axes, both: pd.DataFrame, label: str, baseline: str, outlying: Collection[tuple[str, int]]
) -> None:
    seeds = both.index.get_level_values("seed")
    for seed, first, second in zip(seeds, both["baseline"], both["setting"], strict=True):
        for owner, place, value, side in ((baseline, -0.06, first, "right"), (label, 1.06, second, "left")):
            if (owner, int(seed)) in outlying:
                axes.text(place, value, f"seed\n{seed}", ha=side, va="center", fontsize=7.5, color=INK, linespacing=0.9)
