"""The tables that a report writes: a row a run, and a row a setting."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from regbench.study.axes import Comparison
from regbench.study.results import Study
from regbench.study.statistics import Difference


def comparison_table(comparison: Comparison, differences: Sequence[Difference]) -> pd.DataFrame:
    """Give a row a setting, in the comparison's order."""
    raise NotImplementedError


def write_tables(study: Study, comparisons: Sequence[Comparison], out: Path, margin: float = 0.003) -> None:
    """Write results.csv, history.csv and comparison.csv, .md and .tex into `out`."""
    raise NotImplementedError
