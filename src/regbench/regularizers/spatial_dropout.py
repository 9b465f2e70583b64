"""Spatial dropout."""

from typing import Annotated

from pydantic import Field, FiniteFloat
from torch import nn

from regbench.regularizers.base import Regularizer
from regbench.validation import validated


class SpatialDropout(Regularizer):
    """Sets whole feature maps to zero at random while training.

    Equation: y = m_c · x / (1 − p) with m_c ~ Bernoulli(1 − p) drawn once for each map of each image, so E[y] = x; in
    evaluation y = x.

    Where and when: after the activation of every convolution (C5 of LeNet-5 counts as dense, so it is left out);
    training batches only. Without maps, as in an MLP, it does nothing, and a run says so.

    Interactions: neighbours in a map are alike, so dropout of single activations hides little there; dropout after
    dense layers is a usual companion. With batch norm after it in the next layer, training and evaluation see different
    variances, see dropout. LeNet-5's first layer has six maps, so p = 0.2 drops more than one of them on average.

    Source: Tompson, Goroshin, Jain, LeCun and Bregler (2015), arXiv:1411.4280.

    Args:
        p: Probability of zeroing a map, in [0, 1); 0 equals none.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(self, p: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.2) -> None:
        self.p = p

    def after_activation(self, features: int, dims: int) -> list[nn.Module]:
        """Return one layer that drops maps, after maps."""
        return [nn.Dropout2d(self.p)] if dims == 2 and self.p > 0 else []
