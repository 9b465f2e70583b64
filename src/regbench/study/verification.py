"""Whether a finished run's recorded numbers are possible, and are those that its stored predictions give."""

import hashlib
import stat
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from regbench.storage.results import DamagedError, RunResults, one_line
from regbench.storage.schema import PREDICTIONS, RESULTS
from regbench.study.contradictions import MismatchError
from regbench.study.predictions import check_predictions, read_arrays
from regbench.study.recomputed import Recomputed, recompute

Array = np.ndarray[Any, np.dtype[Any]]

_BINS = 15  # as scored: the sixteenth holds the confidences that are 1 in single precision
# Confidences this close to a bin's edge may have been counted on its other side.
_EDGE = 5e-7


class Scores(BaseModel):
    """What stored predictions give.

    Attributes:
        loss: Mean cross-entropy.
        acc: Share of right answers.
        ece: Expected calibration error, 15 equal bins.
        ece_tolerance: How far rounding to single precision may have moved the recorded calibration error.
        own: Those of the group `metrics` that are known, by name.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True)

    loss: float
    acc: float
    ece: float
    ece_tolerance: float
    own: dict[str, Recomputed] = Field(default_factory=dict)


class Verified(BaseModel):
    """What was computed of stored predictions.

    Attributes:
        scores: What the predictions give.
        logits: Stands for the logits bit by bit; empty where all images have the same.
        labels: Stands for the labels.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    scores: Scores
    logits: str = Field(pattern="^([0-9a-f]{64})?$")
    labels: str = Field(pattern="^[0-9a-f]{64}$")


def read_verified(folder: Path, metrics: Any = None) -> Verified | None:
    """Return what a run's predictions give; None without `predictions.npz`: nothing is verified then.

    Args:
        folder: The run's.
        metrics: The configuration's group, as far as there is one.

    Raises:
        DamagedError: The file holds no predictions.
    """
    try:
        path = folder / PREDICTIONS
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("no regular file")
        with path.open("rb") as stream:
            logits, labels = read_arrays(stream, ("logits", "labels")).values()
        check_predictions(logits, labels)
        same = bool((logits == logits[:1]).all())
        return Verified(
            scores=score(logits, labels).model_copy(update={"own": recompute(metrics, logits, labels)}),
            logits="" if same else _digest(logits.astype(np.float64)),
            labels=_digest(labels.astype(np.int64)),
        )
    except FileNotFoundError:
        return None
    # A truncated archive raises from zipfile, zlib, numpy or the missing key, as it happens.
    except Exception as error:
        raise DamagedError(
            f"{PREDICTIONS}: expected a run's predictions, got {type(error).__name__}: {one_line(error)}"
        ) from error


def check_scores(results: RunResults, found: Scores) -> None:
    """Refuse results with a test metric that is not what the predictions give.

    Raises:
        MismatchError: There is one.
    """
    tolerances = {"loss": 1e-5 * found.loss + 1e-6, "acc": 0.0, "ece": found.ece_tolerance}
    for name, tolerance in tolerances.items():
        if f"test/{name}" not in results.metrics:
            continue  # The run is older than the metric.
        recorded, given = results.metrics[f"test/{name}"], getattr(found, name)
        if recorded is None or abs(recorded - given) > tolerance:
            raise MismatchError(f"{RESULTS}: test/{name} is {recorded}, but {PREDICTIONS} gives {given:.8g}")
    for name, computed in found.own.items():
        if f"test/{name}" not in results.metrics:
            continue  # The run is older than the metric.
        recorded = results.metrics[f"test/{name}"]
        if recorded is None or abs(recorded - computed.value) > computed.tolerance:
            raise MismatchError(f"{RESULTS}: test/{name} is {recorded}, but {PREDICTIONS} gives {computed.value:.8g}")


def score(logits: Array, labels: Array) -> Scores:
    """Return the metrics as `regbench.training.scoring.scores` defines them, sums in double precision.

    Args:
        logits: `(N, C)`.
        labels: `(N,)`, from 0.
    """
    number = len(labels)
    shifted = logits - logits.max(axis=1, keepdims=True).astype(np.float64)
    total = np.exp(shifted).sum(axis=1)
    loss = float((np.log(total) - shifted[np.arange(number), labels]).mean())
    right = logits.argmax(axis=1) == labels
    confidence = (1 / total).astype(np.float32)
    edges = np.linspace(0, 1, _BINS + 1, dtype=np.float32)
    place = np.searchsorted(edges, confidence, side="right") - 1
    excess = right - confidence.astype(np.float64)
    error = float(np.abs(np.bincount(place, weights=excess)).sum()) / number
    to_edge = np.minimum(confidence - edges[place], np.abs(edges[np.minimum(place + 1, _BINS)] - confidence))
    doubtful = 2 * float(np.abs(excess[to_edge < _EDGE]).sum()) / number
    # The metric adds up in single precision, so its error grows with the number of images.
    tolerance = 1e-5 + 1e-9 * number + doubtful
    return Scores(loss=loss, acc=float(right.sum() / number), ece=error, ece_tolerance=tolerance)


def _digest(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
