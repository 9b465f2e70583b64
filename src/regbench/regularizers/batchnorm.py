"""Batch normalization."""

from typing import Literal

from torch import nn

from regbench.regularizers.base import Regularizer

_LAYERS = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


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
        ValueError: `momentum`, `eps` or `layers` is out of range.
    """

    def __init__(self, momentum: float, eps: float, layers: Literal["all", "maps"]) -> None:
        if not 0 < momentum <= 1:
            raise ValueError(f"momentum must be in (0, 1], received {momentum}")
        if not 0 < eps < float("inf"):
            raise ValueError(f"eps must be above 0 and finite, received {eps}")
        if layers not in {"all", "maps"}:
            raise ValueError(f"layers must be all or maps, received {layers!r}")
        self.momentum = momentum
        self.eps = eps
        self.layers = layers

    def before_activation(self, features: int, dims: int) -> list[nn.Module]:
        """Return one batch-norm layer where the technique acts."""
        acts = self.layers == "all" or dims > 0
        return [_LAYERS[dims](features, eps=self.eps, momentum=self.momentum)] if acts else []
