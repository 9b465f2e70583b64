"""Whole splits predicted and scored, and the test predictions kept for figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regbench import run_folder
from regbench.classifier import predict, scores
from regbench.data import ImageData

METRICS = (
    "train/loss", "train/acc", "val/loss", "val/acc", "val/ece", "test/loss", "test/acc", "test/ece", "gap"
)  # fmt: skip
MISTAKES = 24
SAMPLES_PER_CLASS = 4


def predict_splits(net: nn.Module, data: ImageData) -> dict[str, tuple[Tensor, Tensor]]:
    """Return logits and labels of each whole split; without validation images there is no `val`."""
    data.setup()
    return {
        split: predict(net, data.evaluation_batches(split))
        for split in ("train", "val", "test")
        if split != "val" or data.val_size
    }


def score_splits(predictions: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, float | None]:
    """Return the metrics of `results.json`; `None` for what was not predicted."""
    found = {
        f"{split}/{metric}": value
        for split, (logits, labels) in predictions.items()
        for metric, value in scores(logits, labels).items()
    }
    if "train/acc" in found and "test/acc" in found:
        found["gap"] = found["train/acc"] - found["test/acc"]
    return {name: found.get(name) for name in METRICS}


def most_confident_mistakes(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the indices of the wrong answers, the surest first, at most 24."""
    confidence, answers = logits.softmax(1).max(1)
    wrong = (answers != labels).nonzero().squeeze(1)
    return wrong[confidence[wrong].argsort(descending=True, stable=True)][:MISTAKES]


def write_predictions(path: Path, data: ImageData, logits: Tensor, labels: Tensor) -> None:
    """Write the test logits and labels, some test images of each class and the most confident mistakes."""
    images = data.splits["test"].images.cpu()
    per_class = [(labels == label).nonzero().squeeze(1)[:SAMPLES_PER_CLASS] for label in range(len(data.classes))]
    samples = torch.cat(per_class)
    mistakes = most_confident_mistakes(logits, labels)

    def pixels(index: Tensor) -> Any:
        return images[index].squeeze(1).mul(255).round().to(torch.uint8).numpy()

    def write(target: Path) -> None:
        with target.open("wb") as file:
            np.savez_compressed(
                file,
                logits=logits.numpy(),
                labels=labels.numpy(),
                sample_images=pixels(samples),
                sample_labels=labels[samples].numpy(),
                mistake_indices=mistakes.numpy(),
                mistake_images=pixels(mistakes),
            )

    run_folder.replace_file(path, write)
