"""A metric of your own: `metrics=template_name`."""

import torch
from torch import Tensor
from torchmetrics import Metric


class TemplateName(Metric):
    """Accuracy on the class that is recognized worst: an example to replace.

    Args:
        num_classes: C.
    """

    right: Tensor
    images: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        # States begin anew for each split and epoch, on the device on which the predictions are.
        self.add_state("right", torch.zeros(num_classes), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros(num_classes), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, labels: Tensor) -> None:
        """Take all images of a split at once: probabilities `(N, C)` in double precision, labels `(N,)`."""
        classes = len(self.images)
        self.images += labels.bincount(minlength=classes)
        self.right += labels[probabilities.argmax(1) == labels].bincount(minlength=classes)

    def compute(self) -> Tensor:
        """Return a finite number, or one for each class, `(C,)`."""
        return (self.right / self.images).min()
