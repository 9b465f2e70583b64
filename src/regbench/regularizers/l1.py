"""L1 penalty."""

from typing import Literal

import torch
from torch import Tensor, nn

from regbench.regularizers.base import Regularizer


class L1(Regularizer):
    """Adds the sum of the weights' absolute values to the loss, which drives weights to zero one by one.

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
        ValueError: `coefficient` or `parameters` is out of range.
    """

    def __init__(self, coefficient: float, parameters: Literal["weights", "all"]) -> None:
        if not 0 <= coefficient < float("inf"):
            raise ValueError(f"coefficient must be at least 0 and finite, received {coefficient}")
        if parameters not in {"weights", "all"}:
            raise ValueError(f"parameters must be weights or all, received {parameters!r}")
        self.coefficient = coefficient
        self.parameters = parameters

    def penalty(self, net: nn.Module) -> Tensor | float:
        """Return λ times the sum over the parameters on which the technique acts."""
        if self.coefficient == 0:
            return 0.0
        acting = (each for each in net.parameters() if self.parameters == "all" or each.ndim >= 2)
        return self.coefficient * torch.stack([each.abs().sum() for each in acting]).sum()
