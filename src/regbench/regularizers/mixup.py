"""Mixup."""

from typing import Annotated

import torch
from pydantic import Field, FiniteFloat
from torch import Tensor

from regbench.regularizers.base import Regularizer
from regbench.validation import validated


class Mixup(Regularizer):
    """Trains on blends of two images and of their targets.

    Equation: x' = λ x_i + (1 − λ) x_j and t' = λ t_i + (1 − λ) t_j with λ ~ Beta(α, α), drawn once a batch; the
    partners j are the same batch in a random order.

    Where and when: on the images and targets of training batches.

    Interactions: acts after augmentation, cutout and label smoothing, in the order of their names, so it blends
    augmented images; blended targets leave the online training accuracy without much meaning. Confidences shrink
    (Thulasidasan, Chennupati, Bilmes, Bhattacharya and Michalak, 2019, arXiv:1905.11001).

    Source: Zhang, Cisse, Dauphin and Lopez-Paz (2018), arXiv:1710.09412.

    Args:
        alpha: α, at least 0; 0 equals none, 1 draws λ uniformly, less keeps λ near 0 and 1.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(self, alpha: Annotated[FiniteFloat, Field(ge=0)] = 0.2) -> None:
        self.alpha = alpha

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the batch blended with itself in another order."""
        if self.alpha == 0:
            return images, targets
        # What torch.distributions.Beta draws, by the operation beneath it, which can be vectorized over networks.
        share = torch._sample_dirichlet(torch.full((2,), self.alpha, device=images.device))[0]
        # Not torch.randperm, which is called once for each network where many are trained together.
        partner = torch.rand(len(images), device=images.device).argsort()
        return tuple(share * each + (1 - share) * each[partner] for each in (images, targets))  # type: ignore[return-value]  # of two, which mypy cannot count
