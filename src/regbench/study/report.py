"""A study's report: its tables, its figures and one page that needs nothing but itself."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from regbench.study import family, figures
from regbench.study.appendix import configurations, provenance, unfinished
from regbench.study.axes import Comparison, StrengthAxis, comparisons, strength_axes
from regbench.study.page import Block, Cell, Page, Section, Stems, Table, Verdict, Verdicts, mean_sd, slug, write_page
from regbench.study.predictions import Predictions
from regbench.study.results import Study
from regbench.study.statistics import Difference, compare
from regbench.study.style import Look, looks
from regbench.study.tables import write_tables

# Beyond these a page is too heavy to read; what is left out is said, and stands in the tables.
_FULL_FAMILIES = 4
_REGULARIZER = "config/regularizer."


def write_report(
    study: Study, out: Path, baseline: str = "none", margin: float = 0.003, command: str = ""
) -> tuple[Path, list[str]]:
    """Write tables, figures and ``report.html`` into ``out``.

    The same runs give the same bytes, so that a second call changes nothing.

    Args:
        study: What was loaded; half-finished studies are reported and say so.
        out: The report's folder, made where missing.
        baseline: The label that the others are compared with.
        margin: The smallest difference of interest, a fraction.
        command: The command that repeats the report.

    Returns:
        The page's path, and its verdicts as lines of text.
    """
    families = comparisons(study, baseline) if len(study.runs) else []
    differences = [compare(each, margin=margin) for each in families]
    write_tables(study, families, out, margin)
    axes = strength_axes(study) if len(study.runs) else []
    varied = [str(label) for axis in axes for label in axis.runs["label"].unique()]
    styles = looks([*(label for each in families for label in each.labels), *varied])
    drawn, told, problems = _families(families, differences, styles, study, margin)
    strengths, picks = _strengths(axes, styles)
    if picks:
        told.append(Verdicts("Chosen on validation data", picks))
    sections = [
        Section("results", "Results", blocks=_results(families, differences, styles)),
        *drawn,
        *([Section("strengths", "Along an axis", blocks=strengths)] if strengths else []),
        *unfinished(study, problems),
        *configurations(study),
        *provenance(study, command),
    ]
    page = Page(study.name, _lead(study, families), _notices(study), (), told, [each for each in sections if each])
    return write_page(page, out), _lines(told)


def _families(
    families: Sequence[Comparison],
    differences: Sequence[Sequence[Difference]],
    styles: Mapping[str, Look],
    study: Study,
    margin: float,
) -> tuple[list[Section], list[Verdicts], list[str]]:
    """Every family's figures and verdicts, and the predictions that could not be read."""
    sections, told, problems, forests = [], [], [], []
    limits = _shared_limits(differences, margin) if len(families) > 1 else None
    sampled: set[str] = set()
    for number, (comparison, found) in enumerate(zip(families, differences, strict=True)):
        title = family.short_title(comparison) if len(families) > 1 else ""
        stems = Stems(f"{number + 1:02d}-{slug(title)}" if title else "")
        predictions: dict[str, Predictions] = {}
        forest = family.forest(comparison, found, styles, margin, stems, limits)
        spread = family.spread(comparison, styles, stems)
        if limits is None:
            blocks = [Block("Differences, seeds and gap", pictures=[*forest, *spread])]
        else:
            forests += forest
            blocks = [Block("Seeds and gap", pictures=spread)]
        texts = []
        if number < _FULL_FAMILIES:
            predictions = family.read_predictions(comparison)
            blocks += family.over_epochs(comparison, styles, stems)
            dataset = str(comparison.runs["dataset"].iloc[0])
            blocks += family.over_predictions(
                predictions, styles, _classes(study, comparison), stems, samples=dataset not in sampled
            )
            sampled.add(dataset)
            problems += [line for each in predictions.values() for line in each.problems]
        else:
            texts.append(f"Curves and predictions are drawn for the first {_FULL_FAMILIES} families only.")
        size = max((each.size for each in predictions.values()), default=0)
        told.append(family.verdicts(comparison, found, title, size))
        heading = f"Figures: {title}" if title else "Figures"
        sections.append(Section(f"figures-{number + 1}", heading, texts, blocks))
    if forests:
        texts = ["The differences of every family on one axis."]
        sections.insert(0, Section("side-by-side", "Side by side", texts, [Block(pictures=forests)]))
    return sections, told, problems


def _shared_limits(differences: Sequence[Sequence[Difference]], margin: float) -> tuple[float, float] | None:
    """One axis for the differences of all families, so that they can be read side by side."""
    ends = [100 * end for found in differences for each in found for end in (each.low, each.high, each.mean)]
    finite = [end for end in [*ends, -100 * margin, 100 * margin] if np.isfinite(end)]
    if not ends:
        return None
    room = 0.08 * (max(finite) - min(finite))
    return min(finite) - room, max(finite) + room


def _results(
    families: Sequence[Comparison], differences: Sequence[Sequence[Difference]], styles: Mapping[str, Look]
) -> list[Block]:
    tables = [family.table(comparison, found, styles) for comparison, found in zip(families, differences, strict=True)]
    if len(tables) > 1:
        # One note, below the last table, says it for all.
        tables = [*(replace(each, note="") for each in tables[:-1]), tables[-1]]
        tables.insert(0, _side_by_side(families, differences, styles))
    return [Block(tables=tables)]


def _side_by_side(
    families: Sequence[Comparison], differences: Sequence[Sequence[Difference]], styles: Mapping[str, Look]
) -> Table:
    """Settings down, families across: test accuracy, and the difference from that family's baseline."""
    rows = []
    labels = dict.fromkeys(label for each in families for label in each.labels)
    for label in labels:
        row = [Cell(label, color=styles[label].color)]
        for comparison, found in zip(families, differences, strict=True):
            accuracy = mean_sd(comparison.runs.loc[comparison.runs["label"] == label, "test/acc"], 100)
            difference = next((each for each in found if each.label == label), None)
            if difference is None:
                row.append(accuracy)
            else:
                kind, symbol = family.SIGNS[difference.verdict]
                change = figures.signed(100 * difference.mean)
                row.append(replace(accuracy, text=f"{accuracy.text}  {symbol} {change}", kind=kind))
        rows.append(row)
    note = (
        "Test accuracy in percent, and the difference from the baseline of the same column in points: "
        "▲ better, ▼ worse, ≈ not distinguishable, ? too few seeds."
    )
    return Table(
        "Side by side", ["setting", *(family.short_title(each) for each in families)], rows, note, sortable=True
    )


def _strengths(axes: Sequence[StrengthAxis], styles: Mapping[str, Look]) -> tuple[list[Block], list[Verdict]]:
    """Accuracy and gap against every varied number, and for a technique's strength what validation picks."""
    blocks, picks = [], []
    stems = Stems("axes")
    for axis in axes:
        shared = [f"{key.rpartition('/')[2]} {value}" for key, value in axis.where.items()]
        title = ", ".join([axis.title, *shared])
        stem = stems(title)
        technique = axis.key.startswith(_REGULARIZER) or axis.runs["label"].nunique() == 1
        if technique:
            pictures = figures.strength(stem, axis.runs, axis.title, axis.log, axis.pick)
        else:
            own = {label: look for label, look in styles.items() if label in set(axis.runs["label"])}
            pictures = figures.axis_lines(stem, axis.runs, axis.title, axis.log, own)
        tables = []
        if technique:
            tables.append(_strength_table(axis, title))
        if technique and axis.pick is not None:
            picks.append(_picked(axis, title))
        blocks.append(Block(title, pictures=pictures, tables=tables))
    return blocks, picks


def _strength_table(axis: StrengthAxis, title: str) -> Table:
    rows = []
    for value in axis.values:
        runs = axis.runs[axis.runs["value"] == value]
        text = f"{value:g}" + (" (picked)" if value == axis.pick else "")
        row = [Cell(text, float(value)), Cell(str(len(runs)), len(runs))]
        rows.append(row + [mean_sd(runs[key], 100) for key in ("val/acc", "test/acc", "train/acc", "gap")])
    return Table(title, [axis.title, "n", "validation", "test", "training", "gap"], rows, sortable=True)


def _picked(axis: StrengthAxis, title: str) -> Verdict:
    runs = axis.runs[axis.runs["value"] == axis.pick]
    validation, test = mean_sd(runs["val/acc"], 100).text, mean_sd(runs["test/acc"], 100).text
    sentence = (
        f"Of {len(axis.values)} values this has the highest mean validation accuracy ({validation} %); its test "
        f"accuracy is {test} % over {len(runs)} run{'s' if len(runs) > 1 else ''}. The test set had no say."
    )
    return Verdict("even", "●", f"{title}: {axis.pick:g}.", sentence)


def _lines(told: Sequence[Verdicts]) -> list[str]:
    """The verdicts for a terminal."""
    lines = []
    for group in told:
        lines += [f"{group.title}:"] if group.title else []
        lines += [f"{each.symbol} {each.badge} {each.sentence}" for each in group.verdicts]
    return lines


def _lead(study: Study, families: Sequence[Comparison]) -> str:
    runs = study.runs
    if runs.empty:
        return "No run is finished yet."
    settings = len({label for each in families for label in each.labels})
    seeds = runs["seed"].nunique()
    parts = [
        f"{len(runs)} finished runs: {settings} setting{'s' if settings > 1 else ''}, "
        f"{seeds} seed{'s' if seeds > 1 else ''}"
    ]
    parts += [", ".join(sorted(map(str, runs[key].dropna().unique()))) for key in ("dataset", "model", "optimizer")]
    epochs = sorted(int(each) for each in runs["epochs"].dropna().unique())
    parts.append(f"{', '.join(map(str, epochs))} epochs")
    baselines = dict.fromkeys(each.baseline for each in families if each.baseline is not None)
    return " · ".join([*parts, *([f"baseline: {', '.join(baselines)}"] if baselines else [])])


def _notices(study: Study) -> list[str]:
    if study.unfinished.empty:
        return []
    done, left = len(study.runs), len(study.unfinished)
    counts = study.unfinished["status"].value_counts()
    what = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    return [
        f"This study is not whole: {done} of {done + left} runs are finished ({what}). All numbers are of finished "
        "runs alone; the others are listed under “Runs without a result”."
    ]


def _classes(study: Study, comparison: Comparison) -> list[str]:
    """The class names of a family's data set, empty where its configuration is not known."""
    for config_hash in pd.unique(comparison.runs["config_hash"]):
        dataset = study.configs.get(str(config_hash), {}).get("dataset")
        names = dataset.get("classes") if isinstance(dataset, Mapping) else None
        if isinstance(names, list):
            return [str(name) for name in names]
    return []
