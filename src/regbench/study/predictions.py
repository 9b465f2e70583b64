"""What the stored predictions of a setting's runs say together: confusions, calibration, the most certain mistakes."""

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from regbench.drawing.confusion import Array, row_shares
from regbench.drawing.reliability import BINS, bin_by_confidence, calibration_error
from regbench.storage.schema import PREDICTIONS

# Metrics that are a mean of one value for each test image; calibration error and gap are not.
MEANS_OVER_IMAGES = ("test/acc", "test/loss")

_MOST_MISTAKES = 12
_MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class Mistake:
    """A test image that a setting gets wrong: pixels `(H, W)` or `(H, W, C)`, class, answer, confidence."""

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
        samples: Images, four a class, class by class, ``(4 C, H, W)`` or, with channels, ``(4 C, H, W, channels)``;
            empty where none were stored.
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


def read_predictions(folders: Iterable[str | Path]) -> Predictions:
    """Read ``predictions.npz`` of every run folder; a damaged or missing file is named in ``problems``."""
    found = Predictions()
    images: dict[int, Array] = {}
    runs: list[tuple[Array, Array, Array]] = []
    for folder in folders:
        file = Path(folder) / PREDICTIONS
        try:
            stored = _read(file, (*_ANSWERS, *_IMAGES))
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


def read_logits(folder: Path) -> Array | None:
    """Return a run's test logits ``(N, C)``; None where they cannot be read."""
    try:
        return _read(folder / PREDICTIONS, _ANSWERS)["logits"]
    except Exception:  # as above; whoever shows the predictions names what is wrong
        return None


def read_image_values(folder: Path, metric: str) -> tuple[Array, Array] | None:
    """Return a run's test labels, and for each test image the value whose mean is the metric, `(N,)` both.

    Args:
        folder: The run's folder.
        metric: `test/acc` (whether the answer is right) or `test/loss` (the cross-entropy); no other is such a mean.

    Returns:
        None where the predictions cannot be read.

    Raises:
        ValueError: The metric is another one.
    """
    if metric not in MEANS_OVER_IMAGES:
        raise ValueError(f"metric: expected one of {', '.join(MEANS_OVER_IMAGES)}, got {metric}")
    try:
        stored = _read(folder / PREDICTIONS, _ANSWERS)
    except Exception:  # as above
        return None
    logits, labels = stored["logits"], stored["labels"]
    if metric == "test/acc":
        return labels, logits.argmax(axis=1) == labels
    shifted = logits - logits.max(axis=1, keepdims=True).astype(np.float64)
    return labels, np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]


def confused_pairs(confusion: Array, most: int = 5) -> list[tuple[int, int, float]]:
    """(class, mistaken for, share of the class's images), the most frequent first, those that never happen left out."""
    shares = row_shares(confusion)
    np.fill_diagonal(shares, 0.0)
    order = np.argsort(-shares, axis=None, kind="stable")[:most]
    pairs = [(int(place // len(shares)), int(place % len(shares))) for place in order]
    return [(target, answer, float(shares[target, answer])) for target, answer in pairs if shares[target, answer] > 0]


def check_predictions(logits: Array, labels: Array) -> None:
    """Refuse arrays that cannot be a run's predictions.

    Args:
        logits: Finite, ``(N, C)``.
        labels: From 0 to C - 1, ``(N,)``.

    Raises:
        ValueError: They cannot.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not labels.size:
        raise ValueError(f"logits {logits.shape} and labels {labels.shape} do not belong together")
    if not np.issubdtype(logits.dtype, np.floating) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"expected floating-point logits and integer labels, not {logits.dtype} and {labels.dtype}")
    if labels.min() < 0 or labels.max() >= logits.shape[1] or not np.isfinite(logits).all():
        raise ValueError("labels out of range or logits that are not finite")


def read_arrays(stream: BinaryIO, names: Iterable[str]) -> dict[str, Array]:
    """Read arrays of an `npz` archive, unless unpacking it would fill the memory.

    Raises:
        ValueError: The archive is larger than any run's.
        Exception: Whatever zipfile, zlib and numpy raise of what is no such archive.
    """
    arrays = {}
    with zipfile.ZipFile(stream) as archive:
        size = sum(each.file_size for each in archive.infolist())
        if size > _MOST_BYTES:
            raise ValueError(f"expected at most {_MOST_BYTES:,} bytes once unpacked, received {size:,}")
        for name in names:
            with archive.open(f"{name}.npy") as member:
                arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
    return arrays


_ANSWERS = ("logits", "labels")
_IMAGES = ("sample_images", "mistake_indices", "mistake_images")


def _read(file: Path, names: Iterable[str]) -> dict[str, Array]:
    with file.open("rb") as stream:
        stored = read_arrays(stream, names)
    check_predictions(stored["logits"], stored["labels"])
    return stored


def _softmax(logits: Array) -> Array:
    grown: Array = np.exp(logits - logits.max(axis=1, keepdims=True))
    grown /= grown.sum(axis=1, keepdims=True)
    return grown


def _count(found: Predictions, labels: Array, answers: Array, certain: Array, classes: int) -> None:
    square = np.bincount(labels * classes + answers, minlength=classes**2).reshape(classes, classes)
    found.confusion = square if not found.read else found.confusion + square
    bins = bin_by_confidence(certain, answers == labels)
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
