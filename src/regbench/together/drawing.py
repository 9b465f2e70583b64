"""Drawing the pictures of many members at once, on all cores."""

from collections.abc import Mapping
from typing import Any

import joblib

from regbench.together.questions import Drawing

# Processes that draw take a second to begin.
_FEW = 8


def draw_all(drawings: Mapping[int, Drawing]) -> dict[int, Any]:
    """Return what each drawing gives, by its number."""
    if len(drawings) < _FEW or (cores := joblib.cpu_count()) == 1:
        return {number: each.function(*each.arguments) for number, each in drawings.items()}
    pool = joblib.Parallel(n_jobs=min(cores, len(drawings)))
    drawn = pool(joblib.delayed(each.function)(*each.arguments) for each in drawings.values())
    return dict(zip(drawings, drawn, strict=True))
