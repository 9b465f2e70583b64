"""What a terminal shows of a comparison: a table sorted by effect, in colour where there is any."""

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from regbench.study import formatting
from regbench.study.comparisons import Comparison
from regbench.study.measured import Quantity
from regbench.study.statistics import BETTER, WORSE, Difference
from regbench.study.statistics.pairing import values_by_seed

_COLORS = {BETTER: "green", WORSE: "red"}
_MOST_ROWS = 40
_MOST_FAMILIES = 12
# Where nobody looks at a terminal.
_PLAIN_WIDTH = 120


def print_comparisons(families: Sequence[Comparison], differences: Sequence[Sequence[Difference]]) -> None:
    """Print a table for each family of settings.

    Args:
        families: The study's.
        differences: Of each family's settings from its baseline.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PLAIN_WIDTH)
    for family, found in list(zip(families, differences, strict=True))[:_MOST_FAMILIES]:
        console.print(Text(family.title, "bold"))
        console.print(comparison_table(family, found))
        if (more := len(family.labels) - _MOST_ROWS) > 0:
            console.print(Text(f"and {more} more settings", "dim"))
        console.print()
    if len(families) > _MOST_FAMILIES:
        console.print(f"and {len(families) - _MOST_FAMILIES} more families of settings, which a report's tables have")


def comparison_table(family: Comparison, differences: Sequence[Difference], metric: str | None = None) -> Table:
    """Return a row for each of the first settings, the best first, the baseline among them.

    Args:
        family: The settings.
        differences: Theirs from the baseline; none where there is no baseline.
        metric: What was compared; what the family is judged by unless given.
    """
    quantity = Quantity.of(metric or family.metric, family.kinds)
    values = values_by_seed(family.runs, quantity.column)
    means = {label: float(values[label].mean()) for label in family.labels}
    found = {each.label: each for each in differences}
    sign = 1 if quantity.kind.higher_is_better else -1
    effects = {label: found[label].mean if label in found else 0.0 for label in family.labels} if found else means
    order = sorted(family.labels, key=lambda label: (math.isnan(effects[label]), -sign * effects[label]))
    table = Table(
        Column("setting", overflow="fold"),
        Column("n", justify="right", no_wrap=True),
        Column(_head(quantity), justify="right", no_wrap=True),
        Column("points" if quantity.kind.fraction else "difference", justify="right", no_wrap=True),
        Column("95 % interval", justify="right", no_wrap=True),
        Column("p", justify="right", no_wrap=True),
        Column("verdict", no_wrap=True),
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for label in order[:_MOST_ROWS]:
        mean = formatting.mean_sd(quantity.scale * means[label], None, quantity.digits)
        is_baseline = label == family.baseline
        told = _told(found[label]) if label in found else [Text(), Text(), Text(), Text("baseline" * is_baseline)]
        name = Text(family.named(label))
        table.add_row(name, str(len(values[label])), mean, *told, style="bold" if is_baseline else "")
    return table


def _head(quantity: Quantity) -> str:
    words = quantity.words.removesuffix(" accuracy") if quantity.is_test_accuracy else quantity.words
    return f"{words} %" if quantity.kind.fraction else words


def _told(difference: Difference) -> list[Text]:
    """Return the cells of a difference: its size, its interval, its p and the verdict."""
    size = "–" if math.isnan(difference.mean) else formatting.amount(difference.mean, difference.kind)
    color = _COLORS.get(difference.verdict, "")
    return [
        Text(size.removesuffix(" points"), color),
        Text(formatting.interval(difference.low, difference.high, difference.kind)),
        Text(formatting.p_value(difference.p_adjusted)),
        Text(difference.verdict, color),
    ]
