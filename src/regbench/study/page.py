"""The parts of a report's page, and how it and its figures reach the disk."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from regbench.study.style import Picture


@dataclass(frozen=True)
class Cell:
    """A table's cell: what is read, what it is sorted by ("" for nothing known), its class and its setting's colour."""

    text: str
    value: float | str | None = None
    kind: str = ""
    color: str = ""


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
    """A sentence at the top of the page with its badge."""

    kind: str
    symbol: str
    badge: str
    sentence: str


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of one family of runs."""

    title: str
    verdicts: Sequence[Verdict]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Block:
    """Figures and tables under a small heading."""

    title: str = ""
    texts: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()


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


def write_page(page: Page, out: Path, extra: Iterable[Picture] = ()) -> Path:
    """Write ``report.html`` and every figure as PNG and SVG into ``figures/``; figures of an earlier report go.

    Args:
        page: What to show.
        out: The report's folder.
        extra: Figures that are written but not on the page.
    """
    shown = [picture for section in page.sections for block in section.blocks for picture in block.pictures]
    figures = out / "figures"
    index = figures / "index.txt"
    earlier = index.read_text(encoding="utf-8").splitlines() if index.is_file() else []
    written = []
    for picture in [*shown, *extra]:
        for ending, content in ((".png", picture.png), (".svg", picture.svg.encode())):
            written.append(picture.name + ending)
            write(figures / written[-1], content)
    for name in set(earlier) - set(written):
        # Only names that an earlier report listed, and none that leads out of its folder.
        if (figures / name).resolve().is_relative_to(figures.resolve()):
            (figures / name).unlink(missing_ok=True)
    write(index, "".join(f"{name}\n" for name in written).encode())
    target = out / "report.html"
    write(target, _template().render(page=page).encode())
    return target


def write(target: Path, content: bytes) -> None:
    """Write a file whole or not at all: beside its place first, then moved there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


class Stems:
    """File names for figures: of letters, digits and a few signs, and no name twice."""

    def __init__(self, folder: str = "") -> None:
        self._folder = f"{folder}/" if folder else ""
        self._taken: set[str] = set()

    def __call__(self, *parts: str) -> str:
        """A new name made of the parts."""
        plain = "-".join(slug(part) for part in parts)
        name, number = plain, 2
        while name in self._taken:
            name, number = f"{plain}-{number}", number + 1
        self._taken.add(name)
        return self._folder + name


def slug(text: str) -> str:
    """Text as part of a file's name or an anchor, at most 60 characters."""
    return re.sub(r"[^a-z0-9.=+_]+", "-", text.lower()).strip("-.")[:60] or "unnamed"


def mean_sd(values: "pd.Series[float]", scale: float = 1.0, digits: int = 2) -> Cell:
    """A cell with mean ± standard deviation of the known values, sorted by the mean."""
    known = scale * np.asarray(values.dropna(), dtype=float)
    if not known.size:
        return Cell("–", "")
    spread = f" ± {known.std(ddof=1):.{digits}f}" if known.size > 1 else ""
    return Cell(f"{known.mean():.{digits}f}{spread}", float(known.mean()))


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("regbench.study", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")
