"""The smallest difference in test accuracy that matters, by run: the data set's own, as its configuration states it."""

from typing import Any

import pandas as pd

MARGIN = "margin"

# Of runs from before configurations stated it.
_BY_DATASET = {"fashion_mnist": 0.003, "mnist": 0.001, "digits": 0.01}
_OTHERWISE = 0.003


def margins(runs: pd.DataFrame) -> pd.Series:
    """Return each run's margin, a fraction; where none is recorded, its data set's, and 0.003 for one not known here.

    Args:
        runs: With the columns `dataset` and, unless they are all from before, `margin`.
    """
    names = runs["dataset"] if "dataset" in runs else pd.Series("", index=runs.index)
    recorded = runs[MARGIN] if MARGIN in runs else pd.Series(None, index=runs.index, dtype=object)
    found = [
        _stated(value) or _BY_DATASET.get(str(name), _OTHERWISE) for name, value in zip(names, recorded, strict=True)
    ]
    return pd.Series(found, index=runs.index, dtype=float)


def _stated(value: Any) -> float | None:
    """Read a margin that a stored configuration or a table states; None where it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < 1 else None
