"""L1 penalty."""

from typing import Annotated, Literal

import torch
from pydantic import Field, FiniteFloat
from torch import Tensor, nn

from regbench.regularizers.base import Regularizer
from regbench.validation import validated


class L1(Regularizer):
    """Adds the sum of the weights' absolute values to the loss, which draws every weight towards zero equally strongly.

    Equation: loss + λ Σ |w|; its gradient is λ sign(w), and 0 at w = 0.

    Where and when: in the training loss of every batch; on weights alone (`parameters="weights"`: matrices and kernels,
    `ndim >= 2`), or on biases and the γ and β of norms too (`parameters="all"`).

    Interactions: the gradient passes through the optimizer, so Adam rescales it, while weight decay under AdamW is not
    rescaled. Gradient steps leave weights near zero rather than at it. With weight decay it is the elastic net (Zou and
    Hastie, 2005). Under batch or layer norm the scale of the weights before it does not matter, see weight decay.

    Source: Tibshirani (1996), Regression shrinkage and selection via the lasso, JRSS B 58.

    Args:
        coefficient: λ, at least 0; 0 equals none.
        parameters: `weights` or `all`.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(
        self,
        coefficient: Annotated[FiniteFloat, Field(ge=0)] = 1e-5,
        parameters: Literal["weights", "all"] = "weights",
    ) -> None:
        self.coefficient = coefficient
        self.parameters = parameters

    def penalty(self, net: nn.Module) -> Tensor | float:
        """Return λ times the sum over the parameters on which the technique acts."""
        if self.coefficient == 0:
            return 0.0
        acting = (each for each in net.parameters() if self.parameters == "all" or each.ndim >= 2)
        return self.coefficient * torch.stack([each.abs().sum() for each in acting]).sum()
