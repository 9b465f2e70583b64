"""What the stored predictions of a setting's runs say together: confusions, calibration, the most certain mistakes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

BINS = 15
_MOST_MISTAKES = 12

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Mistake:
    """A test image that a setting gets wrong: its grey levels, its class, the answer, and how sure the answer was."""

    image: Array
    target: int
    answer: int
    confidence: float


@dataclass
class Predictions:
    """The test predictions of several runs of one setting.

    Attributes:
        confusion: Test images by (class, answer), summed over runs, ``(C, C)``.
        bins: Number of predictions, sum of confidences and number right in equal bins of confidence, ``(3, 15)``.
        errors: Every run's expected calibration error.
        mistakes: The most certain mistakes, pooled over runs.
        samples: Grey images, four a class, class by class, ``(4 C, H, W)``; empty where none were stored.
        problems: A line for every run whose predictions could not be read.
        size: Images in the test set.
        read: Runs that could be read.
    """

    confusion: Array = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    bins: Array = field(default_factory=lambda: np.zeros((3, BINS)))
    errors: list[float] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    samples: Array = field(default_factory=lambda: np.zeros((0, 1, 1), dtype=np.uint8))
    problems: list[str] = field(default_factory=list)
    size: int = 0
    read: int = 0


def gather(folders: Iterable[str | Path]) -> Predictions:
    """Read ``predictions.npz`` of every run folder; a damaged or missing file is named in ``problems``."""
    found = Predictions()
    images: dict[int, Array] = {}
    runs: list[tuple[Array, Array, Array]] = []
    for folder in folders:
        file = Path(folder) / "predictions.npz"
        try:
            stored = _read(file)
        # A truncated archive raises from zipfile, zlib, numpy or the missing key, as it happens.
        except Exception as error:
            found.problems.append(f"{file}: expected a run's predictions, received {type(error).__name__}: {error}")
            continue
        labels, probabilities = stored["labels"], _softmax(stored["logits"])
        answers, certain = probabilities.argmax(1), probabilities.max(1)
        runs.append((labels, answers, certain))
        _count(found, labels, answers, certain, probabilities.shape[1])
        images.update(zip(stored["mistake_indices"].tolist(), stored["mistake_images"], strict=True))
        if not found.samples.size:
            found.samples = stored["sample_images"]
    found.mistakes = _most_certain(images, runs)
    return found


def confused_pairs(confusion: Array, most: int = 5) -> list[tuple[int, int, float]]:
    """(class, mistaken for, share of the class's images), the most frequent first, those that never happen left out."""
    shares = row_shares(confusion)
    np.fill_diagonal(shares, 0.0)
    order = np.argsort(-shares, axis=None, kind="stable")[:most]
    pairs = [(int(place // len(shares)), int(place % len(shares))) for place in order]
    return [(target, answer, float(shares[target, answer])) for target, answer in pairs if shares[target, answer] > 0]


def row_shares(confusion: Array) -> Array:
    """Each row divided by its sum; a class without images gives zeros."""
    totals = confusion.sum(axis=1, keepdims=True)
    shares: Array = np.divide(confusion, totals, out=np.zeros(confusion.shape), where=totals > 0)
    return shares


def calibration_error(bins: Array) -> float:
    """Expected calibration error of binned predictions: the mean of |accuracy - confidence|, weighted by bin."""
    return float(np.abs(bins[2] - bins[1]).sum() / bins[0].sum()) if bins[0].sum() else float("nan")


_KEYS = ("logits", "labels", "sample_images", "mistake_indices", "mistake_images")


def _read(file: Path) -> dict[str, Array]:
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        stored = {key: archive[key] for key in _KEYS}
    logits, labels = stored["logits"], stored["labels"]
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not labels.size:
        raise ValueError(f"logits {logits.shape} and labels {labels.shape} do not belong together")
    if labels.min() < 0 or labels.max() >= logits.shape[1] or not np.isfinite(logits).all():
        raise ValueError("labels out of range or logits that are not finite")
    return stored


def _softmax(logits: Array) -> Array:
    grown: Array = np.exp(logits - logits.max(axis=1, keepdims=True))
    grown /= grown.sum(axis=1, keepdims=True)
    return grown


def _count(found: Predictions, labels: Array, answers: Array, certain: Array, classes: int) -> None:
    square = np.bincount(labels * classes + answers, minlength=classes**2).reshape(classes, classes)
    found.confusion = square if not found.read else found.confusion + square
    place = np.minimum((certain * BINS).astype(int), BINS - 1)
    sums = (np.ones_like(certain), certain, answers == labels)
    bins = np.array([np.bincount(place, weights=weights, minlength=BINS) for weights in sums])
    found.bins = found.bins + bins
    found.errors.append(calibration_error(bins))
    found.size, found.read = len(labels), found.read + 1


def _most_certain(images: dict[int, Array], runs: list[tuple[Array, Array, Array]]) -> list[Mistake]:
    """Among the stored images those with the highest confidence in a wrong answer, averaged over all the runs."""
    ranked = []
    for index, image in images.items():
        wrong = [
            (certain[index], int(answers[index]))
            for labels, answers, certain in runs
            if answers[index] != labels[index]
        ]
        if not wrong:
            continue
        weight = float(sum(confidence for confidence, _ in wrong)) / len(runs)
        confidence, answer = max(wrong)
        ranked.append((-weight, index, Mistake(image, int(runs[0][0][index]), answer, float(confidence))))
    return [mistake for _, _, mistake in sorted(ranked, key=lambda entry: entry[:2])[:_MOST_MISTAKES]]
