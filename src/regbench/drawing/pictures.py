"""What of an image's channels can be shown."""

from typing import Any

import numpy as np


def visible(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the part of an image that a picture shows: grey levels `(H, W)`, or red, green and blue `(H, W, 3)`.

    Args:
        image: `(H, W)` or `(H, W, C)`. With two channels the first is shown, with more than three the first three.
    """
    if image.ndim == 2:
        return image
    return image[..., :3] if image.shape[2] >= 3 else image[..., 0]
