"""Targets beside what was measured, as Markdown."""

import re
import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """One target: a ratio or an amount of several measurements, and the bound that it must keep, if it has one."""

    what: str
    values: Sequence[float]
    bound: float | None
    at_least: bool
    unit: str = ""

    def line(self) -> str:
        """Return the row, median and spread, and whether the target is met."""
        middle = statistics.median(self.values)
        spread = f"{min(self.values):.2f} to {max(self.values):.2f} ({len(self.values)})"
        bound, verdict = "", ""
        if self.bound is not None:
            met = middle >= self.bound if self.at_least else middle <= self.bound
            bound = f"{'≥' if self.at_least else '≤'} {self.bound:g}{self.unit}"
            verdict = "met" if met else "**missed**"
        return f"| {self.what} | {bound} | {middle:.2f}{self.unit} | {spread} | {verdict} |"


def table(rows: Sequence[Row]) -> str:
    """Return all rows under their heading."""
    head = ["| target | bound | median | spread (measurements) | |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(row.line() for row in rows)])


def put(made: str, page: str) -> str:
    """Return the page with the table in its place."""
    place = re.compile(r"<!-- speed -->.*<!-- end of speed -->", re.DOTALL)
    return place.sub(f"<!-- speed -->\n{made}\n<!-- end of speed -->", page)
