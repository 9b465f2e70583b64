"""What the report says of numbers that were varied: accuracy and gap along them, and what validation picks."""

from collections.abc import Mapping, Sequence

from regbench.drawing.style import SettingStyle
from regbench.study.figures.rendering import DrawnFigure
from regbench.study.figures.varied_parameters import parameter_plots, setting_plots
from regbench.study.report.files import FileNames
from regbench.study.report.page import Block, Cell, Table, Verdict, mean_cell_of
from regbench.study.report.shown import AXES, TABLE_ROWS
from regbench.study.settings import REGULARIZER
from regbench.study.varied_parameters import VariedParameter


def parameter_blocks(
    parameters: Sequence[VariedParameter], styles: Mapping[str, SettingStyle]
) -> tuple[list[Block], list[Verdict]]:
    """Accuracy and gap against every varied number, and for a technique's strength what validation picks.

    Where there are more than a page has room for, those along which most runs lie are shown.
    """
    blocks, picks = [], []
    names = FileNames("axes")
    for parameter in _most_runs(parameters):
        title = full_title(parameter)
        technique = _is_of_one_setting(parameter)
        figures = parameter_figures(parameter, styles, names(title))
        tables = []
        if technique:
            tables.append(_table(parameter, title))
        if technique and parameter.pick is not None:
            picks.append(_picked(parameter, title))
        blocks.append(Block(title, figures=figures, tables=tables))
    if more := len(parameters) - len(blocks):
        blocks.append(Block(texts=[f"{more:,} more axes are not drawn."]))
    return blocks, picks


def full_title(parameter: VariedParameter) -> str:
    """Return what was varied, with what tells it from others of its name: `"dropout p, model mlp"`."""
    shared = [f"{key.rpartition('/')[2]} {value}" for key, value in parameter.where.items()]
    return ", ".join([parameter.title, *shared])


def parameter_figures(
    parameter: VariedParameter, styles: Mapping[str, SettingStyle], name: str
) -> Sequence[DrawnFigure]:
    """Draw accuracy, and after it the gap, against a varied number: of one technique, or of each setting.

    Args:
        parameter: The number with its runs.
        styles: A style for each setting.
        name: The stem of the figures' files.
    """
    if _is_of_one_setting(parameter):
        return parameter_plots(name, parameter.runs, parameter.title, parameter.log, parameter.pick)
    own = {label: style for label, style in styles.items() if label in set(parameter.runs["label"])}
    return setting_plots(name, parameter.runs, parameter.title, parameter.log, own)


def _is_of_one_setting(parameter: VariedParameter) -> bool:
    return parameter.key.startswith(REGULARIZER) or parameter.runs["label"].nunique() == 1


def _most_runs(parameters: Sequence[VariedParameter]) -> list[VariedParameter]:
    """Return as many as there is room for, in their order."""
    if len(parameters) <= AXES:
        return list(parameters)
    ranked = sorted(range(len(parameters)), key=lambda place: -len(parameters[place].runs))
    return [parameters[place] for place in sorted(ranked[:AXES])]


def _table(parameter: VariedParameter, title: str) -> Table:
    rows = []
    for value in parameter.values[:TABLE_ROWS]:
        runs = parameter.runs[parameter.runs["value"] == value]
        text = f"{value:g}" + (" (picked)" if value == parameter.pick else "")
        row = [Cell(text, float(value)), Cell(str(len(runs)), len(runs))]
        rows.append(row + [mean_cell_of(runs[key], 100) for key in ("val/acc", "test/acc", "train/acc", "gap")])
    more = len(parameter.values) - len(rows)
    note = f"The first {len(rows)} values; {more:,} more are left out." if more else ""
    return Table(title, [parameter.title, "n", "validation", "test", "training", "gap"], rows, note, sortable=True)


def _picked(parameter: VariedParameter, title: str) -> Verdict:
    runs = parameter.runs[parameter.runs["value"] == parameter.pick]
    validation, test = mean_cell_of(runs["val/acc"], 100).text, mean_cell_of(runs["test/acc"], 100).text
    sentence = (
        f"Of {len(parameter.values)} values this has the highest mean validation accuracy ({validation} %); its test "
        f"accuracy is {test} % over {len(runs)} run{'s' if len(runs) > 1 else ''}. The test set had no say."
    )
    return Verdict("even", "●", f"{title}: {parameter.pick:g}.", sentence)
