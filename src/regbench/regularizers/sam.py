"""Sharpness-aware minimization."""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field, FiniteFloat
from torch import nn
from torch.nn.utils import get_total_norm

from regbench.regularizers.base import Regularizer
from regbench.validation import validated

_EPS = 1e-12  # of the paper's code, against a gradient of 0


class SAM(Regularizer):
    """Descends by the gradient at the worst weights nearby, so that minima are flat.

    Equation: the step's gradient is ∇L(w + ε) with ε = ρ ∇L(w) / ‖∇L(w)‖₂, the norm over all parameters.

    Where and when: around the gradient of every step, under any optimizer; both gradients are of the same batch, with
    the same dropout masks and the same blend of mixup, and batch norm's statistics come from the first. Each step costs
    two passes forwards and backwards. `train/objective` is L(w).

    Interactions: L holds penalties, so they are taken at w + ε too; weight decay acts in the optimizer, at w. With
    `gradient_clipping` the gradient that the optimizer is given is clipped.

    Source: Foret, Kleiner, Mobahi and Neyshabur (2021), arXiv:2010.01412.

    Args:
        rho: ρ, at least 0; 0 equals none.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(self, rho: Annotated[FiniteFloat, Field(ge=0)] = 0.05) -> None:
        self.rho = rho

    def on_gradients(self, net: nn.Module, recompute: Callable[[], None]) -> None:
        """Replace the gradients by those at the weights uphill."""
        moved = [(each, each.grad) for each in net.parameters() if each.grad is not None]
        if self.rho == 0 or not moved:
            return
        weights, gradients = (list(each) for each in zip(*moved, strict=True))
        before = [each.clone() for each in weights]
        rate = self.rho / (get_total_norm(gradients) + _EPS)
        torch._foreach_add_(weights, torch._foreach_mul(gradients, rate))
        recompute()
        torch._foreach_copy_(weights, before)  # as they were, to the bit
