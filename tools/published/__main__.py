"""Fills the tables into the pages: ``python -m tools.published docs/published docs/published.md README.md``."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from regbench.storage.files import write_text
from tools.published.tables import tables


def fill(page: str, found: Mapping[str, str]) -> str:
    """Put tables into their places in a page, each from `<!-- table: name -->` to `<!-- end -->`.

    Raises:
        ValueError: The page has no place, or one for a table that there is not.
    """

    def table(place: re.Match[str]) -> str:
        if place[1] not in found:
            raise ValueError(f"page: expected one of the tables {', '.join(found)}, got a place for {place[1]}")
        return f"<!-- table: {place[1]} -->\n{found[place[1]]}\n<!-- end -->"

    filled, places = re.subn(r"<!-- table: (\S+) -->\n.*?<!-- end -->", table, page, flags=re.DOTALL)
    if not places:
        raise ValueError("page: expected a place such as <!-- table: numbers -->, and <!-- end --> after it, got none")
    return filled


if __name__ == "__main__":
    made = tables(Path(sys.argv[1]))
    for page in map(Path, sys.argv[2:]):
        write_text(page, fill(page.read_text(encoding="utf-8"), made))
