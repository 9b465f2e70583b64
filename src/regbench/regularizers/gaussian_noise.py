"""Gaussian noise."""

from typing import Annotated, Literal

import torch
from pydantic import Field, FiniteFloat
from torch import Tensor, nn

from regbench.regularizers.base import Regularizer
from regbench.validation import validated


class GaussianNoise(Regularizer):
    """Adds normally distributed noise to activations while training.

    Equation: y = x + σ z with z ~ N(0, 1) drawn for each activation, so E[y] = x; in evaluation y = x.

    Where and when: after the activation of every hidden layer (`layers="all"`), or of the dense ones (`layers="dense"`;
    C5 of LeNet-5 counts as dense); training batches only.

    Interactions: σ is in the activation's units, so tanh in [−1, 1] feels it more than an unbounded ReLU, which can
    outgrow it; batch or layer norm fixes the scale before the activation. The online training accuracy is biased
    downwards.

    Source: Bishop (1995), Training with noise is equivalent to Tikhonov regularization, Neural Computation 7 (on
    inputs); Poole, Sohl-Dickstein and Ganguli (2014), arXiv:1406.1831 (on hidden layers).

    Args:
        std: σ, at least 0; 0 equals none.
        layers: `all` or `dense`.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(self, std: Annotated[FiniteFloat, Field(ge=0)] = 0.1, layers: Literal["dense", "all"] = "all") -> None:
        self.std = std
        self.layers = layers

    def after_activation(self, features: int, dims: int) -> list[nn.Module]:
        """Return one noise layer where the technique acts."""
        acts = self.std > 0 and (self.layers == "all" or dims == 0)
        return [AddNoise(self.std)] if acts else []


class AddNoise(nn.Module):
    """Adds N(0, std²) to its input while training."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the input, of the same shape, with noise while training."""
        return inputs + self.std * torch.randn_like(inputs) if self.training else inputs
