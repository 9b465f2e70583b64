"""Image files as a network's input: grey or in colour, square, in [0, 1]."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST_SIDE, LARGEST_SIDE, MOST_PIXELS = 8, 20_000, 50_000_000

Levels = np.ndarray[Any, np.dtype[np.float32]]


class Prediction(NamedTuple):
    """What a network makes of an image: its probabilities `(C,)`, and whether the image was taken as dark on light."""

    probabilities: Tensor
    dark_on_light: bool


def predict_image(
    net: nn.Module, path: Path, side: int, dark_on_light: bool | None = None, channels: int = 1
) -> Prediction:
    """Classify an image file.

    Args:
        net: In evaluation mode; takes images `(1, channels, side, side)` in [0, 1].
        path: A PNG or JPEG file.
        side: The network's input side in pixels.
        dark_on_light: Whether the image shows dark strokes on light ground, which is inverted, since the data sets
            show light on dark; `None` finds out by a grey image's border, and leaves one in colour as it is.
        channels: 1 for grey images, 3 for red, green and blue.

    Raises:
        ValueError: The file holds no still image of a usable size, or the network takes neither grey images nor
            colour, in one line.
    """
    if channels not in _READERS:
        raise ValueError(f"{path}: expected a network for grey or colour images, received one of {channels} channels")
    image = _READERS[channels](path)
    if dark_on_light is None:
        dark_on_light = channels == 1 and is_dark_on_light(image)
    with torch.inference_mode():
        logits = net(fit_square(1 - image if dark_on_light else image, side))
    return Prediction(logits.softmax(1)[0], dark_on_light)


def read_grey(path: Path) -> Levels:
    """Return an image file's grey levels `(H, W)` in [0, 1], turned as its EXIF data say.

    Transparent parts become dark behind light strokes and light behind dark ones. Of a photograph that carries further
    pictures (MPO) the first counts.

    Raises:
        ValueError: The file is missing, is no PNG or JPEG image, is damaged, animated, or of an absurd size.
    """
    return _read(path, _grey)


def read_colour(path: Path) -> Levels:
    """Return an image file's red, green and blue `(3, H, W)` in [0, 1]; as `read_grey`, with white behind transparency.

    Raises:
        ValueError: As `read_grey`.
    """
    return _read(path, _colour)


_READERS: dict[int, Callable[[Path], Levels]] = {1: read_grey, 3: read_colour}


def _read(path: Path, convert: Callable[[Image.Image], Levels]) -> Levels:
    try:
        with warnings.catch_warnings():
            # Sizes are checked below, before anything is decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=("PNG", "JPEG"))
        with image:
            _check(path, image)
            image.load()
            return convert(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise ValueError(f"{path}: expected a PNG or JPEG image, received something else") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{path}: expected at most {MOST_PIXELS:,} pixels, received far more") from None
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (OSError, SyntaxError, EOFError) as error:  # Pillow raises SyntaxError for some damaged PNG files
        raise ValueError(f"{path}: damaged or unreadable ({' '.join(str(error).split())})") from error


def is_dark_on_light(grey: Levels) -> bool:
    """Tell by the median of the border whether the ground is light."""
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    return bool(np.median(border) > 0.5)


def fit_square(levels: Levels, side: int) -> Tensor:
    """Return an image `(H, W)` or `(C, H, W)` as `(1, C, side, side)`: its longer side fitted, the rest black.

    Bilinear, antialiased.
    """
    image = torch.from_numpy(np.ascontiguousarray(levels))[None]
    if levels.ndim == 2:
        image = image[None]
    longer = max(image.shape[-2:])
    height, width = (max(1, round(each * side / longer)) for each in image.shape[-2:])
    if image.shape[-2:] != (height, width):
        image = F.interpolate(image, size=(height, width), mode="bilinear", antialias=True)
    top, left = (side - height) // 2, (side - width) // 2
    return F.pad(image, (left, side - width - left, top, side - height - top))


def _check(path: Path, image: Image.Image) -> None:
    if image.format == "PNG" and getattr(image, "n_frames", 1) > 1:
        raise ValueError(f"{path}: expected a still image, received an animation")
    width, height = image.size
    if not SMALLEST_SIDE <= min(image.size) <= max(image.size) <= LARGEST_SIDE or width * height > MOST_PIXELS:
        raise ValueError(
            f"{path}: expected from {SMALLEST_SIDE} to {LARGEST_SIDE:,} pixels a side and at most {MOST_PIXELS:,} in "
            f"all, received {width:,} × {height:,}"
        )


def _colour(image: Image.Image) -> Levels:
    if image.mode.startswith("I"):
        return np.repeat(_scaled(image)[None], 3, axis=0)
    if image.has_transparency_data:
        painted = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", painted.size, "white"), painted)
    return _levels(image.convert("RGB")).transpose(2, 0, 1)


def _grey(image: Image.Image) -> Levels:
    if image.mode.startswith("I"):
        return _scaled(image)
    if not image.has_transparency_data:
        return _levels(image.convert("RGB").convert("L"))
    painted = image.convert("RGBA")
    grey, opacity = _levels(painted.convert("L")), _levels(painted.getchannel("A"))
    strokes = float((grey * opacity).sum() / max(float(opacity.sum()), 1e-9))
    ground = 1.0 if strokes < 0.5 else 0.0
    return grey * opacity + np.float32(ground) * (1 - opacity)


def _scaled(image: Image.Image) -> Levels:
    """Return the levels of 16 bits a pixel, which Pillow would cut off instead of scaling."""
    return (np.asarray(image, dtype=np.float32).clip(0, 65535) / 65535).astype(np.float32)


def _levels(image: Image.Image) -> Levels:
    return (np.asarray(image) / 255).astype(np.float32)
