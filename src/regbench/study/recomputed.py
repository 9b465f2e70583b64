"""Known metrics of the group `metrics`, computed anew of stored predictions; without torch, in double precision."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.stats import rankdata

Array = np.ndarray[Any, np.dtype[Any]]

_TORCHMETRICS = "torchmetrics.classification."
# Arguments whose values change nothing of what is computed here; with any other a metric is not known.
_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "average": ("macro", "micro", "weighted", "none", None),
    "top_k": (1,),
    "multidim_average": ("global",),
    "ignore_index": (None,),
    "zero_division": (0,),
    "thresholds": (None,),
    "validate_args": (True, False),
}


class Recomputed(BaseModel):
    """A metric as stored predictions give it.

    Attributes:
        value: The metric.
        tolerance: How far rounding to single precision may have moved the recorded one.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True)

    value: float
    tolerance: float


def recompute(metrics: Any, logits: Array, labels: Array) -> dict[str, Recomputed]:
    """Return what the known metrics of a configuration's group are, by the name; by class also `name/0` and so on.

    Args:
        metrics: The group; metrics of one's own, and of arguments that are not known here, are left out.
        logits: `(N, C)`, finite.
        labels: `(N,)`, from 0.
    """
    found: dict[str, Recomputed] = {}
    for name, node in metrics.items() if isinstance(metrics, Mapping) else ():
        known = _KNOWN.get(str(node.get("_target_"))) if isinstance(node, Mapping) else None
        if known is None or not _is_plain(node, logits.shape[1]):
            continue
        compute, tolerance = known
        value = compute(logits.astype(np.float64), labels, str(node.get("average", "macro")).lower())
        if np.isfinite(value).all():
            found[str(name)] = Recomputed(value=float(np.mean(value)), tolerance=tolerance)
            each = enumerate(np.atleast_1d(value)) if np.ndim(value) else ()
            found |= {f"{name}/{place}": Recomputed(value=float(one), tolerance=tolerance) for place, one in each}
    return found


def _is_plain(node: Mapping[str, Any], classes: int) -> bool:
    described = {"_target_", "words", "higher_is_better", "fraction"}
    arguments = {key: value for key, value in node.items() if key not in described}
    return arguments.pop("num_classes", None) == classes and all(
        value in _PLAIN.get(key, ()) for key, value in arguments.items()
    )


def _f1(logits: Array, labels: Array, average: str) -> Any:
    right, answered, there = _counts(logits, labels)
    if average == "micro":
        return right.sum() / there.sum()
    return _averaged(_share(2 * right, answered + there), average, answered + there, there)


def _accuracy(logits: Array, labels: Array, average: str) -> Any:
    right, answered, there = _counts(logits, labels)
    if average == "micro":
        return right.sum() / there.sum()
    return _averaged(_share(right, there), average, answered + there, there)


def _auroc(logits: Array, labels: Array, average: str) -> Any:
    """Return the areas by the ranks of each class's images (Mann and Whitney, 1947); NaN where a class has no image."""
    probabilities = _probabilities(logits)
    positives = np.eye(logits.shape[1])[labels]
    there = positives.sum(axis=0)
    ranks = (rankdata(probabilities, axis=0) * positives).sum(axis=0)
    pairs = there * (len(labels) - there)
    areas = _share(ranks - there * (there + 1) / 2, pairs)
    areas[pairs == 0] = np.nan
    return np.nan if average == "micro" else _averaged(areas, average, np.ones_like(there), there)


def _brier(logits: Array, labels: Array, average: str) -> Any:  # noqa: ARG001 (it has no average)
    return np.square(_probabilities(logits) - np.eye(logits.shape[1])[labels]).sum(axis=1).mean()


def _counts(logits: Array, labels: Array) -> tuple[Array, Array, Array]:
    """Return by class how many images are answered rightly, answered so, and of it; `(C,)` each."""
    classes, answers = logits.shape[1], logits.argmax(axis=1)
    each = (labels[answers == labels], answers, labels)
    right, answered, there = (np.bincount(values, minlength=classes).astype(np.float64) for values in each)
    return right, answered, there


def _averaged(values: Array, average: str, occurring: Array, there: Array) -> Any:
    """Average over classes; those that neither occur nor are answered count in no plain mean."""
    if average == "none":
        return values
    weights = there if average == "weighted" else (occurring > 0).astype(np.float64)
    return (values * weights).sum() / weights.sum()


def _share(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _probabilities(logits: Array) -> Array:
    grown: Array = np.exp(logits - logits.max(axis=1, keepdims=True))
    grown /= grown.sum(axis=1, keepdims=True)
    return grown


# By class, what computes it, and the tolerance. An area may also differ where probabilities that are 1 but for the last
# bit are ranked.
_KNOWN: Mapping[str, tuple[Callable[[Array, Array, str], Any], float]] = {
    f"{_TORCHMETRICS}MulticlassF1Score": (_f1, 1e-5),
    f"{_TORCHMETRICS}MulticlassAccuracy": (_accuracy, 1e-5),
    f"{_TORCHMETRICS}MulticlassRecall": (_accuracy, 1e-5),
    f"{_TORCHMETRICS}MulticlassAUROC": (_auroc, 1e-4),
    "regbench.training.metrics.BrierScore": (_brier, 1e-6),
}
