"""Label smoothing."""

from torch import Tensor

from regbench.regularizers.base import Regularizer


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
        ValueError: `smoothing` is out of range.
    """

    def __init__(self, smoothing: float) -> None:
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must be in [0, 1), received {smoothing}")
        self.smoothing = smoothing

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images as they are and smoothed targets."""
        return images, targets * (1 - self.smoothing) + self.smoothing / targets.shape[1]
