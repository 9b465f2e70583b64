"""A regularization technique of your own: `regularizer=template_name`."""

from typing import Annotated

import torch
from pydantic import Field, FiniteFloat
from torch import Tensor, nn

from regbench.regularizers import Regularizer
from regbench.validation import validated


class TemplateName(Regularizer):
    """Scales each hidden activation by a random factor while training: an example to replace.

    Equation: y = x (1 + width u) with u uniform in [−1, 1), so that E[y] = x; in evaluation y = x.

    A technique overrides the hooks that it needs, in the order in which a run meets them:

    - before_activation(features, dims) returns layers to put before each hidden activation. `features` counts its
      channels, `dims` is 2 in a feature map (N, C, H, W) and 0 in a dense layer (N, C).
    - after_activation(features, dims) returns layers to put after it.
    - prepare(net) changes the network, once it has its initial weights, in place.
    - decay(name, parameter) returns the weight decay of a parameter.
    - on_batch(images, targets) returns what is trained on instead: images (N, C, S, S) in [0, 1], probabilities (N, C).
    - penalty(net) returns a scalar to add to the training loss.
    - penalty_on_logits(logits, targets) likewise, by what the network answers: both (N, C).
    - on_gradients(net, recompute) changes each parameter's `.grad` in place, before the optimizer uses it.
    - after_step(net) changes the weights in place after each step.

    Args:
        width: The largest share by which an activation changes, at least 0; 0 equals none.
    """

    @validated
    def __init__(self, width: Annotated[FiniteFloat, Field(ge=0)] = 0.5) -> None:
        self.width = width

    def after_activation(self, features: int, dims: int) -> list[nn.Module]:
        """Return one layer that scales, for every hidden activation."""
        return [RandomScale(self.width)]


class RandomScale(nn.Module):
    """Multiplies its input by 1 + width u while training."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.width = width

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the input, of the same shape; a run repeats, as torch's global stream gives its random numbers."""
        if not self.training:
            return inputs
        return inputs * (1 + self.width * (2 * torch.rand_like(inputs) - 1))
