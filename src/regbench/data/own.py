"""Reading a set of one's own, whatever it comes as: a folder of images by class, IDX files, an `.npz` file."""

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from regbench.data.image_files import fit_square, read_colour, read_grey
from regbench.data.npz import Array, Part, check_counts, images_of, labels_of, read_npz
from regbench.data.sources import Arrays
from regbench.seeding import stratified_order

TEST_SEED = 0
FITTED_SIDE = 32
_LARGEST_KEPT_SIDE = 64
_IMAGES = {".png", ".jpg", ".jpeg"}
_PARTS: dict[str, tuple[str, ...]] = {"train": ("train", "training"), "test": ("test", "testing", "t10k")}
_IDX_BYTES = 0x08


class OwnData(NamedTuple):
    """A set of one's own: its arrays, the classes' names, and what is to be told about it, in lines."""

    arrays: Arrays
    classes: list[str]
    notes: list[str]


class _Part(NamedTuple):
    images: Tensor
    labels: Tensor


def read_own(path: Path, test_share: float, side: int | None = None, *, grey: bool = False) -> OwnData:
    """Read a set of images.

    Args:
        path: A folder of PNG or JPEG files by class, with or without `train/` and `test/` above the classes; a folder
            of IDX files, packed or not; or an `.npz` file.
        test_share: Share of the images that becomes the test set, stratified and always the same, where there is none.
        side: The side in pixels to which images are fitted, the rest being black; `None` keeps the size of squares of
            one size, up to 64 pixels, and else takes 32.
        grey: Turn colour into grey levels.

    Raises:
        ValueError: There is no set of images, or a file of it is damaged, in one line that names it.
    """
    notes: list[str] = []
    if path.is_dir():
        if any("idx" in each.name for each in path.iterdir() if each.is_file()):
            parts, classes = _from_arrays(_read_idx(path), path)
        else:
            parts, classes = _read_folder(path, side, grey, notes)
    elif path.suffix == ".npz":
        parts, classes = _from_arrays(read_npz(path), path)
    else:
        received = "another file" if path.exists() else "nothing there"
        raise ValueError(f"{path}: expected a folder of images or of IDX files, or an .npz file; received {received}")
    _check_classes(parts, classes, path)
    parts = {name: _as_wanted(part, side, grey) for name, part in parts.items()}
    train = parts["train"]
    if "test" not in parts:
        count = round(test_share * len(train.labels))
        order = stratified_order(train.labels, TEST_SEED)
        test, rest = order[:count], order[count:]
        train, parts["test"] = (_Part(train.images[chosen], train.labels[chosen]) for chosen in (rest, test))
        notes.append(f"{test_share:g} of the images are the test set, the same for all seeds")
    arrays = Arrays(*train, *parts["test"])
    _check_parts(arrays, classes, path)
    if shared := _in_both(arrays):
        notes.append(f"{shared:,} test images are training images, too: their answers may be learned by heart")
    return OwnData(arrays, classes, notes)


def read_idx(path: Path) -> Array:
    """Return the array of an IDX file of bytes, packed by gzip or not.

    The format: LeCun, Cortes and Burges, The MNIST database of handwritten digits.

    Raises:
        ValueError: The file is damaged or something else.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: damaged, it cannot be unpacked ({error})") from error
    axes = content[3] if len(content) > 3 else 0
    if content[:3] != bytes([0, 0, _IDX_BYTES]) or not axes:
        raise ValueError(f"{path}: expected an IDX file of bytes, which begins with 00 00 08; received another file")
    start = 4 + 4 * axes
    shape = np.frombuffer(content[4:start].ljust(4 * axes, b"\0"), ">u4").astype(int)
    if len(content) != start + int(shape.prod()):
        raise ValueError(f"{path}: damaged, expected {shape.prod():,} bytes of data, received {len(content) - start:,}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()  # which torch may write to


def _read_idx(folder: Path) -> dict[Part, Array]:
    """Read what a folder has of the four files; a single pair is the training part, whatever it is called."""
    found: dict[Part, Array] = {}
    files = sorted(each for each in folder.iterdir() if each.is_file() and "idx" in each.name)
    for kind in ("images", "labels"):
        named = [each for each in files if kind in each.name]
        for part, words in _PARTS.items():
            fitting = [each for each in named if any(word in each.name for word in words)]
            if not fitting and part == "train" and len(named) == 1:
                fitting = named
            if len({each.name.removesuffix(".gz") for each in fitting}) > 1:
                raise ValueError(
                    f"{folder}: expected one file of {part} {kind}, received {' and '.join(e.name for e in fitting)}"
                )
            if fitting:
                found[f"{part}_{kind}"] = read_idx(fitting[0])  # type: ignore[index]  # one of the four
    return found


def _from_arrays(stored: Mapping[Part, Array], path: Path) -> tuple[dict[str, _Part], list[str]]:
    """Decode arrays; classes are called by their labels, which may be words."""
    for needed in ("train_images", "train_labels"):
        if needed not in stored:
            raise ValueError(f"{path}: expected training images and labels by their usual names, found no {needed}")
    if ("test_images" in stored) != ("test_labels" in stored):
        raise ValueError(f"{path}: expected test images with test labels, or neither")
    words: list[str] | None = None
    if stored["train_labels"].dtype.kind == "U":
        words = sorted({str(each) for each in stored["train_labels"].ravel()})
    parts = {}
    for part in _PARTS:
        images: Array | None = stored.get(f"{part}_images")  # type: ignore[call-overload]  # one of the four
        if images is None:
            continue
        labels = stored[f"{part}_labels"]  # type: ignore[index]  # one of the four
        if words is not None:
            if unknown := sorted({str(each) for each in labels.ravel()} - set(words)):
                raise ValueError(
                    f"{path}: {part}_labels: expected classes of the training set, received {unknown[0]!r}"
                )
            labels = np.searchsorted(words, labels.astype(str))
        decoded = _Part(images_of(images, f"{path}: {part}_images"), labels_of(labels, f"{path}: {part}_labels"))
        if len(decoded.images) != len(decoded.labels):
            raise ValueError(
                f"{path}: expected a label for each of {len(decoded.images)} {part} images, received "
                f"{len(decoded.labels)}"
            )
        parts[part] = decoded
    highest = max(int(part.labels.max()) for part in parts.values())
    return parts, words if words is not None else [str(label) for label in range(highest + 1)]


def _read_folder(folder: Path, side: int | None, grey: bool, notes: list[str]) -> tuple[dict[str, _Part], list[str]]:
    """Read image files; classes are the folders that hold them, in alphabetical order."""
    inside = {each.name.lower(): each for each in _folders(folder)}
    split = {part: next((inside[word] for word in words if word in inside), None) for part, words in _PARTS.items()}
    if (train := split["train"]) is not None and (test := split["test"]) is not None:
        tops = {"train": train, "test": test}
        if others := sorted(set(inside.values()) - set(tops.values())):
            notes.append(f"left out: {', '.join(map(str, others))} (each run draws its validation images from train)")
    else:
        tops = {"train": folder}
    classes = [each.name for each in _folders(tops["train"])]
    if "test" in tops and (unknown := sorted({each.name for each in _folders(tops["test"])} - set(classes))):
        raise ValueError(f"{tops['test'] / unknown[0]}: expected a class of {tops['train']}, which has no such folder")
    files = {
        part: [(path, label) for label, name in enumerate(classes) for path in _files(top / name)]
        for part, top in tops.items()
    }
    every = [path for listed in files.values() for path, _ in listed]
    if len(classes) < 2 or not every:
        raise ValueError(f"{folder}: expected a folder of PNG or JPEG files for each of two or more classes")
    if side is None:
        side = _common_side(every)
        if side is None:
            side = FITTED_SIDE
            notes.append(f"images are fitted to {side} × {side} pixels; --side takes another number")
    read = read_grey if grey else read_colour
    parts = {
        part: _Part(
            torch.cat([fit_square(read(path), side).mul(255).round().to(torch.uint8) for path, _ in listed]),
            torch.tensor([label for _, label in listed]),
        )
        for part, listed in files.items()
        if listed
    }
    if all(_is_grey(part.images) for part in parts.values()):
        parts = {name: _Part(part.images[:, :1], part.labels) for name, part in parts.items()}
    return parts, classes


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    found = folder.rglob("*") if folder.is_dir() else []
    return sorted(each for each in found if each.suffix.lower() in _IMAGES and not each.name.startswith("."))


def _common_side(files: list[Path]) -> int | None:
    """Return the side of images that are squares of one size, not too large to be trained on as they are."""
    sizes = set()
    for path in files:
        try:
            with Image.open(path) as image:
                sizes.add(image.size)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError):
            return None  # told by name when it is read
    (width, height), *others = sizes
    return width if not others and width == height <= _LARGEST_KEPT_SIDE else None


def _is_grey(images: Tensor) -> bool:
    return bool((images == images[:, :1]).all())


def _as_wanted(part: _Part, side: int | None, grey: bool) -> _Part:
    """Make arrays square, of the wanted side and grey where that is asked for."""
    images = part.images if part.images.ndim == 4 else part.images.unsqueeze(1)
    if grey and images.shape[1] == 3:
        # Luma as Pillow has it: ITU-R BT.601.
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        images = (images.float() * weights).sum(1, keepdim=True).round().to(torch.uint8)
    height, width = images.shape[2:]
    wanted = side or max(height, width)
    if (height, width) != (wanted, wanted):
        fitted = [fit_square(each.float().div(255).numpy(), wanted) for each in images]
        images = torch.cat(fitted).mul(255).round().to(torch.uint8)
    return _Part(images, part.labels)


def _check_classes(parts: Mapping[str, _Part], classes: list[str], path: Path) -> None:
    for name, part in parts.items():
        there = set(part.labels.unique().tolist())
        if missing := [each for label, each in enumerate(classes) if label not in there]:
            raise ValueError(f"{path}: expected {name} images of every class, found none of {missing[0]!r}")


def _check_parts(arrays: Arrays, classes: list[str], path: Path) -> None:
    check_counts(arrays, str(path))
    for name, labels in (("training", arrays.train_labels), ("test", arrays.test_labels)):
        counts = labels.bincount(minlength=len(classes))
        if int(counts.min()) == 0:
            raise ValueError(
                f"{path}: expected {name} images of every class after the split, found none of "
                f"{classes[int(counts.argmin())]!r}; give a larger --test-share, or more images"
            )


def _in_both(arrays: Arrays) -> int:
    """Count test images that are training images to the last bit."""
    train, test = (
        [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images.numpy()]
        for images in (arrays.train_images, arrays.test_images)
    )
    known = set(train)
    return sum(each in known for each in test)
