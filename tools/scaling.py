"""Draws docs/images/scaling.png from docs/scaling-figures.json: `python -m tools.scaling`."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

DOCS = Path(__file__).parents[1] / "docs"
FIGURES, PLOT = DOCS / "scaling-figures.json", DOCS / "images/scaling.png"

_PARTS = {"planning": "plan a sweep", "cold": "load, first time", "warm": "load again", "report": "report"}
_COLOURS = {"planning": "#0072b2", "cold": "#d55e00", "warm": "#009e73", "report": "#cc79a7"}


def curves(figures: dict[str, Any]) -> dict[str, tuple[list[tuple[int, float]], list[tuple[int, float]]]]:
    """Return for each part of the work its points before and now: runs, and seconds of processor time."""
    found = {}
    for part in _PARTS:
        if part == "planning":
            a_run = figures["planning"]["before"]["seconds_per_run"]
            now = [(each["runs"], each["cpu"]) for each in figures["planning"]["after"]]
            found[part] = ([(runs, runs * a_run) for runs, _ in now], now)
            continue
        measured = [
            {each["runs"]: each[part]["cpu"] for each in reversed(figures[time])} for time in ("before", "after")
        ]
        found[part] = (sorted(measured[0].items()), sorted(measured[1].items()))
    return found


def main() -> None:
    """Draw the plot."""
    figure = Figure(figsize=(7, 4.2), dpi=150, layout="constrained")
    axes = figure.subplots()
    for part, (before, now) in curves(json.loads(FIGURES.read_text(encoding="utf-8"))).items():
        colour = _COLOURS[part]
        axes.plot(*zip(*now, strict=True), "o-", color=colour, label=_PARTS[part])
        axes.plot(*zip(*before, strict=True), "o:", color=colour, alpha=0.6, markerfacecolor="white")
    axes.set(xscale="log", yscale="log", xlabel="runs", ylabel="seconds of processor time")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.plot([], [], ":", color="grey", label="before")
    axes.legend(frameon=False)
    figure.savefig(PLOT)


if __name__ == "__main__":
    main()
