"""Tables in pages of the documentation, each between two marks."""

import re
from collections.abc import Mapping
from pathlib import Path

from regbench.storage.files import write_text


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


def fill_file(page: Path, found: Mapping[str, str]) -> None:
    """Put tables into their places in a page's file."""
    write_text(page, fill(page.read_text(encoding="utf-8"), found))
