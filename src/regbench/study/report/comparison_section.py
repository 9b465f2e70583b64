"""One family of settings in the report: its verdicts, its table of settings, its figures."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from regbench.drawing.confusion import most_confused, row_shares
from regbench.drawing.style import SettingStyle
from regbench.study import formatting
from regbench.study.comparisons import Comparison
from regbench.study.figures.predictions import confusion_figure, mistake_grid, reliability_figure, sample_grid
from regbench.study.measured import Quantity
from regbench.study.predictions import Predictions, confused_pairs, read_predictions
from regbench.study.report.family_figures import (
    advantage_figure,
    class_names,
    convergence_figure,
    recorded_curves,
)
from regbench.study.report.files import FileNames
from regbench.study.report.page import Block, Cell, Table, mean_cell, setting_cell
from regbench.study.report.shown import FIGURE_SETTINGS, TABLE_ROWS, left_out, shown_settings
from regbench.study.report.tables import comparison_table, own_columns
from regbench.study.report.verdict_cards import SIGNS
from regbench.study.statistics import Difference

# Settings whose predictions are drawn.
_DETAILED, _DETAILED_OF_MANY = FIGURE_SETTINGS, 6


def settings_table(
    comparison: Comparison, differences: Sequence[Difference], styles: Mapping[str, SettingStyle]
) -> Table:
    """One row per setting: mean ± standard deviation of its runs, and its difference from the baseline."""
    by_label = {each.label: each for each in differences}
    judged = comparison.quantity
    # What a reader wants first stands first, since a phone shows three columns.
    heads = ["setting", *(["difference, 95 % interval", "verdict"] if differences else []), judged.words, "n"]
    heads += ["beats baseline", "on new images", "adjusted p"] if differences else []
    heads += [] if judged.is_test_accuracy else ["test accuracy"]
    heads += ["validation", "training", "gap", "test loss", "calibration error", "best epoch", "parameters", "seconds"]
    others = [Quantity.of(name, comparison.kinds) for name in own_columns(comparison) if name != comparison.metric]
    heads += [each.words for each in others]
    rows = []
    shown = shown_settings(comparison, TABLE_ROWS)
    for entry in comparison_table(comparison, differences, shown).to_dict("records"):
        label = str(entry["label"])
        first, further = _difference_cells(by_label.get(label)) if differences else ([], [])
        row = [setting_cell(label, styles, comparison.described(label)), *first]
        row += [_own_cell(comparison, label, judged, entry), Cell(str(entry["n"]), entry["n"]), *further]
        row += [] if judged.is_test_accuracy else [_mean_cell(entry, "test/acc", 100, 2)]
        row += [_mean_cell(entry, key, 100, 2) for key in ("val/acc", "train/acc", "gap")]
        row += [_mean_cell(entry, "test/loss", 1, 3), _mean_cell(entry, "test/ece", 100, 2)]
        row += [_mean_cell(entry, "best_epoch", 1, 1), Cell(f"{entry['parameters']:,}", entry["parameters"])]
        row.append(_mean_cell(entry, "seconds/total", 1, 1))
        row += [_own_cell(comparison, label, each, entry) for each in others]
        rows.append(row)
    note = (
        "Mean ± one standard deviation over n seeds; accuracies, gap and calibration error in percent. "
        "A heading sorts by its column. Seconds hold whatever else the machine was doing, so they compare no settings."
    )
    if differences:
        note += (
            f" Differences are {'in points' if judged.kind.fraction else 'plain numbers'}, "
            "over the seeds that both settings share, so they may not be the difference of "
            "the columns; their intervals hold with 95 % for all settings of this table together, the "
            "first on this test set, the second on new images. "
            "“Beats baseline” counts the seeds on which the setting is ahead, and those on which both are level (of "
            "settings that share too few seeds: each run against each of the baseline's). "
        )
        note += (
            f"Equivalent means that the interval lies inside ±{judged.size(comparison.margin)}."
            if np.isfinite(comparison.margin)
            else "There is no margin, so that nothing is called equivalent."
        )
    if shares := [each.words for each in others if each.kind.fraction]:
        note += f" {', '.join(shares)}: in percent."
    return Table(comparison.title, heads, rows, note + left_out(comparison, shown), sortable=True)


def predictions_by_setting(comparison: Comparison) -> dict[str, Predictions]:
    """The stored predictions of the first settings that have any; runs read from a CSV have no folder and none."""
    found: dict[str, Predictions] = {}
    most = _DETAILED if len(comparison.labels) <= FIGURE_SETTINGS else _DETAILED_OF_MANY
    for label in shown_settings(comparison, FIGURE_SETTINGS):
        folders = [folder for folder in comparison.runs_of(label)["folder"] if isinstance(folder, str) and folder]
        if folders:
            found[label] = read_predictions(folders)
        if sum(each.read > 0 for each in found.values()) == most:
            break
    return found


def without_predictions(comparison: Comparison, found: Mapping[str, Predictions]) -> int:
    """Return how many settings have run folders whose predictions were not looked at."""
    return sum(bool(comparison.runs_of(label)["folder"].any()) for label in comparison.labels if label not in found)


def epoch_blocks(comparison: Comparison, styles: Mapping[str, SettingStyle], names: FileNames) -> list[Block]:
    """The advantage over the baseline at each budget, and convergence."""
    ahead = advantage_figure(comparison, styles, names)
    drawn = [convergence_figure(comparison, styles, column, names) for column in recorded_curves(comparison)]
    blocks = [Block("Advantage at each budget", figures=[ahead])] if ahead else []
    if drawn:
        texts = [
            "Means over seeds, measured in evaluation mode; the band is one standard deviation, the mark with its line "
            "the chosen checkpoint (median over seeds). The training subset is a fixed part of the training images."
        ]
        blocks.append(Block("Convergence", texts, drawn))
    return blocks


def prediction_blocks(
    found: Mapping[str, Predictions],
    styles: Mapping[str, SettingStyle],
    classes: Sequence[str],
    names: FileNames,
    samples: bool,
    others: int,
) -> list[Block]:
    """Reliability, samples, the confused pairs, and each setting's confusion matrix and mistakes.

    Args:
        found: The predictions by setting.
        styles: A style for each.
        classes: The names of the classes.
        names: For the figures' files.
        samples: Whether to show test images.
        others: How many settings' predictions were not looked at.
    """
    read = {label: each for label, each in found.items() if each.read}
    if not read:
        return []
    shown = dict(list(read.items())[:_DETAILED])
    first = next(iter(shown.values()))
    strongest = max(most_confused(each.confusion) for each in shown.values())
    shown_names = class_names(classes, len(first.confusion))
    calibration = reliability_figure(names("reliability"), shown, styles)
    data = [sample_grid(names("samples"), first.samples, shown_names)] if samples and first.samples.size else []
    pairs = [_pairs_table(shown, shown_names, styles)]
    more = others + len(read) - len(shown)
    texts = [f"Shown are the first {len(shown)} settings; {more} more are left out."] if more else []
    if calibration.is_tall:
        blocks = [Block("Calibration", texts, [calibration]), Block("Data and most confused classes", (), data, pairs)]
    else:
        blocks = [
            Block("Calibration and data", texts, [calibration, *data]),
            Block("Most confused classes", tables=pairs),
        ]
    return [
        *blocks,
        Block(
            "Confusion matrices",
            [
                "All runs of a setting together; right answers are blue, wrong ones orange, · is under half a percent. "
                f"All on one colour scale: the strongest orange is {strongest:.1f} %."
            ],
            figures=[
                confusion_figure(names("confusion", label), each.confusion, shown_names, label, strongest)
                for label, each in shown.items()
            ],
        ),
        Block(
            "Most certain mistakes",
            ["The test images that the runs of a setting got most confidently wrong, with the highest confidence."],
            figures=[
                mistake_grid(names("mistakes", label), each.mistakes, shown_names, label)
                for label, each in shown.items()
                if each.mistakes
            ],
        ),
    ]


def _difference_cells(difference: Difference | None) -> tuple[list[Cell], list[Cell]]:
    """Difference and verdict, and what stands further to the right; the baseline has none of it."""
    if difference is None:
        return [Cell("baseline", 0.0), Cell("–", "")], [Cell("–", "")] * 3
    change = Quantity(difference.metric, difference.kind)
    mean = change.scale * difference.mean
    bounds = formatting.interval(difference.low, difference.high, difference.kind)
    between = "" if bounds == formatting.MISSING else f" ({bounds})"
    kind, symbol = SIGNS[difference.verdict]
    p = difference.p_adjusted
    first = [
        Cell(formatting.change(difference.mean, difference.kind) + between, mean, kind),
        Cell(f"{symbol} {difference.verdict}", mean, kind),
    ]
    further = [
        _beats_cell(difference),
        Cell(formatting.interval(difference.low_new_images, difference.high_new_images, difference.kind), mean),
        Cell(formatting.p_value(p), p if np.isfinite(p) else ""),
    ]
    return first, further


def _beats_cell(difference: Difference) -> Cell:
    """Wins and ties, sorted by the share of wins with ties half."""
    wins, ties, losses = difference.outcomes
    if not np.isfinite(difference.p_beats):
        return Cell(formatting.MISSING, "")
    of = f"{wins + ties + losses}" + ("" if difference.paired else " pairs")
    told = f", {ties} tie{'s' if ties > 1 else ''}" if ties else ""
    return Cell(f"{wins} of {of}{told}", difference.p_beats)


def _mean_cell(entry: Mapping[Hashable, Any], name: str, scale: float, digits: int) -> Cell:
    return mean_cell(float(entry[name]), float(entry[f"{name} sd"]), scale, digits)


def _own_cell(comparison: Comparison, label: str, quantity: Quantity, entry: Mapping[Hashable, Any]) -> Cell:
    """Return the cell of a metric that some runs may lack; it says then how many have it."""
    cell = _mean_cell(entry, quantity.column, quantity.scale, quantity.digits)
    known = comparison.runs_of(label)[quantity.column].notna()
    return cell if known.all() else replace(cell, text=f"{cell.text} ({known.sum()} of {len(known)} runs)")


def _pairs_table(found: Mapping[str, Predictions], names: Sequence[str], styles: Mapping[str, SettingStyle]) -> Table:
    """The pairs that any setting confuses most, and how often each setting confuses them."""
    together = np.sum([row_shares(each.confusion) for each in found.values()], axis=0)
    pairs = confused_pairs(together, most=8)
    rows = []
    for label, each in found.items():
        shares = 100 * row_shares(each.confusion)
        cells = [Cell(f"{shares[target, answer]:.1f}", shares[target, answer]) for target, answer, _ in pairs]
        rows.append([setting_cell(label, styles), *cells])
    heads = ["setting", *(f"{names[target]} → {names[answer]}" for target, answer, _ in pairs)]
    note = "Percent of the class's test images that get the wrong answer behind the arrow, all runs together."
    return Table("", heads, rows, note, sortable=True)
