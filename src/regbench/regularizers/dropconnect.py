"""DropConnect."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from regbench.regularizers.base import Regularizer
from regbench.validation import validated


class DropConnect(Regularizer):
    """Sets weights, rather than activations, to zero at random while training.

    Equation: y = (M ⊙ W) x / (1 − p) + b with M ~ Bernoulli(1 − p) drawn for each weight and each batch, so E[y] = W x
    + b; in evaluation y = W x + b.

    Where and when: on the weights of dense layers, the output's too (`layers="dense"`; C5 of LeNet-5 counts as dense),
    or of every layer (`layers="all"`); biases stay; training batches only. The paper draws a mask for each image, and
    samples in evaluation from a normal distribution of the same moments; here a batch shares a mask, which leaves whole
    batches quick, and evaluation takes the mean.

    Interactions: beside dropout both noises act, and their variances multiply. A parametrized layer's weight is called
    `parametrizations.weight.original` in its state dict; what is drawn from it are masked weights, and penalties and
    decay act on the weights themselves where they ask for parameters. The online training accuracy is biased downwards.

    Source: Wan, Zeiler, Zhang, LeCun and Fergus (2013), Regularization of neural networks using DropConnect, ICML.

    Args:
        p: Probability of zeroing, in [0, 1); 0 equals none.
        layers: `dense` or `all`.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(
        self, p: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.5, layers: Literal["dense", "all"] = "dense"
    ) -> None:
        self.p = p
        self.layers = layers

    def prepare(self, net: nn.Module) -> None:
        """Parametrize the weights on which the technique acts."""
        if self.p == 0:
            return
        for module in list(net.modules()):
            if self._is_dense(module) or (self.layers == "all" and isinstance(module, nn.Conv2d)):
                parametrize.register_parametrization(module, "weight", DropWeights(self.p))

    def _is_dense(self, module: nn.Module) -> bool:
        return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and getattr(module, "dims", 2) == 0)


class DropWeights(nn.Module):
    """Gives weights of which a share `p` is zero while training, and the rest larger by 1 / (1 − p)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, weight: Tensor) -> Tensor:
        """Return weights of the same shape."""
        return F.dropout(weight, self.p, self.training)
