"""Orthogonality penalty."""

from typing import Annotated

import torch
from pydantic import Field, FiniteFloat
from torch import Tensor, nn

from regbench.regularizers.base import Regularizer
from regbench.validation import validated


class Orthogonality(Regularizer):
    """Draws the weights of each layer towards an orthogonal matrix, which keeps lengths and decorrelates units.

    Equation: loss + λ Σ ‖G − I‖²_F over the layers, with the smaller Gram matrix G of their weights W, which have a row
    for each unit (kernels are flattened): W Wᵀ where there are no more units than inputs, else Wᵀ W. So the penalty can
    become 0; either matrix has the same gradient.

    Where and when: in the training loss of every batch, on the weights of all layers, the output's too.

    Interactions: fixes the length of weights at 1, where weight decay and L1 draw them to 0. Beside batch or layer norm
    only the directions matter. The gradient passes through the optimizer, so Adam rescales it.

    Source: Brock, Lim, Ritchie and Weston (2017), arXiv:1609.07093; Bansal, Chen and Wang (2018), arXiv:1810.09102, as
    their soft orthogonality.

    Args:
        coefficient: λ, at least 0; 0 equals none.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(self, coefficient: Annotated[FiniteFloat, Field(ge=0)] = 1e-4) -> None:
        self.coefficient = coefficient

    def penalty(self, net: nn.Module) -> Tensor | float:
        """Return λ times the sum over all weights."""
        if self.coefficient == 0:
            return 0.0
        distances = [_distance(each.flatten(1)) for each in net.parameters() if each.ndim >= 2]
        return self.coefficient * torch.stack(distances).sum()


def _distance(weights: Tensor) -> Tensor:
    """Return the squared Frobenius distance of the smaller Gram matrix from the identity."""
    tall = weights.shape[0] > weights.shape[1]
    gram = weights.T @ weights if tall else weights @ weights.T
    return (gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)).square().sum()
