"""Augmentation."""

import math
from typing import Annotated

import torch
from pydantic import Field, FiniteFloat
from torch import Tensor
from torch.nn import functional as F

from regbench.regularizers.base import Regularizer
from regbench.validation import validated


class Augmentation(Regularizer):
    """Shifts, turns, scales and flips each training image at random.

    Equation: x'(p) = x(A⁻¹ p) with the affine map A: flip first, then scale, turn about the centre and shift. Values
    between pixels are interpolated bilinearly, and black comes in from outside. Each image draws its own shift in both
    directions, angle and scale uniformly from ±`shift` pixels, ±`rotation` degrees and 1 ± `scale`, and is flipped with
    probability 1/2 where that is allowed.

    Where and when: on the images of training batches; targets stay. By whole batches on the training device.

    Interactions: acts before cutout and mixup, in the order of their names. A data set states in `flip` whether its
    mirrored images keep their class: garments do, digits do not.

    Source: Simard, Steinkraus and Platt (2003), Best practices for convolutional neural networks applied to visual
    document analysis, ICDAR; Krizhevsky, Sutskever and Hinton (2012), NIPS 25.

    Args:
        shift: Greatest shift in pixels, at least 0.
        rotation: Greatest angle in degrees, in [0, 180].
        scale: Greatest relative change of size, in [0, 1).
        flip: Whether left and right may be swapped. All at 0 and without flips equals none.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(
        self,
        shift: Annotated[FiniteFloat, Field(ge=0)] = 2,
        rotation: Annotated[FiniteFloat, Field(ge=0, le=180)] = 10,
        scale: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.1,
        flip: bool = False,
    ) -> None:
        self.shift = shift
        self.rotation = rotation
        self.scale = scale
        self.flip = flip

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images, each under its own affine map."""
        if not (self.shift or self.rotation or self.scale or self.flip):
            return images, targets
        # Uniform in [-1, 1): angle, size, shift to the right and down, side.
        draw = torch.rand(5, len(images), device=images.device) * 2 - 1
        angle = draw[0] * math.radians(self.rotation)
        size = 1 + draw[1] * self.scale
        shift = draw[2:4].T * self.shift
        flipped = (draw[4] < 0) & self.flip
        return warp(images, angle, size, shift, flipped), targets


def warp(images: Tensor, angle: Tensor, size: Tensor, shift: Tensor, flipped: Tensor) -> Tensor:
    """Return each image flipped, scaled, turned clockwise about its centre and shifted.

    Args:
        images: `(N, C, S, S)`.
        angle: Radians, `(N,)`.
        size: Factors above 0, `(N,)`.
        shift: Pixels to the right and down, `(N, 2)`.
        flipped: Whether left and right are swapped first, `(N,)`.
    """
    # For each place in the result, the place in the image: the inverse map, in units of half a side.
    cosine, sine = angle.cos() / size, angle.sin() / size
    sign = 1 - 2 * flipped.to(images.dtype)
    turn = torch.stack([torch.stack([sign * cosine, sign * sine], 1), torch.stack([-sine, cosine], 1)], 1)
    move = -turn @ (shift * 2 / images.shape[-1]).unsqueeze(2)
    grid = _affine_grid(torch.cat([turn, move], 2), images.shape[-1])
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _affine_grid(maps: Tensor, side: int) -> Tensor:
    """Return where each pixel's centre lies under affine maps `(N, 2, 3)`, as `F.affine_grid` does.

    That one has no rule for vectorizing it over networks, and would work through them one after another.
    """
    places = torch.linspace(-1, 1, side, dtype=maps.dtype, device=maps.device) * (side - 1) / side
    rows, columns = torch.meshgrid(places, places, indexing="ij")
    centres = torch.stack([columns, rows, torch.ones_like(rows)], 2).view(-1, 3)
    return (centres.expand(len(maps), -1, -1) @ maps.transpose(1, 2)).view(-1, side, side, 2)
