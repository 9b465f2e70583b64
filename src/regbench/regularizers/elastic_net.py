"""Elastic net."""

from typing import Annotated

import torch
from pydantic import Field, FiniteFloat
from torch import Tensor, nn

from regbench.regularizers.base import Regularizer
from regbench.validation import validated


class ElasticNet(Regularizer):
    """Adds a blend of the L1 and the L2 penalty to the loss.

    Equation: loss + λ Σ (α |w| + (1 − α) / 2 · w²); its gradient is λ (α sign(w) + (1 − α) w).

    Where and when: in the training loss of every batch, on the weights of all layers (matrices and kernels); not on
    biases, nor on the γ and β of norms.

    Interactions: with SGD or Adam it equals L1 at λ α with weight decay at λ (1 − α); the two alone are chosen where
    their strengths shall vary by themselves. The gradient passes through the optimizer, so Adam rescales it, and under
    AdamW the L2 part is not decoupled as weight decay is. Gradient steps leave weights near zero rather than at it.

    Source: Zou and Hastie (2005), Regularization and variable selection via the elastic net, JRSS B 67, their naive
    form; α as in Friedman, Hastie and Tibshirani (2010), Journal of Statistical Software 33.

    Args:
        coefficient: λ, at least 0; 0 equals none.
        l1_ratio: α, the share of L1, in [0, 1]: 1 is L1, 0 is L2 in the loss.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(
        self,
        coefficient: Annotated[FiniteFloat, Field(ge=0)] = 1e-5,
        l1_ratio: Annotated[FiniteFloat, Field(ge=0, le=1)] = 0.5,
    ) -> None:
        self.coefficient = coefficient
        self.l1_ratio = l1_ratio

    def penalty(self, net: nn.Module) -> Tensor | float:
        """Return λ times the sum over all weights."""
        if self.coefficient == 0:
            return 0.0
        return self.coefficient * torch.stack([self._blend(each) for each in net.parameters() if each.ndim >= 2]).sum()

    def _blend(self, weights: Tensor) -> Tensor:
        return self.l1_ratio * weights.abs().sum() + (1 - self.l1_ratio) / 2 * weights.square().sum()
