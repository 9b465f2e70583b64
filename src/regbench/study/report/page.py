"""The parts of a report's page, which the template shows."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from regbench.drawing.series import series_name
from regbench.drawing.style import SettingStyle
from regbench.study import formatting
from regbench.study.figures.rendering import DrawnFigure


@dataclass(frozen=True)
class Cell:
    """A table's cell: what is read, what it is sorted by ("" for nothing known), its class and its setting's colour.

    The first cell of a row may name the setting that the row is of.
    """

    text: str
    value: float | str | None = None
    kind: str = ""
    color: str = ""
    series: str = ""


@dataclass(frozen=True)
class Table:
    """A table of a page; ``prose`` lets its cells break into lines."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    sortable: bool = False
    prose: bool = False


@dataclass(frozen=True)
class Verdict:
    """A sentence at the top of the page with its badge, and what else is to be known of it.

    `group` is the heading that it stands under, empty where there is none, and `series` the setting that it judges.
    """

    kind: str
    symbol: str
    badge: str
    sentence: str
    details: Sequence[str] = ()
    group: str = ""
    series: str = ""


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of one family of runs; ``more`` says what is not shown."""

    title: str
    verdicts: Sequence[Verdict]
    notes: Sequence[str] = ()
    more: str = ""

    @property
    def groups(self) -> list[tuple[str, list[Verdict]]]:
        """The verdicts under their groups' names; those without a group under no name."""
        return [(name, list(found)) for name, found in groupby(self.verdicts, lambda each: each.group)]


@dataclass(frozen=True)
class Block:
    """Figures and tables under a small heading."""

    title: str = ""
    texts: Sequence[str] = ()
    figures: Sequence[DrawnFigure] = ()
    tables: Sequence[Table] = ()

    @property
    def columns(self) -> int:
        """How many figures stand side by side on a wide screen: as many as leave the fewest places empty."""
        return 2 if len(self.figures) in {1, 2, 4} else 3

    @property
    def is_beside(self) -> bool:
        """Whether a table stands at the side of the only figure."""
        return len(self.figures) == 1 and len(self.tables) == 1


@dataclass(frozen=True)
class Section:
    """A part of the page with a place in its contents; ``listings`` are (summary, text), folded unless unnamed."""

    anchor: str
    title: str
    texts: Sequence[str] = ()
    blocks: Sequence[Block] = ()
    listings: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Page:
    """All that the template shows; every string in it is text and is escaped there."""

    title: str
    lead: str
    notices: Sequence[str] = ()
    tiles: Sequence[tuple[str, str]] = ()
    verdicts: Sequence[Verdicts] = ()
    sections: Sequence[Section] = field(default_factory=list)


def setting_cell(label: str, styles: Mapping[str, SettingStyle], text: str = "") -> Cell:
    """Return the first cell of a setting's row; its text is the label unless given."""
    return Cell(text or label, color=styles[label].color, series=series_name(label))


def mean_cell(mean: float, sd: float, scale: float = 1.0, digits: int = 2) -> Cell:
    """Return a cell with a mean and its standard deviation, sorted by the mean."""
    mean = scale * mean
    return Cell(formatting.mean_sd(mean, scale * sd, digits), mean if math.isfinite(mean) else "")


def mean_cell_of(values: Iterable[float], scale: float = 1.0, digits: int = 2) -> Cell:
    """Return a cell with mean and standard deviation of the known values, sorted by the mean."""
    known = scale * np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    return Cell(formatting.mean_sd_of(known, digits=digits), float(known.mean()) if known.size else "")
