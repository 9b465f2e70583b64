"""Layer normalization."""

from typing import Annotated

from pydantic import Field, FiniteFloat
from torch import nn

from regbench.regularizers.base import Regularizer
from regbench.validation import validated


class LayerNorm(Regularizer):
    """Normalizes each image's features by themselves, then scales and shifts them by learned γ and β.

    Equation: y = γ (x − μ) / √(σ² + ε) + β, with μ and σ² of one image over all features of the layer (and over all
    positions in a map); γ and β belong to a feature. Training and evaluation compute the same.

    Where and when: before the activation of every hidden layer. Biases of the layers before it stay, so γ and β alone
    are added: 2 parameters a feature, as many as batch norm adds.

    Interactions: needs no batch, so neither small batches nor weight averaging disturb it; makes the scale of the
    weights before it irrelevant, see weight decay. Beside batch norm it acts on batch norm's output.

    Source: Ba, Kiros and Hinton (2016), arXiv:1607.06450; over a whole map as group norm with one group, Wu and He
    (2018), arXiv:1803.08494.

    Args:
        eps: ε, above 0.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(self, eps: Annotated[FiniteFloat, Field(gt=0)] = 1e-5) -> None:
        self.eps = eps

    def before_activation(self, features: int, dims: int) -> list[nn.Module]:
        """Return one layer that treats all features as one group."""
        return [nn.GroupNorm(1, features, eps=self.eps)]
