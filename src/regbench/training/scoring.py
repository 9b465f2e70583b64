"""Evaluation of whole splits: a network's logits, their metrics, the most confident mistakes."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error

from regbench.data import Batches
from regbench.training.measures import Measures

CALIBRATION_BINS = 15
MISTAKES = 24


def scores(logits: Tensor, labels: Tensor, measures: Measures | None = None) -> dict[str, float]:
    """Return `loss` (plain cross-entropy), `acc` and `ece` (calibration error, 15 equal bins) over a whole split.

    What is measured besides follows, as `Measures.score` names it.

    Calibration error: Guo, Pleiss, Sun and Weinberger (2017), arXiv:1706.04599.

    Args:
        logits: `(N, C)`.
        labels: `(N,)`.
        measures: Further metrics.

    Raises:
        ValueError: One of these fails or returns no number.
    """
    examples, classes = logits.shape
    accuracy = multiclass_accuracy(logits, labels, classes, average="micro").item()
    finite = bool(torch.isfinite(logits).all())
    return {
        "loss": F.cross_entropy(logits, labels).item(),
        "acc": round(accuracy * examples) / examples,  # the exact share; the metric is in single precision
        # Confidences of a diverged network are no probabilities; torchmetrics would refuse them.
        "ece": multiclass_calibration_error(logits.softmax(1), labels, classes, n_bins=CALIBRATION_BINS).item()
        if finite
        else float("nan"),
        **(measures.score(logits, labels) if measures is not None else {}),
    }


@torch.inference_mode()
def predict(net: nn.Module, batches: Batches) -> tuple[Tensor, Tensor]:
    """Return a network's logits `(N, C)` in evaluation mode, and the labels `(N,)`, both on the CPU."""
    net.eval()
    logits = torch.cat([net(images) for images, _ in batches])
    return logits.cpu(), batches.split.labels.cpu()


def most_confident_mistakes(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the indices of the wrong answers, the surest first, at most 24."""
    confidence, answers = logits.softmax(1).max(1)
    wrong = (answers != labels).nonzero().squeeze(1)
    return wrong[confidence[wrong].argsort(descending=True, stable=True)][:MISTAKES]
