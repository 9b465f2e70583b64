"""What a page shows of a large study, so that it stays readable: the rest is counted, and stands in the tables."""

from collections.abc import Iterable, Mapping, Sequence

from regbench.drawing.style import SettingStyle
from regbench.study.comparisons import Comparison
from regbench.study.statistics import VERDICTS, Difference

FIGURE_SETTINGS = 24
CARDS = 40
# More verdicts than these stand in groups, and tell their details when asked.
PLAIN_CARDS = 6
TABLE_ROWS = 200
FAMILIES = 12
AXES = 8


def shown_settings(comparison: Comparison, most: int) -> list[str]:
    """Return the settings to show: all in their order, or as many as there is room for in that of `ranked_settings`."""
    return list(comparison.labels) if len(comparison.labels) <= most else ranked_settings(comparison)[:most]


def ranked_settings(comparison: Comparison) -> list[str]:
    """Return the settings by the mean of what they are judged by, the best first, after the baseline."""
    quantity = comparison.quantity
    means = comparison.runs.groupby("label")[quantity.column].mean() * (-1 if quantity.kind.higher_is_better else 1)
    return sorted(comparison.labels, key=lambda label: (label != comparison.baseline, float(means[label])))


def shown_styles(
    comparison: Comparison, styles: Mapping[str, SettingStyle], most: int = FIGURE_SETTINGS
) -> dict[str, SettingStyle]:
    """Return the styles of the settings to draw, in their order."""
    return {label: styles[label] for label in shown_settings(comparison, most)}


def left_out(comparison: Comparison, shown: Iterable[str]) -> str:
    """Say which settings a figure or a table leaves out; empty where it has all."""
    number = len(comparison.labels) - len(set(shown))
    if not number:
        return ""
    quantity = comparison.quantity
    best = "highest" if quantity.kind.higher_is_better else "lowest"
    baseline = f"{comparison.baseline} and " if comparison.baseline is not None else ""
    return (
        f" Shown are {baseline}the settings of the {best} mean {quantity.words}; the other {number:,} are in "
        "comparison.csv."
    )


def shown_cards(differences: Sequence[Difference]) -> list[Difference]:
    """Return the differences that get a card: a few in their order, else by verdict, the largest differences first."""
    if len(differences) <= PLAIN_CARDS:
        return list(differences)
    return sorted(differences, key=lambda each: (VERDICTS.index(each.verdict), -abs(each.mean)))[:CARDS]
