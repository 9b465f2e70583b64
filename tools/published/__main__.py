"""Fills the tables into the page: ``python -m tools.published docs/published docs/published.md``."""

import sys
from pathlib import Path

from tools.pages import fill_file
from tools.published.tables import tables

if __name__ == "__main__":
    made = tables(Path(sys.argv[1]))
    for page in map(Path, sys.argv[2:]):
        fill_file(page, made)
