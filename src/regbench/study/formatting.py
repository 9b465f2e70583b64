"""How numbers are written for people: rounding, signs, dashes and p-values, each decided in this one place."""

import json
import math
from collections.abc import Iterable
from typing import Any, TypeGuard

import numpy as np
import pandas as pd

from regbench.storage.schema import Kind, kind_of

MISSING = "–"


def mean_sd(mean: float | None, sd: float | None, digits: int = 2) -> str:
    """Write `89.35 ± 0.14`; the mean alone where there is no standard deviation, a dash where there is no mean."""
    if not _is_known(mean):
        return MISSING
    return f"{mean:.{digits}f}" + (f" ± {sd:.{digits}f}" if _is_known(sd) else "")


def mean_sd_of(values: Iterable[float], scale: float = 1.0, digits: int = 2) -> str:
    """Write mean and standard deviation (n - 1) of those values that are known, multiplied by `scale`."""
    known = scale * np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    if not known.size:
        return MISSING
    return mean_sd(float(known.mean()), float(known.std(ddof=1)) if known.size > 1 else None, digits)


def points(difference: float | None) -> str:
    """Write a difference of fractions in percentage points: `+1.13`, `−0.20`, the minus as wide as the plus."""
    return change(difference, "acc")


def change(difference: float | None, metric: str | Kind) -> str:
    """Write a difference without its unit, in points where the metric is a fraction."""
    return amount(difference, metric).removesuffix(" points") if _is_known(difference) else MISSING


def amount(value: float, metric: str | Kind, sign: bool = True) -> str:
    """Write a difference with its unit: `+1.13 points` of accuracy, gap or calibration error, else `+0.0123`.

    Args:
        value: The difference.
        metric: Of what; its name tells, or else what it is.
        sign: Whether a plus is written.
    """
    plus = "+" if sign else ""
    text = f"{100 * value:{plus}.2f} points" if _in_points(metric) else f"{value:{plus}.4f}"
    return text.replace("-", "−")


def interval(low: float | None, high: float | None, metric: str | Kind = "test/acc") -> str:
    """Write an interval of differences, `−0.40 to +0.00`; accuracies in points without the word."""
    return f"{_bound(low, metric)} to {_bound(high, metric)}" if _is_known(low) and _is_known(high) else MISSING


def p_value(p: float | None) -> str:
    """Write a p-value with three decimals, or that it is below the smallest of them."""
    if not _is_known(p):
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def config_value(value: Any) -> str:
    """Write one value of a configuration as people write it: `0.5`, `1e-05`, `true`, `null`."""
    if pd.isna(value):
        return "null"
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _bound(value: float, metric: str | Kind) -> str:
    """An end of an interval; one that would be rounded to 0 keeps its side of it."""
    scale, digits = (100, 2) if _in_points(metric) else (1, 4)
    if value and not round(scale * value, digits):
        return "just above 0" if value > 0 else "just below 0"
    return amount(value, metric).removesuffix(" points")


def _in_points(metric: str | Kind) -> bool:
    kind = kind_of(metric)
    return kind is not None and kind.fraction


def _is_known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
