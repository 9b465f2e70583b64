"""Figures of a search: what each number of trials may expect, and how a setting depends on its values."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from regbench.drawing.series import in_series
from regbench.drawing.style import INK, PAPER, SettingStyle, figure_style, legend_below, new_figure, shorten
from regbench.storage.tuning import Range, TrialRecord
from regbench.study.expected_best import ExpectedBest
from regbench.study.figures.rendering import DrawnFigure, Value
from regbench.study.formatting import mean_sd

_WHOLE, _PRUNED = "trained to the end", "pruned or diverged"


def expected_best_plot(
    name: str, curves: Mapping[str, ExpectedBest], styles: Mapping[str, SettingStyle], metric: str
) -> DrawnFigure:
    """Draw each setting's expected best validation score against the number of trials, with its band."""
    scale, unit, digits = (100, "accuracy, %", 2) if metric == "val/acc" else (1, "loss", 4)
    values: list[Value] = []
    with figure_style():
        figure, axes = new_figure()
        for label, curve in curves.items():
            style = styles[label]
            band = axes.fill_between(
                curve.trials, scale * curve.low, scale * curve.high, color=style.color, alpha=0.09, lw=0
            )
            line = axes.plot(
                curve.trials, scale * curve.mean, color=style.color, ls=style.dash, marker=style.marker, ms=4,
                markevery=max(1, len(curve.mean) // 6), mec=PAPER, mew=0.5, lw=1.6, label=shorten(label),
            )  # fmt: skip
            in_series(label, line, band)
            values += [
                Value(axes, trials, mean, f"{trials} trials: {mean_sd(mean, sd, digits)}", label)
                for trials, mean, sd in zip(curve.trials, scale * curve.mean, scale * curve.sd, strict=True)
            ]
        axes.set_ylim(*_focus(curves, scale))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("trials")
        axes.set_ylabel(f"best validation {unit}")
        axes.set_title("Expected best after k trials")
        legend_below(figure, axes)
        caption = (
            "Expected best validation score of k trials drawn with replacement from all of a setting's trials "
            "(Dodge et al., 2019); the band is one standard deviation. Who leads may depend on the number of trials."
        )
        return DrawnFigure(name, caption, figure, values)


def sensitivity_plot(
    name: str,
    title: str,
    key: str,
    searched: Range,
    trials: Sequence[TrialRecord],
    choice: TrialRecord | None,
    default: object,
    style: SettingStyle,
    metric: str,
) -> DrawnFigure:
    """Draw all trials' validation scores against one searched value, the choice marked.

    Args:
        name: The file's stem.
        title: The setting.
        key: Of the run's configuration.
        searched: Its range.
        trials: All; those without a score are left out.
        choice: The chosen trial.
        default: The YAML's value, for a line.
        style: The setting's.
        metric: `val/acc` or `val/loss`.
    """
    scale, unit, digits = (100, "accuracy, %", 2) if metric == "val/acc" else (1, "loss", 4)
    scored = [each for each in trials if each.score is not None]
    places = _places(searched, [each.values[key] for each in scored])
    scores = scale * np.array([each.score for each in scored], dtype=float)
    whole = np.array([each.state == "finished" for each in scored], dtype=bool)
    shown = key.removeprefix("regularizer.").replace(".", " ")
    with figure_style():
        figure, axes = new_figure()
        _marks(axes, places[whole], scores[whole], style, filled=True)
        _marks(axes, places[~whole], scores[~whole], style, filled=False)
        if choice is not None and choice.score is not None:
            where = _places(searched, [choice.values[key]])
            axes.plot(where, [scale * choice.score], "*", ms=15, mfc=style.color, mec=INK, mew=1.1, label="chosen")
        if isinstance(default, (int, float)) and not isinstance(default, bool) and searched.choices is None:
            axes.axvline(float(default), color=INK, lw=1, ls=(0, (2, 2)), label=f"default: {default:g}", zorder=1)
        _value_axis(axes, searched)
        axes.set_ylim(*_spread(scores))
        axes.set_xlabel(shorten(shown))
        axes.set_ylabel(f"validation {unit}")
        axes.set_title(shorten(title, 44))
        legend_below(figure, axes)
        caption = (
            f"Validation score of every trial of {title} against {shown}; the star is the chosen trial, hollow marks "
            "are trials that were pruned or diverged. What lies far below the others is cut off."
        )
        values = [
            Value(axes, place, score, f"{_written(each.values[key])}: {score:.{digits}f}, {each.state}", title)
            for place, score, each in zip(places, scores, scored, strict=True)
        ]
        return DrawnFigure(name, caption, figure, values, title)


def _marks(axes: Axes, places: np.ndarray, scores: np.ndarray, style: SettingStyle, filled: bool) -> None:
    if places.size:
        axes.plot(
            places, scores, style.marker, ms=5.5, color=style.color, mfc=style.color if filled else PAPER,
            alpha=0.75, ls="", label=_WHOLE if filled else _PRUNED,
        )  # fmt: skip


def _written(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _places(searched: Range, values: Sequence[object]) -> np.ndarray:
    if searched.choices is not None:
        return np.array([searched.choices.index(each) for each in values], dtype=float)  # type: ignore[arg-type]  # one of them
    return np.array(values, dtype=float)


def _value_axis(axes: Axes, searched: Range) -> None:
    if searched.choices is not None:
        axes.set_xticks(range(len(searched.choices)), [shorten(each, 12) for each in searched.choices])
        axes.set_xlim(-0.5, len(searched.choices) - 0.5)
    elif searched.log and searched.low is not None and searched.high is not None:
        axes.set_xscale("log")
        powers = np.arange(math.ceil(math.log10(searched.low) - 1e-9), math.floor(math.log10(searched.high) + 1e-9) + 1)
        if powers.size:
            axes.set_xticks(10.0**powers, [f"{10.0**power:g}".replace("e-0", "e-") for power in powers])
            axes.minorticks_off()


def _spread(scores: np.ndarray) -> tuple[float, float]:
    """The axis of scores: from well below the lower quartile to the best, so that a few failures squeeze nothing."""
    if not scores.size:
        return 0.0, 1.0
    low, middle, high = np.quantile(scores, [0.25, 0.5, 0.75])
    reach = max(2.5 * (high - low), 0.3 * abs(middle) / 100, 1e-6)
    bottom, top = max(float(scores.min()), low - reach), min(float(scores.max()), high + reach)
    room = 0.08 * max(top - bottom, 1e-6)
    return bottom - room, top + room


def _focus(curves: Mapping[str, ExpectedBest], scale: float) -> tuple[float, float]:
    """The axis of expected bests: from what two trials may expect to the best of all."""
    ends = np.array([scale * each for curve in curves.values() for each in (*curve.low[1:], *curve.high[1:])] or [0, 1])
    room = 0.06 * max(float(ends.max() - ends.min()), 1e-6)
    return float(ends.min()) - room, float(ends.max()) + room
