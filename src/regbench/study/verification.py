"""Whether a finished run's recorded numbers are possible, and are those that its stored predictions give."""

import hashlib
import math
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from regbench.storage.files import read_bytes, write_text
from regbench.storage.results import DamagedError, RunResults, one_line
from regbench.storage.schema import HISTORY, PREDICTIONS, RESULTS
from regbench.study.predictions import check_predictions, read_arrays
from regbench.study.run_folders import Run

REMEMBERED = ".verified.json"

Array = np.ndarray[Any, np.dtype[Any]]

_BINS = 15  # as scored: the sixteenth holds the confidences that are 1 in single precision
# Confidences this close to a bin's edge may have been counted on its other side.
_EDGE = 5e-7
# Of values that one process computed twice alike, and wrote in single precision or with seven decimals.
_SAME = 1e-6


class MismatchError(DamagedError):
    """Numbers of a run folder contradict each other; the message names the number, and both values."""


class Scores(BaseModel):
    """What stored predictions give.

    Attributes:
        loss: Mean cross-entropy.
        acc: Share of right answers.
        ece: Expected calibration error, 15 equal bins.
        ece_tolerance: How far rounding to single precision may have moved the recorded calibration error.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True)

    loss: float
    acc: float
    ece: float
    ece_tolerance: float


class _Entry(BaseModel):
    """What was computed, and of which file: size, times of change in nanoseconds, SHA-256."""

    model_config = ConfigDict(strict=True, frozen=True)

    stamp: tuple[int, int, int]
    sha256: str
    scores: Scores


class _Memory(BaseModel):
    """The file that remembers; another version is not read."""

    model_config = ConfigDict(strict=True, frozen=True)

    version: int
    runs: dict[str, _Entry]


_VERSION = 1
_MEMORY = TypeAdapter(_Memory)


@dataclass(frozen=True)
class _Answer:
    entry: _Entry | None
    error: DamagedError | None = None


class Verifier:
    """Compares the numbers of runs with what their predictions give, and remembers what these gave.

    What was computed stands in `.verified.json` in the folder that was asked for. It counts only for a file of the same
    size, times and SHA-256, so a copied or changed file is computed once more. A folder that cannot be written is
    verified each time.

    Args:
        root: The folder that was asked for.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known = _read_memory(root / REMEMBERED)
        self._answers: dict[Path, _Answer] = {}

    def prepare(self, folders: Iterable[Path]) -> None:
        """Read the predictions of these run folders, on all cores."""
        with ThreadPoolExecutor() as pool:
            paths = list(folders)
            self._answers = dict(zip(paths, pool.map(self._answer, paths), strict=True))

    def check(self, run: Run) -> bool:
        """Return whether a finished run could be verified; it cannot be without `predictions.npz`.

        Raises:
            MismatchError: Its numbers contradict each other or its predictions.
            DamagedError: Its predictions cannot be read.
        """
        _check_possible(run)
        answer = self._answers.get(run.folder) or self._answer(run.folder)
        self._answers[run.folder] = answer
        if answer.error is not None:
            raise answer.error
        if answer.entry is None:
            return False
        _check_scores(run.results, answer.entry.scores)
        return True

    def remember(self) -> None:
        """Write what was computed, if anything was; where that is not possible, it is computed again next time."""
        runs = {self._name(folder): answer.entry for folder, answer in self._answers.items() if answer.entry}
        if runs == self._known:
            return
        try:
            write_text(self._root / REMEMBERED, _MEMORY.dump_json(_Memory(version=_VERSION, runs=runs)).decode())
        except OSError:
            return

    def _name(self, folder: Path) -> str:
        return folder.relative_to(self._root).as_posix()

    def _answer(self, folder: Path) -> _Answer:
        try:
            return _Answer(_scored(folder / PREDICTIONS, self._known.get(self._name(folder))))
        except DamagedError as error:
            return _Answer(None, error)


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


def _scored(path: Path, known: _Entry | None) -> _Entry | None:
    """Return what a file's predictions give; None without the file.

    Raises:
        DamagedError: The file holds no predictions.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("no regular file")
        stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if known is not None and (known.stamp, known.sha256) == (stamp, digest):
                return known
            stream.seek(0)
            logits, labels = read_arrays(stream, ("logits", "labels")).values()
        check_predictions(logits, labels)
        return _Entry(stamp=stamp, sha256=digest, scores=score(logits, labels))
    except FileNotFoundError:
        return None
    # A truncated archive raises from zipfile, zlib, numpy or the missing key, as it happens.
    except Exception as error:
        raise DamagedError(
            f"{PREDICTIONS}: expected a run's predictions, got {type(error).__name__}: {one_line(error)}"
        ) from error


def _check_scores(results: RunResults, found: Scores) -> None:
    """Raise `MismatchError` where a test metric is not what the predictions give."""
    tolerances = {"loss": 1e-5 * found.loss + 1e-6, "acc": 0.0, "ece": found.ece_tolerance}
    for name, tolerance in tolerances.items():
        recorded, given = results.metrics.get(f"test/{name}"), getattr(found, name)
        if recorded is None or abs(recorded - given) > tolerance:
            raise MismatchError(f"{RESULTS}: test/{name} is {recorded}, but {PREDICTIONS} gives {given:.8g}")


def _check_possible(run: Run) -> None:
    """Raise `MismatchError` where the numbers of `results.json` cannot be true together, or not with the history."""
    metrics, trained = run.results.metrics, run.results.epochs_trained
    rows = len(run.history["epoch"])
    if trained is not None and trained != rows:
        raise MismatchError(f"{RESULTS}: epochs_trained is {trained}, but {HISTORY} has {rows} rows")
    train, test, gap = (metrics.get(name) for name in ("train/acc", "test/acc", "gap"))
    if train is not None and test is not None and (gap is None or abs(gap - (train - test)) > _SAME):
        raise MismatchError(f"{RESULTS}: gap is {gap}, but train/acc − test/acc is {train - test:.8g}")
    for name in ("val/acc", "val/loss"):
        recorded, of_epoch = metrics.get(name), float(run.history[name][run.results.best_epoch or 0])
        if recorded is None and math.isnan(of_epoch):
            continue
        if recorded is None or not abs(recorded - of_epoch) <= _tolerance(run, name, of_epoch):
            raise MismatchError(
                f"{RESULTS}: {name} is {recorded}, but {HISTORY} has {of_epoch:.8g} in the best epoch "
                f"{run.results.best_epoch} (0-based)"
            )


def _tolerance(run: Run, name: str, value: float) -> float:
    """Return how far the score of the end may be from the epoch's, of the same weights and images.

    On the CPU in full precision, a convolution whose weights lie otherwise in memory moves a loss in its last digits,
    and hardly ever an answer. Elsewhere an epoch's score may come from shorter numbers (TF32, bfloat16).
    """
    config = run.stored.config
    precision = str((config.get("trainer") or {}).get("precision", "32-true"))
    exact = run.results.provenance.get("device", "cpu") == "cpu" and precision in {"32", "32-true", "64", "64-true"}
    if name == "val/loss":
        return _SAME + (1e-5 if exact else 0.05) * abs(value)
    images = (config.get("dataset") or {}).get("val_size")
    one_image = 1 / images if exact and isinstance(images, int) and images > 0 else 0.01
    return _SAME + one_image


def _read_memory(path: Path) -> dict[str, _Entry]:
    try:
        memory = _MEMORY.validate_json(read_bytes(path))
    except (OSError, ValidationError):
        return {}
    return memory.runs if memory.version == _VERSION else {}
