"""Image files as a network's input: grey, light on dark, square, in [0, 1]."""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST_SIDE, LARGEST_SIDE, MOST_PIXELS = 8, 20_000, 50_000_000

Grey = np.ndarray[Any, np.dtype[np.float32]]


class Prediction(NamedTuple):
    """What a network makes of an image: its probabilities `(C,)`, and whether the image was taken as dark on light."""

    probabilities: Tensor
    dark_on_light: bool


def predict_image(net: nn.Module, path: Path, side: int, dark_on_light: bool | None = None) -> Prediction:
    """Classify an image file.

    Args:
        net: In evaluation mode; takes images `(1, 1, side, side)` in [0, 1].
        path: A PNG or JPEG file.
        side: The network's input side in pixels.
        dark_on_light: Whether the image shows dark strokes on light ground, which is inverted, since the data sets
            show light on dark; `None` finds out by the image's border.

    Raises:
        ValueError: The file holds no still image of a usable size, in one line that names it.
    """
    grey = read_grey(path)
    if dark_on_light is None:
        dark_on_light = is_dark_on_light(grey)
    with torch.inference_mode():
        logits = net(fit_square(1 - grey if dark_on_light else grey, side))
    return Prediction(logits.softmax(1)[0], dark_on_light)


def read_grey(path: Path) -> Grey:
    """Return an image file's grey levels `(H, W)` in [0, 1], turned as its EXIF data say.

    Transparent parts become dark behind light strokes and light behind dark ones. Of a photograph that carries further
    pictures (MPO) the first counts.

    Raises:
        ValueError: The file is missing, is no PNG or JPEG image, is damaged, animated, or of an absurd size.
    """
    try:
        with warnings.catch_warnings():
            # Sizes are checked below, before anything is decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=("PNG", "JPEG"))
        with image:
            _check(path, image)
            image.load()
            return _grey(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise ValueError(f"{path}: expected a PNG or JPEG image, received something else") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{path}: expected at most {MOST_PIXELS:,} pixels, received far more") from None
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (OSError, SyntaxError, EOFError) as error:  # Pillow raises SyntaxError for some damaged PNG files
        raise ValueError(f"{path}: damaged or unreadable ({' '.join(str(error).split())})") from error


def is_dark_on_light(grey: Grey) -> bool:
    """Tell by the median of the border whether the ground is light."""
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    return bool(np.median(border) > 0.5)


def fit_square(grey: Grey, side: int) -> Tensor:
    """Return the image `(1, 1, side, side)`: its longer side fitted (bilinear, antialiased), the rest black."""
    image = torch.from_numpy(np.ascontiguousarray(grey))[None, None]
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


def _grey(image: Image.Image) -> Grey:
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would cut off instead of scaling
        return (np.asarray(image, dtype=np.float32).clip(0, 65535) / 65535).astype(np.float32)
    if not image.has_transparency_data:
        return _levels(image.convert("RGB").convert("L"))
    painted = image.convert("RGBA")
    grey, opacity = _levels(painted.convert("L")), _levels(painted.getchannel("A"))
    strokes = float((grey * opacity).sum() / max(float(opacity.sum()), 1e-9))
    ground = 1.0 if strokes < 0.5 else 0.0
    return grey * opacity + np.float32(ground) * (1 - opacity)


def _levels(image: Image.Image) -> Grey:
    return (np.asarray(image) / 255).astype(np.float32)
