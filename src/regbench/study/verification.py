"""Whether a finished run's recorded numbers are possible, and are those that its stored predictions give."""

import hashlib
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
from regbench.storage.schema import PREDICTIONS, RESULTS
from regbench.study.contradictions import MismatchError, check_possible
from regbench.study.predictions import check_predictions, read_arrays
from regbench.study.run_folders import Run

REMEMBERED = ".verified.json"

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
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True)

    loss: float
    acc: float
    ece: float
    ece_tolerance: float


class Verified(BaseModel):
    """What was computed of stored predictions, and of which file.

    Attributes:
        stamp: The file's size, and its times of change in nanoseconds.
        sha256: Of the file.
        scores: What the predictions give.
        logits: Stands for the logits bit by bit; empty where all images have the same.
        labels: Stands for the labels.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    stamp: tuple[int, int, int]
    sha256: str
    scores: Scores
    logits: str
    labels: str


class _Memory(BaseModel):
    """The file that remembers; another version is not read."""

    model_config = ConfigDict(strict=True, frozen=True)

    version: int
    runs: dict[str, Verified]


_VERSION = 2
_MEMORY = TypeAdapter(_Memory)


@dataclass(frozen=True)
class _Answer:
    entry: Verified | None
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

    def check(self, run: Run) -> Verified | None:
        """Return what a finished run's predictions gave; None without `predictions.npz`: nothing is verified then.

        Raises:
            MismatchError: Its numbers contradict each other or its predictions.
            DamagedError: Its predictions cannot be read.
        """
        check_possible(run)
        answer = self._answers.get(run.folder) or self._answer(run.folder)
        self._answers[run.folder] = answer
        if answer.error is not None:
            raise answer.error
        if answer.entry is None:
            return None
        _check_scores(run.results, answer.entry.scores)
        return answer.entry

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


def _scored(path: Path, known: Verified | None) -> Verified | None:
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
        same = bool((logits == logits[:1]).all())
        return Verified(
            stamp=stamp,
            sha256=digest,
            scores=score(logits, labels),
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


def _digest(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _check_scores(results: RunResults, found: Scores) -> None:
    """Raise `MismatchError` where a test metric is not what the predictions give."""
    tolerances = {"loss": 1e-5 * found.loss + 1e-6, "acc": 0.0, "ece": found.ece_tolerance}
    for name, tolerance in tolerances.items():
        if f"test/{name}" not in results.metrics:
            continue  # The run is older than the metric.
        recorded, given = results.metrics[f"test/{name}"], getattr(found, name)
        if recorded is None or abs(recorded - given) > tolerance:
            raise MismatchError(f"{RESULTS}: test/{name} is {recorded}, but {PREDICTIONS} gives {given:.8g}")


def _read_memory(path: Path) -> dict[str, Verified]:
    try:
        memory = _MEMORY.validate_json(read_bytes(path))
    except (OSError, ValidationError):
        return {}
    return memory.runs if memory.version == _VERSION else {}
