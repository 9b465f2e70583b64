"""Dropout."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat
from torch import nn

from regbench.regularizers.base import Regularizer
from regbench.validation import validated

_UNITS_OF_F6 = 84


class Dropout(Regularizer):
    """Sets activations to zero at random while training.

    Equation: y = m · x / (1 − p) with m ~ Bernoulli(1 − p) drawn for each activation, so E[y] = x; in evaluation y = x.

    Where and when: after the activation of hidden dense layers (`layers="dense"`; C5 of LeNet-5 counts as dense), of
    every hidden layer (`layers="all"`), or of LeNet-5's last hidden layer alone (`layers="f6"`: dense, of 84 units);
    training batches only.

    Interactions: with batch norm after it in the next layer, training and evaluation see different variances (Li, Chen,
    Hu and Yang, 2019, arXiv:1801.05134). The online training accuracy is biased downwards.

    Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), JMLR 15; arXiv:1207.0580.

    Args:
        p: Probability of zeroing, in [0, 1); 0 equals none.
        layers: `dense`, `all` or `f6`.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(
        self, p: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.5, layers: Literal["dense", "all", "f6"] = "dense"
    ) -> None:
        self.p = p
        self.layers = layers

    def after_activation(self, features: int, dims: int) -> list[nn.Module]:
        """Return one dropout layer where the technique acts."""
        there = {"all": True, "dense": dims == 0, "f6": dims == 0 and features == _UNITS_OF_F6}[self.layers]
        return [nn.Dropout(self.p)] if there and self.p > 0 else []
