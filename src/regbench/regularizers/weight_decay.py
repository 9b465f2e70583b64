"""Weight decay."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat
from torch import nn

from regbench.regularizers.base import Regularizer
from regbench.validation import validated


class WeightDecay(Regularizer):
    """Draws weights towards zero at each optimizer step.

    Equation: with SGD and Adam the gradient g becomes g + λ w, the gradient of the penalty λ/2 ‖w‖² (L2); with AdamW
    and Muon the step is w ← w − η λ w beside their own (decoupled). Under plain SGD the two are the same, under Adam
    not.

    Where and when: in the optimizer, at every step; on weights alone (`parameters="weights"`: matrices and kernels,
    `ndim >= 2`), or on biases and batch norm's γ and β too (`parameters="all"`, as many published recipes have it).

    Interactions: under batch norm the scale of the weights before it does not matter, so decay acts there by way of the
    effective learning rate (van Laarhoven, 2017, arXiv:1706.05350).

    Source: Krogh and Hertz (1991), NIPS 4; Loshchilov and Hutter (2019), arXiv:1711.05101.

    Args:
        coefficient: λ, at least 0; 0 equals none.
        parameters: `weights` or `all`.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(
        self,
        coefficient: Annotated[FiniteFloat, Field(ge=0)] = 1e-4,
        parameters: Literal["weights", "all"] = "weights",
    ) -> None:
        self.coefficient = coefficient
        self.parameters = parameters

    def decay(self, name: str, parameter: nn.Parameter) -> float:
        """Return λ for the parameters on which the technique acts."""
        return self.coefficient if self.parameters == "all" or parameter.ndim >= 2 else 0.0
