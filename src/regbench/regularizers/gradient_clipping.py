"""Gradient clipping."""

from collections.abc import Callable
from typing import Annotated

from pydantic import Field, FiniteFloat
from torch import nn
from torch.nn.utils import clip_grad_norm_

from regbench.regularizers.base import Regularizer
from regbench.validation import validated


class GradientClipping(Regularizer):
    """Shortens gradients that are too long.

    Equation: g ← g · min(1, c / ‖g‖₂), the norm over the gradients of all parameters together.

    Where and when: between the backward pass and the optimizer's step, of every step. The same as
    `trainer.gradient_clip_val`, but it can be searched and compared as a setting, and training goes on by chunks.

    Interactions: bounds the step of SGD; Adam divides by the gradients' own size, so that only the relation of long
    gradients to others is changed. L2 by weight decay is added after it, in the optimizer, while penalties in the loss
    are clipped with it.

    Source: Pascanu, Mikolov and Bengio (2013), arXiv:1211.5063; why it speeds up training, Zhang, He, Sra and Jadbabaie
    (2020), arXiv:1905.11881.

    Args:
        max_norm: c, above 0. One that no gradient reaches equals none.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(self, max_norm: Annotated[FiniteFloat, Field(gt=0)] = 1.0) -> None:
        self.max_norm = max_norm

    def on_gradients(self, net: nn.Module, recompute: Callable[[], None]) -> None:
        """Clip the gradients of all parameters together."""
        clip_grad_norm_(net.parameters(), self.max_norm)
