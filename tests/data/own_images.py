"""Small sets of images of one's own, as folders and files of each form."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def coloured(count: int, label: int, side: int = 32, channels: int = 3, seed: int = 0) -> Pixels:
    """Noise `(count, side, side, channels)` in which a stripe says the class."""
    images = np.random.default_rng([seed, label]).integers(0, 100, (count, side, side, channels), np.uint8)
    images[:, 4 * label : 4 * label + 4, :, label % channels] = 255
    return images


def write_folder(folder: Path, names: tuple[str, ...] = ("cat", "dog", "eel"), count: int = 20, **options: Any) -> None:
    """Write PNG files by class."""
    for label, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(coloured(count, label, **options)):
            Image.fromarray(image.squeeze()).save(folder / name / f"{number}.png")


def arrays(count: int, classes: int = 3, **options: Any) -> tuple[Pixels, np.ndarray[Any, Any]]:
    """Return `count` images of each class `(N, side, side, channels)`, and their labels."""
    images = np.concatenate([coloured(count, label, **options) for label in range(classes)])
    return images, np.repeat(np.arange(classes), count)


def write_idx(path: Path, array: Pixels) -> None:
    """Write an IDX file of bytes, packed where its name ends so."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
