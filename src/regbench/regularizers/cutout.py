"""Cutout."""

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from regbench.regularizers.base import Regularizer
from regbench.validation import validated


class Cutout(Regularizer):
    """Hides a square of each training image at a random place.

    Equation: x'(p) = 0 for pixels p in an s × s square around c, else x'(p) = x(p). The centre c is uniform over all
    pixels, so a square at the border is cut off there and hides less.

    Where and when: on the images of training batches; targets stay. The square is black, since images here are in
    [0, 1] and the network normalizes them; the paper's zeros replace normalized pixels, which is the data set's mean
    grey. Black is also the background of the digits and garments, so part of the squares hide nothing that shows.

    Interactions: acts after augmentation and before mixup, in the order of their names.

    Source: DeVries and Taylor (2017), arXiv:1708.04552.

    Args:
        size: s, the square's side in pixels, at least 0; 0 equals none. A third of the image's side is usual; at twice
            the side nothing is left.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(self, size: NonNegativeInt = 8) -> None:
        self.size = size

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images, each with one square set to zero."""
        if self.size == 0:
            return images, targets
        rows, columns = (self._hidden(len(images), side, images.device) for side in images.shape[-2:])
        square = rows[:, None, :, None] & columns[:, None, None, :]
        return images.masked_fill(square, 0.0), targets

    def _hidden(self, count: int, side: int, device: torch.device) -> Tensor:
        """Return which coordinates each image's square covers along one axis, `(count, side)`."""
        first = torch.randint(side, (count, 1), device=device) - self.size // 2
        place = torch.arange(side, device=device)
        return (place >= first) & (place < first + self.size)
