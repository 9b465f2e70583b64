"""Max-norm constraint."""

from typing import Annotated

import torch
from pydantic import Field, FiniteFloat
from torch import nn

from regbench.regularizers.base import Regularizer
from regbench.validation import validated

# Added to a length that is divided by, so that rounding leaves no weights above the bound.
_BELOW_THE_BOUND = 1e-7


class MaxNorm(Regularizer):
    """Bounds the length of each unit's incoming weights.

    Equation: w ← w · min(1, c / ‖w‖₂) for the weights w into each unit: a row of a matrix, the whole kernel of a map.

    Where and when: after every optimizer step, on the weights of all layers, the output's too; not on biases, nor on γ
    and β. So what is scored keeps the bound exactly, in whatever way the optimizer came there.

    Interactions: made for dropout with high rates of learning, whose weights it keeps from growing. Under batch or
    layer norm the scale of the weights before it does not matter, so the bound acts there by way of the effective
    learning rate, see weight decay; averages of bounded weights are bounded too.

    Source: Srebro and Shraibman (2005), Rank, trace-norm and max-norm, COLT; Hinton, Srivastava, Krizhevsky, Sutskever
    and Salakhutdinov (2012), arXiv:1207.0580; Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), JMLR
    15, with c from 3 to 4.

    Args:
        max_norm: c, above 0; one that no unit reaches equals none. PyTorch's initial weights have lengths of 0.6, and
            LeNet-5's trained ones of 1 to 3.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(self, max_norm: Annotated[FiniteFloat, Field(gt=0)] = 1.0) -> None:
        self.max_norm = max_norm

    def after_step(self, net: nn.Module) -> None:
        """Shorten the weights of each unit that are too long."""
        for each in net.parameters():
            if each.ndim >= 2:  # what Tensor.renorm_ computes, in operations that are vectorized over networks
                lengths = torch.linalg.vector_norm(each, dim=tuple(range(1, each.ndim)), keepdim=True)
                bound = torch.full_like(lengths, self.max_norm)  # a number by a tensor would be rounded twice
                shortened = bound / (lengths + _BELOW_THE_BOUND)
                each.mul_(torch.where(lengths > self.max_norm, shortened, 1.0))
