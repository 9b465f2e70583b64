"""A study's report: its tables, its figures and one page that needs nothing but itself."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from regbench.drawing.style import SettingStyle, setting_styles
from regbench.study.acting import idle_techniques
from regbench.study.comparisons import Comparison, comparisons
from regbench.study.figures.rendering import DrawnFigure
from regbench.study.formatting import change
from regbench.study.measured import TEST_ACCURACY, check_metric
from regbench.study.predictions import Predictions
from regbench.study.report.appendix import configurations, mixed_code, provenance, unfinished
from regbench.study.report.arranged import gather_tall
from regbench.study.report.class_section import class_blocks
from regbench.study.report.comparison_section import (
    epoch_blocks,
    prediction_blocks,
    predictions_by_setting,
    settings_table,
    without_predictions,
)
from regbench.study.report.family_figures import (
    classes_of,
    difference_figure,
    gap_figure,
    pairs_figure,
    power_figure,
    seeds_figure,
    short_title,
)
from regbench.study.report.files import FileNames, slug, write_page
from regbench.study.report.left_out import measured_notice, unfinished_notice, unverified_notice
from regbench.study.report.page import Block, Page, Section, Table, Verdicts, mean_cell_of, setting_cell
from regbench.study.report.parameter_section import parameter_blocks
from regbench.study.report.shown import FAMILIES, TABLE_ROWS, shown_settings
from regbench.study.report.tables import write_tables
from regbench.study.report.tuned_notices import certainty_notices, tuned_notices
from regbench.study.report.tuned_section import tuned_sections
from regbench.study.report.verdict_cards import SIGNS, glossary, verdict_group
from regbench.study.results import Study
from regbench.study.statistics import NOT_ACTING, Difference, compare
from regbench.study.statistics.new_images import with_new_images
from regbench.study.statistics.stages import looked_again
from regbench.study.varied_parameters import varied_parameters

# Beyond these a page is too heavy to read; what is left out is said, and stands in the tables.
_FULL_FAMILIES = 4


class Told(NamedTuple):
    """What a report says, for those who write it elsewhere.

    Attributes:
        families: The families of settings.
        differences: Of each family's settings from its baseline.
        notes: What else is to be known, a text each.
    """

    families: list[Comparison]
    differences: list[list[Difference]]
    notes: list[str]


def write_report(
    study: Study,
    out: Path,
    baseline: str = "none",
    margin: float | None = None,
    command: str = "",
    metric: str = TEST_ACCURACY,
) -> tuple[Path, Told]:
    """Write tables, figures and ``report.html`` into ``out``.

    The same runs give the same bytes, so that a second call changes nothing.

    Args:
        study: What was loaded; half-finished studies are reported and say so.
        out: The report's folder, made where missing.
        baseline: The label that the others are compared with.
        margin: The smallest difference that matters, in the metric's unit: a fraction of accuracy. Unless given, each
            data set's own for accuracies, and none for other metrics, of which nothing is called equivalent then.
        command: The command that repeats the report.
        metric: What settings are judged by, a column of the study's runs.

    Returns:
        The page's path, and what it says.
    """
    families, differences = judge_families(study, baseline, margin, metric)
    write_tables(study, list(zip(families, differences, strict=True)), out)
    parameters = varied_parameters(study)
    more = [str(label) for parameter in parameters for label in parameter.runs["label"].unique()]
    styles = setting_styles([*(label for each in families for label in each.labels), *more])
    shown, judged = families[:FAMILIES], differences[:FAMILIES]
    drawn, told, problems = _families(shown, judged, styles, study)
    if others := len(families) - len(shown):
        told.append(Verdicts("", [], more=f"{others:,} more families of settings are in comparison.csv."))
    varied, picks = parameter_blocks(parameters, styles)
    if picks:
        told.append(Verdicts("Chosen on validation data", picks))
    sections = [
        Section("results", "Results", blocks=_results(shown, judged, styles)),
        *drawn,
        *tuned_sections(study, styles),
        *([Section("strengths", "Along an axis", blocks=varied)] if varied else []),
        *([glossary([each.margin for each in families], families[0].quantity)] if families else []),
        *unfinished(study, problems),
        *configurations(study),
        *provenance(study, command),
    ]
    codes = mixed_code(study)
    idle = _idle(study, differences)
    again = list(dict.fromkeys(filter(None, (looked_again(each.runs) for each in families))))
    unsure_search = certainty_notices(study, metric)
    searched = [*unsure_search, *tuned_notices(study.tuning)]
    unsure = [*unverified_notice(study), *measured_notice(study)]
    notices = [*unfinished_notice(study), *unsure, *searched, *codes, *idle, *again]
    page = Page(study.name, _lead(study, families), notices, (), told, [each for each in sections if each])
    chosen = [f"Chosen on validation data: {each.badge.rstrip('.')}" for each in picks]
    return write_page(page, out), Told(families, differences, [*codes, *chosen, *idle, *unsure_search, *again])


def judge_families(
    study: Study, baseline: str = "none", margin: float | None = None, metric: str = TEST_ACCURACY
) -> tuple[list[Comparison], list[list[Difference]]]:
    """Return a study's families of settings and each one's differences from its baseline, as `write_report` shows them.

    Args:
        study: What was loaded.
        baseline: The label that the others are compared with.
        margin: As in `write_report`.
        metric: As in `write_report`.

    Raises:
        ValueError: No run has the baseline's label, there is no such metric, or the margin is not above 0.
    """
    check_metric(metric, study.measured, study.metrics)
    families = [each.judged_by(metric, margin) for each in comparisons(study, baseline)]
    differences = [compare(each, metric, each.margin) for each in families]
    # Reads all predictions, as the figures of these families do.
    differences[:_FULL_FAMILIES] = map(with_new_images, families[:_FULL_FAMILIES], differences[:_FULL_FAMILIES])
    return families, differences


def _families(
    families: Sequence[Comparison],
    differences: Sequence[Sequence[Difference]],
    styles: Mapping[str, SettingStyle],
    study: Study,
) -> tuple[list[Section], list[Verdicts], list[str]]:
    """Every family's figures and verdicts, and the predictions that could not be read."""
    sections, told, problems, forests = [], [], [], []
    limits = _shared_limits(families, differences) if len(families) > 1 else None
    sampled: set[str] = set()
    for number, (comparison, found) in enumerate(zip(families, differences, strict=True)):
        title = short_title(comparison) if len(families) > 1 else ""
        names = FileNames(f"{number + 1:02d}-{slug(title)}" if title else "")
        predictions: dict[str, Predictions] = {}
        forest = _drawn(difference_figure(comparison, found, styles, names, limits))
        spread = [seeds_figure(comparison, styles, names), gap_figure(comparison, styles, names)]
        pairs = _drawn(pairs_figure(comparison, styles, names)) + _drawn(power_figure(comparison, found, styles, names))
        if limits is None:
            blocks = [Block("Differences, seeds and gap", figures=[*forest, *spread])]
        else:
            forests += forest
            blocks = [Block("Seeds and gap", figures=spread)]
        blocks += [Block("Seed by seed, power", figures=pairs)] if pairs else []
        texts = []
        blocks += class_blocks(comparison, styles, classes_of(study, comparison))
        if number < _FULL_FAMILIES:
            predictions = predictions_by_setting(comparison)
            blocks += epoch_blocks(comparison, styles, names)
            dataset = str(comparison.runs["dataset"].iloc[0])
            blocks += prediction_blocks(
                predictions,
                styles,
                classes_of(study, comparison),
                names,
                samples=dataset not in sampled,
                others=without_predictions(comparison, predictions),
            )
            sampled.add(dataset)
            problems += [line for each in predictions.values() for line in each.problems]
        else:
            texts.append(f"Curves and predictions are drawn for the first {_FULL_FAMILIES} families only.")
        size = max((each.size for each in predictions.values()), default=0)
        told.append(verdict_group(comparison, found, title, size))
        heading = f"Figures: {title}" if title else "Figures"
        sections.append(Section(f"figures-{number + 1}", heading, texts, gather_tall(blocks)))
    if forests:
        texts = ["The differences of every family on one axis."]
        sections.insert(0, Section("side-by-side", "Side by side", texts, [Block(figures=forests)]))
    return sections, told, problems


def _drawn(figure: DrawnFigure | None) -> list[DrawnFigure]:
    return [] if figure is None else [figure]


def _shared_limits(
    families: Sequence[Comparison], differences: Sequence[Sequence[Difference]]
) -> tuple[float, float] | None:
    """One axis for the differences of all families, so that they can be read side by side."""
    margin = max(each.margin for each in families)
    scale = families[0].quantity.scale
    ends = [scale * end for found in differences for each in found for end in (each.low, each.high, each.mean)]
    finite = [end for end in [*ends, -scale * margin, scale * margin] if np.isfinite(end)]
    if not ends or not finite:
        return None
    room = 0.08 * (max(finite) - min(finite))
    return min(finite) - room, max(finite) + room


def _results(
    families: Sequence[Comparison], differences: Sequence[Sequence[Difference]], styles: Mapping[str, SettingStyle]
) -> list[Block]:
    tables = [
        settings_table(comparison, found, styles) for comparison, found in zip(families, differences, strict=True)
    ]
    if len(tables) > 1:
        # One note, below the last table, says it for all.
        tables = [*(replace(each, note="") for each in tables[:-1]), tables[-1]]
        tables.insert(0, _side_by_side(families, differences, styles))
    return [Block(tables=tables)]


def _side_by_side(
    families: Sequence[Comparison], differences: Sequence[Sequence[Difference]], styles: Mapping[str, SettingStyle]
) -> Table:
    """Settings down, families across: what they are judged by, and the difference from that family's baseline."""
    judged = families[0].quantity
    rows = []
    labels = dict.fromkeys(label for each in families for label in shown_settings(each, TABLE_ROWS))
    for label in list(labels)[:TABLE_ROWS]:
        row = [setting_cell(label, styles)]
        for comparison, found in zip(families, differences, strict=True):
            reached = mean_cell_of(comparison.runs_of(label)[judged.column], judged.scale, judged.digits)
            difference = next((each for each in found if each.label == label), None)
            if difference is None:
                row.append(reached)
            else:
                kind, symbol = SIGNS[difference.verdict]
                changed = change(difference.mean, judged.kind)
                row.append(replace(reached, text=f"{reached.text}  {symbol} {changed}", kind=kind))
        rows.append(row)
    note = (
        f"{judged.title}{' in percent' if judged.unit else ''}, and the difference from the baseline of the same column"
        f"{' in points' if judged.unit else ''}: "
        "▲ better, ▼ worse, ≈ equivalent within the margin, ? undecided, … too few seeds, ∅ did not act."
    )
    return Table(
        "Side by side",
        ["setting", *(short_title(each) for each in families)],
        rows,
        note,
        sortable=True,
    )


def _lead(study: Study, families: Sequence[Comparison]) -> str:
    runs = study.runs
    if runs.empty:
        return "No run is finished yet."
    settings = len({label for each in families for label in each.labels})
    seeds = [rows["seed"].nunique() for each in families for _, rows in each.runs.groupby("label")]
    counted = f"{min(seeds)} to {max(seeds)}" if min(seeds) < max(seeds) else f"{max(seeds)}"
    parts = [
        f"{len(runs)} finished runs: {settings} setting{'s' if settings > 1 else ''}, "
        f"{counted} seed{'s' if max(seeds) > 1 else ''} each"
    ]
    parts += [", ".join(sorted(map(str, runs[key].dropna().unique()))) for key in ("dataset", "model", "optimizer")]
    epochs = sorted(int(each) for each in runs["epochs"].dropna().unique())
    parts.append(f"{', '.join(map(str, epochs))} epochs")
    parts += [f"judged by {families[0].quantity.words}"] if not families[0].quantity.is_test_accuracy else []
    baselines = dict.fromkeys(each.baseline for each in families if each.baseline is not None)
    return " · ".join([*parts, *([f"baseline: {', '.join(baselines)}"] if baselines else [])])


def _idle(study: Study, differences: Sequence[Sequence[Difference]]) -> list[str]:
    """Name the techniques that did nothing, but for those of settings of which a sentence says it already."""
    said = {each.label for found in differences for each in found if each.verdict == NOT_ACTING}
    return [
        f"{technique} did nothing in {label}: layers, decays and gradients are those of the same runs without it."
        for label, technique in idle_techniques(study.runs)
        if label not in said
    ]
