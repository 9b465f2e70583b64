"""The figures of one family of settings, each prepared from its runs and histories."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Real

import pandas as pd

from regbench.drawing.style import SettingStyle
from regbench.storage.schema import name_of
from regbench.study.comparisons import Comparison
from regbench.study.figures.advantage import advantage_plot
from regbench.study.figures.curves import convergence_plot
from regbench.study.figures.differences import forest_plot, gap_plot, seed_plot
from regbench.study.figures.pairs import pairs_plot
from regbench.study.figures.power import power_plot
from regbench.study.figures.rendering import DrawnFigure
from regbench.study.report.files import FileNames
from regbench.study.report.shown import FIGURE_SETTINGS, left_out, ranked_settings, shown_settings, shown_styles
from regbench.study.results import Study
from regbench.study.statistics import VERDICTS, Difference, advantage_by_epoch
from regbench.study.statistics.checks.outliers import find_outlying
from regbench.study.statistics.pairing import values_by_seed
from regbench.study.statistics.power import power_curves


def short_title(comparison: Comparison) -> str:
    """What tells a family from the study's others, or its whole title where it is the only one."""
    parts = []
    for name, value in comparison.where.items():
        number = isinstance(value, Real) and not isinstance(value, bool)
        shown = f"{value:,.12g}" if number else str(value)
        named = name in {"dataset", "model", "optimizer", "scheduler"}
        parts.append(shown if named else f"{name.removeprefix('config/')} {shown}")
    return ", ".join(parts) or comparison.title


def difference_figure(
    comparison: Comparison,
    differences: Sequence[Difference],
    styles: Mapping[str, SettingStyle],
    names: FileNames,
    limits: tuple[float, float] | None = None,
) -> DrawnFigure | None:
    """The differences with their intervals; with ``limits`` as one of several, under its family's title."""
    if not differences:
        return None
    columns = ("label", "mean", "low", "high", "verdict")
    by_label = {each.label: {name: getattr(each, name) for name in columns} for each in differences}
    shown = shown_settings(comparison, FIGURE_SETTINGS)
    frame = pd.DataFrame([by_label[label] for label in shown if label in by_label])
    title = short_title(comparison) if limits is not None else ""
    drawn = forest_plot(
        names("differences"),
        frame,
        styles,
        str(comparison.baseline),
        comparison.margin,
        limits,
        title,
        comparison.quantity,
    )
    return _with_left_out(drawn, comparison, shown)


def seeds_figure(comparison: Comparison, styles: Mapping[str, SettingStyle], names: FileNames) -> DrawnFigure:
    """Every run's test accuracy, or what else settings are judged by."""
    own = shown_styles(comparison, styles)
    drawn = seed_plot(names("seeds"), _runs_of(comparison, own), own, comparison.quantity)
    return _with_left_out(drawn, comparison, own)


def pairs_figure(comparison: Comparison, styles: Mapping[str, SettingStyle], names: FileNames) -> DrawnFigure | None:
    """The pairs of runs with one seed."""
    if comparison.baseline is None:
        return None
    own = shown_styles(comparison, styles)
    outlying = {(run.label, run.seed) for run in find_outlying(values_by_seed(comparison.runs, comparison.metric))}
    runs = _runs_of(comparison, own)
    drawn = pairs_plot(names("pairs"), runs, own, comparison.baseline, outlying, comparison.quantity)
    return None if drawn is None else _with_left_out(drawn, comparison, own)


def gap_figure(comparison: Comparison, styles: Mapping[str, SettingStyle], names: FileNames) -> DrawnFigure:
    """Training and test accuracy, and the gap between them."""
    own = shown_styles(comparison, styles)
    return _with_left_out(gap_plot(names("gap"), _runs_of(comparison, own), own), comparison, own)


def power_figure(
    comparison: Comparison,
    differences: Sequence[Difference],
    styles: Mapping[str, SettingStyle],
    names: FileNames,
) -> DrawnFigure | None:
    """How likely so many seeds show the margin; None where there is none."""
    if math.isnan(comparison.margin):
        return None
    tested = {each.label: each for each in differences if each.evidence.is_tested and each.verdict in VERDICTS[:4]}
    together = max((each.together for each in tested.values()), default=None)
    own = shown_styles(comparison, styles)
    tested = {label: each for label, each in tested.items() if label in own}
    curves = power_curves({label: each.evidence for label, each in tested.items()}, comparison.margin, together)
    if curves.empty:
        return None
    now = {label: each.n for label, each in tested.items()}
    needed = {label: each.seeds_needed.words for label, each in tested.items() if each.seeds_needed is not None}
    baseline, margin = str(comparison.baseline), comparison.margin
    drawn = power_plot(names("power"), curves, own, baseline, margin, now, needed, comparison.quantity)
    return _with_left_out(drawn, comparison, own)


def recorded_curves(comparison: Comparison) -> list[str]:
    """Return the columns of the history that have values: `probe/acc`, `val/acc`, `test/acc`, the losses, others."""
    kinds = ("acc", "loss", *comparison.kinds)
    columns = [f"{split}/{kind}" for kind in kinds for split in ("probe", "val", "test")]
    history = comparison.history
    return [column for column in columns if column in history and history[column].notna().any()]


def advantage_figure(
    comparison: Comparison, styles: Mapping[str, SettingStyle], names: FileNames, metric: str | None = None
) -> DrawnFigure | None:
    """The lead over the baseline had training stopped at each epoch.

    Args:
        comparison: The family.
        styles: A style for each setting.
        names: For the figure's file.
        metric: A column of the history; unless given, that of what settings are judged by, else accuracy, on validation
            images, or where there are none on test images.
    """
    recorded = recorded_curves(comparison)
    judged = name_of(comparison.metric)
    likely = (f"val/{judged}", f"test/{judged}", "val/acc", "test/acc")
    metric = metric or next((name for name in likely if name in recorded), None)
    if comparison.baseline is None or metric is None or len(comparison.labels) < 2:
        return None
    frame = advantage_by_epoch(comparison, metric)
    if frame.empty:
        return None
    constant = set(comparison.runs["scheduler"]) == {"constant"}
    own = _curve_styles(comparison, styles)
    measured, judged = comparison.kinds.get(name_of(metric)), comparison.quantity.words
    return advantage_plot(names("advantage"), frame, own, comparison.baseline, metric, constant, measured, judged)


def convergence_figure(
    comparison: Comparison, styles: Mapping[str, SettingStyle], column: str, names: FileNames
) -> DrawnFigure:
    """One column of the history by epoch."""
    split, kind = column.split("/")
    best = comparison.runs.groupby("label")["best_epoch"].median().to_dict()
    chosen = {str(label): float(epoch) for label, epoch in best.items()}
    name = names({"acc": "accuracy"}.get(kind, kind), split)
    own, measured = _curve_styles(comparison, styles), comparison.kinds.get(kind)
    return convergence_plot(name, comparison.history, chosen, column, own, measured, comparison.baseline)


def classes_of(study: Study, comparison: Comparison) -> list[str]:
    """The class names of a family's data set, empty where its configuration is not known."""
    for config_hash in pd.unique(comparison.runs["config_hash"]):
        dataset = study.configs.get(str(config_hash), {}).get("dataset")
        names = dataset.get("classes") if isinstance(dataset, Mapping) else None
        if isinstance(names, list):
            return [str(name) for name in names]
    return []


def class_names(classes: Sequence[str], count: int) -> list[str]:
    """Return the names of so many classes; their numbers where the names are not known."""
    return [str(name) for name in classes] if len(classes) == count else [str(number) for number in range(count)]


def _curve_styles(comparison: Comparison, styles: Mapping[str, SettingStyle]) -> dict[str, SettingStyle]:
    """The figures over epochs draw the first of these and count the others."""
    many = len(comparison.labels) > FIGURE_SETTINGS
    return {label: styles[label] for label in (ranked_settings(comparison) if many else comparison.labels)}


def _runs_of(comparison: Comparison, labels: Iterable[str]) -> pd.DataFrame:
    return comparison.runs[comparison.runs["label"].isin(list(labels))]


def _with_left_out(figure: DrawnFigure, comparison: Comparison, shown: Iterable[str]) -> DrawnFigure:
    return replace(figure, caption=figure.caption + left_out(comparison, shown))
