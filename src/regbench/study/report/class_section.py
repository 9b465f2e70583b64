"""Metrics by class in the report: settings down, classes across."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from regbench.drawing.style import SettingStyle
from regbench.study.comparisons import Comparison
from regbench.study.formatting import mean_sd_of
from regbench.study.measured import Quantity
from regbench.study.report.family_figures import class_names
from regbench.study.report.page import Block, Cell, Table, setting_cell
from regbench.study.report.shown import TABLE_ROWS, left_out, shown_settings

# Classes for which a table has room.
_CLASSES = 20


def class_blocks(
    comparison: Comparison, styles: Mapping[str, SettingStyle], classes: Sequence[str], title: str = ""
) -> list[Block]:
    """Return a table for each test metric that has a value for each class; none where there is no such metric.

    Args:
        comparison: The family.
        styles: A style for each setting.
        classes: The names of the classes, empty where they are not known.
        title: Of the family, where there are several.
    """
    blocks = []
    for name in comparison.kinds:
        columns = [column for column in map(str, comparison.runs) if column.startswith(f"test/{name}/")]
        columns = [column for column in columns if comparison.runs[column].notna().any()]
        if columns:
            columns.sort(key=lambda column: int(column.rpartition("/")[2]))
            quantity = Quantity.of(f"test/{name}", comparison.kinds)
            table = _table(comparison, columns, quantity, styles, class_names(classes, len(columns)))
            heading = f"{quantity.kind.words[:1].upper()}{quantity.kind.words[1:]} by class"
            blocks.append(Block(f"{heading}: {title}" if title else heading, tables=[table]))
    return blocks


def _table(
    comparison: Comparison,
    columns: Sequence[str],
    quantity: Quantity,
    styles: Mapping[str, SettingStyle],
    names: Sequence[str],
) -> Table:
    settings = shown_settings(comparison, TABLE_ROWS)
    shown = _most_different(comparison.runs, columns)
    rows = []
    for label in settings:
        runs = comparison.runs_of(label)
        cells = [_cell(runs[column], quantity) for column in shown]
        rows.append([setting_cell(label, styles, comparison.described(label)), *cells])
    left = len(columns) - len(shown)
    note = (
        f"{quantity.axis[:1].upper()}{quantity.axis[1:]}, of the images of each class: mean ± one standard deviation "
        "over seeds. No verdicts are read off here: with so many classes, some differ by chance."
    )
    if left:
        note += (
            f" Shown are the {len(shown)} classes in which settings differ most; the other {left} are in results.csv."
        )
    heads = ["setting", *(names[columns.index(column)] for column in shown)]
    return Table("", heads, rows, note + left_out(comparison, settings), sortable=True)


def _most_different(runs: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Return the columns in their order, or where there are too many those whose means differ most between settings."""
    if len(columns) <= _CLASSES:
        return list(columns)
    means = runs.groupby("label")[list(columns)].mean()
    spread = (means.max() - means.min()).sort_values(ascending=False, kind="stable")
    kept = set(spread.index[:_CLASSES])
    return [column for column in columns if column in kept]


def _cell(values: "pd.Series[float]", quantity: Quantity) -> Cell:
    known = values.astype(float).to_numpy()
    known = known[np.isfinite(known)]
    text = mean_sd_of(known, quantity.scale, 1 if quantity.kind.fraction else quantity.digits)
    return Cell(text, float(known.mean()) if known.size else "")
