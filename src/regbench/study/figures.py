"""Figures of finished runs: differences with intervals, every seed, the gap, and accuracy against a strength.

All functions take plain DataFrames whose accuracies are fractions, show percent and points, and return a ``Picture``.
In the figures with a row a setting, names stand above their row, so that long ones cost no room on a phone.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from regbench.study.curves import legend_below
from regbench.study.style import FAINT, INK, PAPER, RULE, Look, Picture, canvas, drawing, picture, words

_SPLITS = (
    ("train/acc", "training", "#0072b2", "o", "-"),
    ("val/acc", "validation", "#d55e00", "s", (0, (5, 1.5))),
    ("test/acc", "test", "#009e73", "D", ":"),
)


def forest(
    name: str,
    frame: pd.DataFrame,
    styles: Mapping[str, Look],
    baseline: str,
    margin: float,
    limits: tuple[float, float] | None = None,
    title: str = "",
) -> Picture:
    """Each setting's difference from the baseline with its interval, and the verdict beside it.

    Args:
        name: The file's stem.
        frame: Rows with ``label``, ``mean``, ``low``, ``high``, ``verdict``, as fractions.
        styles: A look for each label.
        baseline: The baseline's label, which is the zero line.
        margin: Half the width of the shaded band of differences too small to matter, a fraction.
        limits: Ends of the axis in points, so that figures side by side share it.
        title: Overrides the usual title.
    """
    with drawing():
        figure, axes = _rows(len(frame))
        axes.axvspan(-100 * margin, 100 * margin, color=RULE, alpha=0.6, lw=0, zorder=0)
        axes.axvline(0, color=styles[baseline].color if baseline in styles else FAINT, lw=1.4, zorder=1)
        for row, entry in enumerate(frame.to_dict("records")):
            look, y = styles[str(entry["label"])], -float(row)
            mean, low, high = (100 * float(entry[key]) for key in ("mean", "low", "high"))
            if np.isfinite(low) and np.isfinite(high):
                axes.plot([low, high], [y, y], color=look.color, lw=2.4, solid_capstyle="butt")
                axes.plot([low, high], [y, y], "|", color=look.color, ms=8, mew=1.6)
            axes.plot([mean], [y], look.marker, color=look.color, ms=7.5, mec=PAPER, mew=0.8, zorder=4)
            _row_text(axes, y, words(entry["label"], 30), f"{signed(mean)}, {entry['verdict']}")
        axes.margins(x=0.08)
        if limits is not None:
            axes.set_xlim(limits)
        axes.set_xlabel(f"test accuracy minus that of {words(baseline, 24)}, points")
        axes.set_title(words(title, 48) or "Difference from the baseline")
        caption = (
            f"Mean difference in test accuracy from {baseline}, with intervals that hold for all settings at once; the "
            f"shaded band is ±{100 * margin:g} points."
        )
        return picture(name, f"{title}: {caption}" if title else caption, figure)


def seeds(name: str, runs: pd.DataFrame, styles: Mapping[str, Look], metric: str = "test/acc") -> Picture:
    """Every run's test accuracy as a point, the same seed at the same height in every row, the mean as a bar."""
    labels = _present(runs, styles)
    heights = {seed: step for step, seed in enumerate(sorted(runs["seed"].unique()))}
    with drawing():
        figure, axes = _rows(len(labels))
        for row, label in enumerate(labels):
            own, look = runs[runs["label"] == label], styles[label]
            values = 100 * own[metric].astype(float)
            spread = [-row + 0.14 - 0.4 * (heights[seed] + 0.5) / len(heights) for seed in own["seed"]]
            axes.plot(values, spread, look.marker, color=look.color, ms=5, alpha=0.75, mew=0)
            axes.plot([values.mean()] * 2, [-row - 0.28, -row + 0.16], color=look.color, lw=2.4)
            _row_text(axes, -row, words(label, 36), f"{_mean_sd(values)}, n = {len(values)}")
        axes.set_xlabel("test accuracy, %")
        axes.set_title("Every seed's test accuracy")
        caption = (
            "Test accuracy of every run; the bar is the mean. In every row the same seed stands at the same height. "
            "Numbers are the mean ± one standard deviation."
        )
        return picture(name, caption, figure)


def gap(name: str, runs: pd.DataFrame, styles: Mapping[str, Look]) -> Picture:
    """The generalization gap: test accuracy (full) joined to training accuracy (hollow), a row a setting."""
    labels = _present(runs, styles)
    with drawing():
        figure, axes = _rows(len(labels))
        for row, label in enumerate(labels):
            own, look = runs[runs["label"] == label], styles[label]
            train, test = (100 * own[key].astype(float) for key in ("train/acc", "test/acc"))
            axes.plot([test.mean(), train.mean()], [-row, -row], color=look.color, lw=3, alpha=0.45)
            for values, face in ((test, look.color), (train, PAPER)):
                axes.plot(values, [-row] * len(values), "|", color=look.color, ms=9, alpha=0.55)
                axes.plot([values.mean()], [-row], look.marker, ms=7.5, mfc=face, mec=look.color, mew=1.5, zorder=4)
            _row_text(axes, -row, words(label, 36), f"gap {_mean_sd(100 * own['gap'].astype(float))}")
        axes.set_xlabel("accuracy, %: test (full), training (hollow)")
        axes.set_title("Generalization gap")
        caption = (
            "Test accuracy (full mark) and training accuracy (hollow mark), both of the chosen checkpoint in "
            "evaluation mode; ticks are single runs. Between them lies the generalization gap."
        )
        return picture(name, caption, figure)


def strength(name: str, runs: pd.DataFrame, key: str, log: bool, picked: float | None) -> tuple[Picture, Picture]:
    """Accuracy and gap of one technique against its strength, and the strength that validation picks.

    Args:
        name: The files' common stem.
        runs: Rows with ``value``, ``train/acc``, ``val/acc``, ``test/acc`` and ``gap``, a row a run.
        key: The parameter's name for the axis.
        log: Draw the strengths on a log axis; a strength of 0 gets a place of its own left of the others.
        picked: The strength with the best validation accuracy, for a line; None where there is no validation.
    """
    told = "" if picked is None else f" Validation picks {words(key)} = {picked:g}."
    with drawing():
        first, axes = canvas()
        for column, split, color, marker, dash in _SPLITS:
            _against(axes, runs, column, split, Look(color, marker, dash), log)
        _strength_axis(first, axes, runs["value"], key, log, picked)
        axes.set_ylabel("accuracy, %")
        axes.set_title(f"Accuracy against {words(key, 26)}")
        second, axes = canvas()
        _against(axes, runs, "gap", "training minus test", Look("#9d6fd1", "o", "-"), log)
        axes.axhline(0, color=FAINT, lw=1)
        _strength_axis(second, axes, runs["value"], key, log, picked)
        axes.set_ylabel("gap, points")
        axes.set_title(f"Gap against {words(key, 28)}")
        ending = f"{_POINTWISE}{told}"
        return (
            picture(f"{name}-accuracy", f"Accuracy of the chosen checkpoints against {key}. {ending}", first),
            picture(f"{name}-gap", f"Training minus test accuracy against {key}. {ending}", second),
        )


def axis_lines(
    name: str, runs: pd.DataFrame, key: str, log: bool, styles: Mapping[str, Look]
) -> tuple[Picture, Picture]:
    """Test accuracy and gap against a numeric axis that several settings share, such as ``train_size``."""
    drawn = []
    for column, quantity in (("test/acc", "test accuracy, %"), ("gap", "gap, points")):
        with drawing():
            figure, axes = canvas()
            for label in _present(runs, styles):
                _against(axes, runs[runs["label"] == label], column, words(label), styles[label], log)
            _strength_axis(figure, axes, runs["value"], key, log, None)
            axes.set_ylabel(quantity)
            title = "Test accuracy" if column == "test/acc" else "Gap"
            axes.set_title(f"{title} against {words(key, 24)}")
            stem = "accuracy" if column == "test/acc" else "gap"
            drawn.append(picture(f"{name}-{stem}", f"{title} of every setting against {key}. {_POINTWISE}", figure))
    return drawn[0], drawn[1]


def signed(number: float) -> str:
    """Two decimals with a sign, the minus as long as the plus."""
    return f"{number:+.2f}".replace("-", "−")


_POINTWISE = "Means over seeds; each interval is a 95 % t-interval of its own point."


def _rows(count: int) -> tuple[Figure, Axes]:
    figure, axes = canvas(height=0.95 + 0.54 * max(count, 1))
    axes.set_ylim(-count + 0.45, 0.72)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    return figure, axes


def _row_text(axes: Axes, y: float, left: str, right: str) -> None:
    place = axes.get_yaxis_transform()
    axes.text(0.0, y + 0.32, left, transform=place, va="bottom", ha="left", fontsize=9, fontweight="bold")
    axes.text(1.0, y + 0.32, right, transform=place, va="bottom", ha="right", fontsize=8.5)


def _present(runs: pd.DataFrame, styles: Mapping[str, Look]) -> list[str]:
    there = set(runs["label"])
    return [label for label in styles if label in there]


def _mean_sd(values: "pd.Series[float]") -> str:
    return f"{values.mean():.2f}" + (f" ± {values.std():.2f}" if len(values) > 1 else "")


def _against(axes: Axes, runs: pd.DataFrame, column: str, label: str, look: Look, log: bool) -> None:
    """Mean and t-interval of one column at every value."""
    if column not in runs or runs[column].notna().sum() == 0:
        return
    grouped = (100 * runs[column].astype(float)).groupby(runs["value"].astype(float))
    mean, count = grouped.mean(), grouped.count().to_numpy()
    deviation = np.nan_to_num(np.asarray(grouped.std(), dtype=float))
    half = deviation / np.sqrt(count) * stats.t.ppf(0.975, np.maximum(count - 1, 1))
    places = _places(mean.index.to_numpy(dtype=float), log)
    axes.errorbar(
        places, mean, yerr=half, color=look.color, ls=look.dash, marker=look.marker, ms=5,
        mec=PAPER, mew=0.6, lw=1.6, elinewidth=1.3, capsize=2.5, label=label,
    )  # fmt: skip


def _places(values: Sequence[float] | np.ndarray, log: bool) -> np.ndarray:
    """Where values stand on the axis: on a log axis 0 is set as far left of the smallest as that from its neighbour."""
    found = np.asarray(values, dtype=float)
    if not log:
        return found
    positive = np.sort(np.unique(found[found > 0]))
    step = positive[1] / positive[0] if positive.size > 1 else 10.0
    return np.where(found > 0, found, positive[0] / step)


def _strength_axis(
    figure: Figure, axes: Axes, values: "pd.Series[float]", key: str, log: bool, picked: float | None
) -> None:
    ticks = np.sort(values.astype(float).unique())
    places = _places(ticks, log)
    if log:
        axes.set_xscale("log")
    if picked is not None:
        where = float(_places([picked, *ticks], log)[0])
        axes.axvline(where, color=INK, lw=1, ls=(0, (2, 2)), label=f"picked on validation: {picked:g}", zorder=1)
    keep = _spread(places, log)
    axes.set_xticks(places[keep], [f"{tick:g}".replace("e-0", "e-") for tick in ticks[keep]])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(words(key))
    legend_below(figure, axes)


def _spread(places: np.ndarray, log: bool) -> list[int]:
    """Which ticks can be named without touching: each at least an eleventh of the axis from the one before."""
    scale = np.log(places) if log else places
    least = (scale.max() - scale.min()) / 11
    keep: list[int] = []
    for index, place in enumerate(scale):
        if not keep or place - scale[keep[-1]] >= least:
            keep.append(index)
    return keep
