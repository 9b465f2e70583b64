"""Prediction and scoring of whole splits, and the test predictions stored for figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regbench.data import ImageData
from regbench.storage.files import replace_file
from regbench.storage.schema import METRICS, name_of
from regbench.training.measures import Measures
from regbench.training.scoring import most_confident_mistakes, predict, scores

SAMPLES_PER_CLASS = 4
SPLITS = ("train", "val", "test")


def predict_splits(net: nn.Module, data: ImageData) -> dict[str, tuple[Tensor, Tensor]]:
    """Return logits and labels of each whole split; without validation images there is no `val`."""
    data.setup()
    return {split: predict(net, data.evaluation_batches(split)) for split in SPLITS if split != "val" or data.val_size}


def score_splits(
    predictions: Mapping[str, tuple[Tensor, Tensor]], measures: Measures | None = None
) -> dict[str, float | None]:
    """Return the metrics of `results.json`; `None` for what was not predicted.

    Args:
        predictions: Logits and labels by split.
        measures: What is measured besides.
    """
    found: dict[str, float] = {
        f"{split}/{metric}": value
        for split, (logits, labels) in predictions.items()
        for metric, value in scores(logits, labels, measures).items()
    }
    if "train/acc" in found and "test/acc" in found:
        found["gap"] = found["train/acc"] - found["test/acc"]
    whole = [f"{split}/{name}" for name in measures or () for split in SPLITS]
    own = [name for name in found if name_of(name) in set(measures or ())]
    return {name: found.get(name) for name in dict.fromkeys([*METRICS, *whole, *own])}


def differences(
    computed: Mapping[str, float | None], recorded: Mapping[str, float | None], images: Mapping[str, int]
) -> list[str]:
    """Return a line for each metric that differs by more than another machine or number of threads explains.

    Logits differ in their last digits there. So a loss may differ by 1e-4 of its value, and an accuracy by the few
    images whose two best classes are as good as equal: one, and one more per 5,000. Metrics of the group `metrics` may
    differ by as much as such images move a class of average size, and by 1e-4 of their value. Metrics that were not
    measured yet when the run was recorded are passed over.

    Args:
        computed: Metrics as `score_splits` gives them.
        recorded: Those of `results.json`.
        images: How many each split holds.
    """
    share = {split: (1 + number // 5000) / number for split, number in images.items()}
    found = []
    classes = 1 + max((int(name.rpartition("/")[2]) for name in computed if name.count("/") > 1), default=0)
    for name in computed:
        if name not in recorded:
            continue
        value, expected = computed.get(name), recorded[name]
        if value is None or expected is None:
            same = value is expected
        else:
            split, _, metric = name.partition("/")
            tolerance = {
                "loss": 1e-6 + 1e-4 * abs(value),
                "acc": 1e-6 + share.get(split, 0),
                # Whatever bin an image moves to, it counts at most once in the one and once in the other.
                "ece": 1e-4 + 2 * share.get(split, 0),
                "": 1e-6 + share.get("train", 0) + share.get("test", 0),  # gap
            }
            own = 1e-4 * max(1, abs(value)) + 2 * share.get(split, 0) * (classes if "/" in metric else 1)
            same = abs(value - expected) <= tolerance.get(metric, own)
        if not same:
            found.append(f"{name}: recorded {_shown(expected)}, computed {_shown(value)}")
    return found


def _shown(value: float | None) -> str:
    return "null" if value is None else f"{value:.6f}"


def write_predictions(path: Path, data: ImageData, logits: Tensor, labels: Tensor) -> None:
    """Write the test logits and labels, some test images of each class and the most confident mistakes.

    Images are `(n, S, S)` where there is one channel, and else `(n, S, S, C)`.
    """
    images = data.splits["test"].images.cpu()
    per_class = [(labels == label).nonzero().squeeze(1)[:SAMPLES_PER_CLASS] for label in range(len(data.classes))]
    samples = torch.cat(per_class)
    mistakes = most_confident_mistakes(logits, labels)

    def pixels(index: Tensor) -> Any:
        levels = images[index].mul(255).round().to(torch.uint8)
        return (levels.squeeze(1) if data.channels == 1 else levels.permute(0, 2, 3, 1).contiguous()).numpy()

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

    replace_file(path, write)
