"""Batch normalization."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat
from torch import nn

from regbench.regularizers.base import Regularizer
from regbench.validation import validated

_LAYERS = {0: nn.BatchNorm1d, 2: nn.BatchNorm2d}


class BatchNorm(Regularizer):
    """Normalizes each feature over the batch, then scales and shifts it by learned γ and β.

    Equation: y = γ (x − μ) / √(σ² + ε) + β, with μ and σ² of the feature over the batch (and over positions in a map)
    while training, and their running averages in evaluation.

    Where and when: before the activation of every hidden layer (`layers="all"`), or of convolutions alone
    (`layers="maps"`; C5 of LeNet-5 counts as dense). Biases of the layers before it stay, so γ and β alone are added: 2
    parameters a feature.

    Interactions: makes the scale of the weights before it irrelevant, see weight decay; its noise over batches acts as
    a regularizer that weakens as batches grow. Needs at least two images a batch.

    Source: Ioffe and Szegedy (2015), arXiv:1502.03167.

    Args:
        momentum: Weight of the newest batch in the running averages, in (0, 1].
        eps: ε, above 0.
        layers: `all` or `maps`.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(
        self,
        momentum: Annotated[FiniteFloat, Field(gt=0, le=1)] = 0.1,
        eps: Annotated[FiniteFloat, Field(gt=0)] = 1e-5,
        layers: Literal["all", "maps"] = "all",
    ) -> None:
        self.momentum = momentum
        self.eps = eps
        self.layers = layers

    def before_activation(self, features: int, dims: int) -> list[nn.Module]:
        """Return one batch-norm layer where the technique acts."""
        acts = self.layers == "all" or dims > 0
        return [_LAYERS[dims](features, eps=self.eps, momentum=self.momentum)] if acts else []
