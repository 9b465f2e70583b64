"""Making a data set of one's own known: its images in one file, and the YAML that describes them."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from regbench.data.own import OwnData, read_own
from regbench.data.sources import Arrays
from regbench.storage.files import replace_file, write_text

_NAME = re.compile(r"[A-Za-z0-9_]+")
_VAL_SHARE = 0.1
_SMALL = 2_000


@dataclass(frozen=True)
class NewDataset:
    """What `write_dataset` has written: the file of images, the YAML, and lines that tell about the set."""

    images: Path
    description: Path
    lines: list[str]


def write_dataset(
    path: Path,
    name: str | None,
    root: Path,
    configs: Path,
    *,
    test_share: float = 0.2,
    side: int | None = None,
    grey: bool = False,
    replace: bool = False,
) -> NewDataset:
    """Read a set of one's own, and write `<root>/<name>.npz` and `<configs>/dataset/<name>.yaml`.

    Args:
        path: As for `read_own`.
        name: Of the set; by default the path's own, in small letters.
        root: Where data are kept, `dataset.root`.
        configs: The folder of configurations.
        test_share: As for `read_own`.
        side: As for `read_own`.
        grey: As for `read_own`.
        replace: Whether files that are there already may be replaced.

    Raises:
        ValueError: A name is no name, a file is there already, or the set cannot be read.
    """
    name = name or re.sub(r"\W+", "_", path.resolve().stem.lower())
    if not _NAME.fullmatch(name):
        raise ValueError(f"--name: expected letters, digits and _, received {name!r}")
    if not 0 < test_share < 1:
        raise ValueError(f"--test-share: expected a number in (0, 1), received {test_share:g}")
    images, description = root / f"{name}.npz", configs / "dataset" / f"{name}.yaml"
    for each in (images, description):
        if each.exists() and (not replace or each.resolve() == path.resolve()):
            raise ValueError(f"{each}: there already; give another --name, or --replace where it is to be replaced")
    data = read_own(path, test_share, side, grey=grey)
    text = describe(name, data, root)
    images.parent.mkdir(parents=True, exist_ok=True)
    description.parent.mkdir(parents=True, exist_ok=True)
    replace_file(images, lambda target: _write_arrays(target, data.arrays))
    write_text(description, text)
    return NewDataset(images, description, [_summary(name, data), *data.notes])


def describe(name: str, data: OwnData, root: Path) -> str:
    """Return the YAML of a set whose images are in `<root>/<name>.npz`."""
    arrays = data.arrays
    train, test, channels = len(arrays.train_labels), len(arrays.test_labels), arrays.train_images.shape[1]
    mean, std = moments(arrays.train_images)
    val = max(1, round(_VAL_SHARE * train))
    # JSON is YAML, and quotes what YAML would take for a number or for true.
    classes = json.dumps(data.classes, ensure_ascii=False)
    return f"""\
# {train:,} + {test:,} images of one's own, as regbench new dataset read them.
_target_: regbench.data.ImageData
name: {json.dumps(name)}
source:
  _target_: regbench.data.npz.Npz
  file: {name}.npz # below root
  arrays: null # their usual names
  sha256: {arrays.sha256()} # of all images and labels
classes: {classes}
channels: {channels}
mean: {_by_channel(mean)} # of the training images
std: {_by_channel(std)}
train_images: {train}
root: {json.dumps(str(root), ensure_ascii=False)}
image_size: ${{model.image_size}}
batch_size: {100 if train >= _SMALL else 50}
val_size: {val} # a tenth of the training images
train_size: null # all that validation leaves; fewer are a stratified, nested part
split_seed: null # the split follows the seed; a number: this split for all seeds
flip: false # true where a mirrored image keeps its class
margin: {_margin(test):g} # smallest difference that matters: the standard error of 90 % on {test:,} test images
light_on_dark: false # true where drawings on light ground are to be inverted for its networks
"""


def moments(images: Tensor) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel of images `(N, C, H, W)`, bytes taken as [0, 1].

    Raises:
        ValueError: A channel is the same everywhere.
    """
    means, deviations = [], []
    levels = np.arange(256) / 255
    for channel in images.transpose(0, 1).numpy():
        counts = np.bincount(channel.ravel(), minlength=256)
        mean = float(levels @ counts / counts.sum())
        deviation = math.sqrt(float((levels - mean) ** 2 @ counts / counts.sum()))
        if deviation < 5e-5:
            raise ValueError("expected training images that differ, received the same value in all pixels of a channel")
        means.append(mean)
        deviations.append(deviation)
    return means, deviations


def _by_channel(values: list[float]) -> str:
    """Write one number as it is, several as a list."""
    shown = ", ".join(f"{value:.4f}" for value in values)
    return shown if len(values) == 1 else f"[{shown}]"


def _margin(test_images: int) -> float:
    """Return the standard error of an accuracy of 90 %, rounded up to one digit."""
    error = math.sqrt(0.09 / test_images)
    unit: float = 10.0 ** math.floor(math.log10(error))
    return min(0.5, math.ceil(error / unit) * unit)


def _write_arrays(target: Path, arrays: Arrays) -> None:
    with target.open("wb") as file:
        np.savez(file, **{name: array.numpy() for name, array in arrays._asdict().items()})


def _summary(name: str, data: OwnData) -> str:
    arrays = data.arrays
    _, channels, height, width = arrays.train_images.shape
    kind = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    return (
        f"{name}: {len(arrays.train_labels):,} training and {len(arrays.test_labels):,} test images, "
        f"{height} × {width}, {kind}, {len(data.classes)} classes"
    )
