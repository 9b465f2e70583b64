"""`Npz`, the source of a set of one's own: training and test images in one file of arrays."""

import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from regbench.data.sources import Arrays, Source
from regbench.validation import validated

Array = np.ndarray[Any, Any]
Part = Literal["train_images", "train_labels", "test_images", "test_labels"]

# By what names such arrays usually go, in small letters; without a test part the plain names are the training part.
USUAL_NAMES: dict[Part, tuple[str, ...]] = {
    "train_images": ("train_images", "x_train", "images", "x", "data"),
    "train_labels": ("train_labels", "y_train", "labels", "y", "targets"),
    "test_images": ("test_images", "x_test"),
    "test_labels": ("test_labels", "y_test"),
}
_FEW_CHANNELS = 4


class Npz(Source):
    """Arrays in an `.npz` file: `train_images`, `train_labels`, `test_images`, `test_labels`.

    Images are bytes, or numbers in [0, 1], and square: `(N, S, S)`, `(N, C, S, S)` or `(N, S, S, C)`. Labels are
    integers from 0, `(N,)` or `(N, 1)`. `regbench new dataset` writes such a file, and the YAML that goes with it.

    Args:
        file: The file's path below `dataset.root`.
        arrays: What each of the four is called in the file; `None` finds the usual names (`x_train`, `y_train`, …).
        sha256: Hash of the arrays, as results record it in `dataset_sha256`; `None` skips this check.

    Raises:
        ValueError: `file` is no path below a folder.
    """

    @validated
    def __init__(self, file: Path, arrays: dict[Part, str] | None = None, sha256: str | None = None) -> None:
        if file.is_absolute() or ".." in file.parts:
            raise ValueError(f"file: expected a path below dataset.root, received {file}")
        self.file = file
        self.arrays = arrays
        self.sha256 = sha256

    def read(self, root: Path) -> Arrays:
        """Return the arrays.

        Raises:
            FileNotFoundError: The file is not there.
            ValueError: It holds something else than a set of images, or another one than `sha256` says.
        """
        path = root / self.file
        found = read_npz(path, self.arrays)
        if missing := [part for part in USUAL_NAMES if part not in found]:
            raise ValueError(
                f"{path}: expected {', '.join(USUAL_NAMES)}, found no {' and no '.join(missing)}; name them in "
                "dataset.source.arrays, or let regbench new dataset split off test images"
            )
        arrays = Arrays(
            images_of(found["train_images"], f"{path}: train_images"),
            labels_of(found["train_labels"], f"{path}: train_labels"),
            images_of(found["test_images"], f"{path}: test_images"),
            labels_of(found["test_labels"], f"{path}: test_labels"),
        )
        check_counts(arrays, str(path))
        if self.sha256 is not None and (received := arrays.sha256()) != self.sha256:
            raise ValueError(
                f"{path}: expected the images that dataset.source.sha256 states ({self.sha256[:12]}…), received others "
                f"({received[:12]}…); put those back, or describe these by regbench new dataset under another --name"
            )
        return arrays


def read_npz(path: Path, names: Mapping[Part, str] | None = None) -> dict[Part, Array]:
    """Return the arrays of an `.npz` file by what they are; those that it lacks are left out.

    Args:
        path: The file.
        names: What each is called in the file; `None` finds the usual names.

    Raises:
        FileNotFoundError: The file is not there.
        ValueError: It is no such file, or holds no array of a given name.
    """
    try:
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise ValueError(f"{path}: expected an .npz file of several arrays, received a single array")
            if names is None:
                names = find_names(stored.files)
            if absent := sorted(set(names.values()) - set(stored.files)):
                raise ValueError(
                    f"{path}: expected an array {absent[0]!r}, received {', '.join(stored.files) or 'none'}"
                )
            return {part: stored[name] for part, name in names.items()}
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path}: expected an .npz file, damaged or something else ({error})") from error
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: expected arrays of numbers ({' '.join(str(error).split())})") from error


def find_names(names: Collection[str]) -> dict[Part, str]:
    """Return which of a file's arrays is which, by the usual names."""
    by_lower = {name.lower(): name for name in names}
    found: dict[Part, str] = {}
    for part, usual in USUAL_NAMES.items():
        if name := next((by_lower[each] for each in usual if each in by_lower), None):
            found[part] = name
    return found


def images_of(stored: Array, place: str) -> Tensor:
    """Return images as bytes, `(N, H, W)` or `(N, C, H, W)`.

    Of four axes the channels are the one that leaves squares, or else the one that is at most 4.

    Args:
        stored: `(N, H, W)`, `(N, C, H, W)` or `(N, H, W, C)`; bytes, or numbers in [0, 1].
        place: Where they are, named in errors.

    Raises:
        ValueError: They are no images.
    """
    if stored.ndim not in {3, 4} or 0 in stored.shape:
        raise ValueError(f"{place}: expected images (N, H, W), (N, C, H, W) or (N, H, W, C), received {_shape(stored)}")
    if np.issubdtype(stored.dtype, np.floating):
        if not (np.isfinite(stored).all() and stored.min() >= 0 and stored.max() <= 1):
            raise ValueError(f"{place}: expected numbers in [0, 1], or bytes, received others")
        stored = np.round(stored * 255).astype(np.uint8)
    if stored.dtype != np.uint8:
        raise ValueError(f"{place}: expected bytes (uint8) or numbers in [0, 1], received {stored.dtype}")
    images = torch.from_numpy(np.ascontiguousarray(stored))
    if images.ndim == 3:
        return images
    _, second, third, last = images.shape
    if third == last or (second != third and last > _FEW_CHANNELS >= second):
        return images
    if second == third or last <= _FEW_CHANNELS:
        return images.permute(0, 3, 1, 2).contiguous()
    raise ValueError(f"{place}: expected channels as the second or the last axis, received {_shape(stored)}")


def labels_of(stored: Array, place: str) -> Tensor:
    """Return labels `(N,)` as 64-bit integers.

    Raises:
        ValueError: They are no labels.
    """
    if stored.ndim == 2 and stored.shape[1] == 1:
        stored = stored[:, 0]
    if stored.ndim != 1 or not np.issubdtype(stored.dtype, np.integer) or (stored.size and stored.min() < 0):
        raise ValueError(
            f"{place}: expected one integer from 0 for each image, received {stored.dtype} {_shape(stored)}"
        )
    return torch.from_numpy(stored.astype(np.int64))


def check_counts(arrays: Arrays, place: str) -> None:
    """Refuse other numbers of images than of labels, and test images that are not as the training images are.

    Raises:
        ValueError: In one line.
    """
    parts = (("training", arrays.train_images, arrays.train_labels), ("test", arrays.test_images, arrays.test_labels))
    for part, images, labels in parts:
        if len(images) != len(labels):
            raise ValueError(
                f"{place}: expected a label for each of {len(images)} {part} images, received {len(labels)}"
            )
    shapes = [tuple(images.shape[1:]) for _, images, _ in parts]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{place}: expected test images of shape {shapes[0]} as the training images, received {shapes[1]}"
        )


def _shape(stored: Array) -> str:
    return f"({', '.join(map(str, stored.shape))})"
