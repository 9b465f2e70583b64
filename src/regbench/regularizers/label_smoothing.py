"""Label smoothing."""

from typing import Annotated

from pydantic import Field, FiniteFloat
from torch import Tensor

from regbench.regularizers.base import Regularizer
from regbench.validation import validated


class LabelSmoothing(Regularizer):
    """Trains towards the right class and, a little, towards every class.

    Equation: t' = (1 − ε) t + ε / C for the class probabilities t of an image and C classes.

    Where and when: on the targets of training batches; reported losses stay plain cross-entropy against the labels.

    Interactions: the objective cannot fall below the entropy of t', so `train/objective` is no longer comparable with
    the losses. Confidences shrink, which improves or spoils calibration by how sure the network was (Müller, Kornblith
    and Hinton, 2019, arXiv:1906.02629). With mixup the order does not matter: both are linear in the targets.

    Source: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna (2016), arXiv:1512.00567.

    Args:
        smoothing: ε, in [0, 1); 0 equals none.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(self, smoothing: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.1) -> None:
        self.smoothing = smoothing

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images as they are and smoothed targets."""
        return images, targets * (1 - self.smoothing) + self.smoothing / targets.shape[1]
