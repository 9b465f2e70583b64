"""Puts a report's page and its figures on the disk."""

import re
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from regbench.storage.files import replace_file
from regbench.study.report.page import Page

_SCRIPTS = ("page.js", "figures.js")


def write_page(page: Page, out: Path) -> Path:
    """Write ``report.html`` and every figure as PNG and SVG into ``figures/``; figures of an earlier report go.

    Args:
        page: What to show.
        out: The report's folder.
    """
    shown = [figure for section in page.sections for block in section.blocks for figure in block.figures]
    folder = out / "figures"
    index = folder / "index.txt"
    earlier = index.read_text(encoding="utf-8").splitlines() if index.is_file() else []
    written = []
    for figure in shown:
        for ending, content in ((".png", figure.png), (".svg", figure.svg.encode())):
            written.append(figure.name + ending)
            _write(folder / written[-1], content)
    for name in set(earlier) - set(written):
        # Only names that an earlier report listed, and none that leads out of its folder.
        if (folder / name).resolve().is_relative_to(folder.resolve()):
            (folder / name).unlink(missing_ok=True)
    _write(index, "".join(f"{name}\n" for name in written).encode())
    target = out / "report.html"
    _write(target, _template().render(page=page, style=_text("page.css"), script=_text(*_SCRIPTS)).encode())
    return target


class FileNames:
    """Names for the files of figures, without ending: of letters, digits and a few signs, and no name twice."""

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


@cache
def _text(*names: str) -> Markup:
    """Files of this folder as they stand, which the page holds unescaped."""
    folder = resources.files("regbench.study.report")
    return Markup("".join((folder / name).read_text(encoding="utf-8") for name in names))


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("regbench.study.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    replace_file(target, lambda temporary: temporary.write_bytes(content))
