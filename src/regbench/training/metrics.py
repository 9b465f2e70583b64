"""Metrics of the group `metrics` that torchmetrics has not."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torchmetrics import Metric

from regbench.validation import validated


class BrierScore(Metric):
    """Squared distance between predicted probabilities and the truth, mean over images.

    `B = 1/N Σᵢ Σ_c (p_ic − y_ic)²`, from 0, which is perfect, to 2: all is staked on a wrong class.

    Source: Brier (1950), Verification of forecasts expressed in terms of probability, Monthly Weather Review 78.

    Args:
        num_classes: C.
    """

    higher_is_better = False
    total: Tensor
    images: Tensor

    @validated
    def __init__(self, num_classes: Annotated[int, Field(ge=2)]) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, labels: Tensor) -> None:
        """Add images.

        Args:
            probabilities: `(N, C)`.
            labels: `(N,)`.
        """
        truth = torch.nn.functional.one_hot(labels, self.num_classes)
        self.total += (probabilities - truth).square().sum()
        self.images += len(labels)

    def compute(self) -> Tensor:
        """Return the score of all images so far."""
        return self.total / self.images
