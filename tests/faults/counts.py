"""What the fault tests did, added up over all of them and printed at the end."""

from collections import Counter
from typing import Any

PREFIX = "count: "


def count(record_property: Any, what: str, number: int = 1) -> None:
    """Add to a count of the closing lines."""
    record_property(PREFIX + what, number)


def print_counts(terminalreporter: Any) -> None:
    """Print the sums; pytest-xdist brings each test's properties to the one process that prints."""
    sums: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, value in report.user_properties:
                    if name.startswith(PREFIX):
                        sums[name.removeprefix(PREFIX)] += value
    if sums:
        terminalreporter.section("faults")
        for name in sorted(sums):
            terminalreporter.write_line(f"{name}: {sums[name]}")
