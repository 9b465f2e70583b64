"""What a terminal shows of a comparison: a table sorted by effect, in colour where there is any."""

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from regbench.storage.schema import kind_of
from regbench.study import formatting
from regbench.study.comparisons import Comparison
from regbench.study.statistics import BETTER, WORSE, Difference
from regbench.study.statistics.difference import higher_is_better
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
    metric = next((each.metric for found in differences for each in found), "test/acc")
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PLAIN_WIDTH)
    for family, found in list(zip(families, differences, strict=True))[:_MOST_FAMILIES]:
        console.print(Text(family.title, "bold"))
        console.print(comparison_table(family, found, metric))
        console.print()
    if len(families) > _MOST_FAMILIES:
        console.print(f"and {len(families) - _MOST_FAMILIES} more families of settings, which a report's tables have")


def comparison_table(family: Comparison, differences: Sequence[Difference], metric: str = "test/acc") -> Table:
    """Return a row for each setting, the best first, the baseline among them.

    Args:
        family: The settings.
        differences: Theirs from the baseline; none where there is no baseline.
        metric: What was compared.
    """
    values = values_by_seed(family.runs, metric)
    means = {label: float(values[label].mean()) for label in family.labels}
    found = {each.label: each for each in differences}
    sign = 1 if higher_is_better(metric) else -1
    effects = {label: found[label].mean if label in found else 0.0 for label in family.labels} if found else means
    order = sorted(family.labels, key=lambda label: (math.isnan(effects[label]), -sign * effects[label]))
    kind = kind_of(metric)
    in_points = kind is not None and kind.fraction
    table = Table(
        Column("setting", overflow="fold"),
        Column("n", justify="right", no_wrap=True),
        Column(_head(metric), justify="right", no_wrap=True),
        Column("points" if in_points else "difference", justify="right", no_wrap=True),
        Column("95 % interval", justify="right", no_wrap=True),
        Column("p", justify="right", no_wrap=True),
        Column("verdict", no_wrap=True),
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for label in order[:_MOST_ROWS]:
        mean = formatting.mean_sd(100 * means[label] if in_points else means[label], None, 2 if in_points else 4)
        is_baseline = label == family.baseline
        told = _told(found[label]) if label in found else [Text(), Text(), Text(), Text("baseline" * is_baseline)]
        name = Text(family.named(label))
        table.add_row(name, str(len(values[label])), mean, *told, style="bold" if is_baseline else "")
    if (more := len(order) - _MOST_ROWS) > 0:
        table.add_row(Text(f"and {more} more settings", "dim"))
    return table


def _head(metric: str) -> str:
    split, _, name = metric.rpartition("/")
    kind = kind_of(metric)
    percent = " %" if kind is not None and kind.fraction else ""
    return f"{split}{percent}" if name == "acc" else f"{metric.replace('/', ' ')}{percent}"


def _told(difference: Difference) -> list[Text]:
    """Return the cells of a difference: its size, its interval, its p and the verdict."""
    size = "–" if math.isnan(difference.mean) else formatting.amount(difference.mean, difference.metric)
    color = _COLORS.get(difference.verdict, "")
    return [
        Text(size.removesuffix(" points"), color),
        Text(formatting.interval(difference.low, difference.high, difference.metric)),
        Text(formatting.p_value(difference.p_adjusted)),
        Text(difference.verdict, color),
    ]
