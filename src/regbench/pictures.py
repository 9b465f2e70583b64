"""What TensorBoard's image and histogram tabs show of a run: training samples, mistakes, confusions, calibration.

All of it is drawn once a run, but for the histograms, which are drawn on demand.
"""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from regbench.classifier import CALIBRATION_BINS, Classifier
from regbench.data import ImageData
from regbench.evaluation import most_confident_mistakes

Array = np.ndarray[Any, np.dtype[Any]]

SAMPLES = 32
_COLUMNS = 8
_NAMED_CLASSES = 20


class TrainingSamples(pl.Callback):
    """Shows the first batch as the network is given it, with its targets: after augmentation, mixup and their like."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the batch that training is about to begin with, without taking from its random stream."""
        data, logger = trainer.datamodule, trainer.logger  # type: ignore[attr-defined]  # set at run time
        if trainer.current_epoch > 0 or not (  # a run that goes on has shown it already
            isinstance(pl_module, Classifier) and isinstance(data, ImageData) and isinstance(logger, TensorBoardLogger)
        ):
            return
        with torch.random.fork_rng():
            pl_module.seed_epoch(0)
            images, targets = pl_module.regularized(next(iter(data.train_dataloader())))
        captions = [_blend(shares, data.classes) for shares in targets[:SAMPLES].cpu()]
        _show(logger, "training samples", tiles(images[:SAMPLES], captions), 0)


class WeightHistograms(pl.Callback):
    """Shows the distribution of each layer's weights after every epoch."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write one histogram a parameter."""
        if isinstance(trainer.logger, TensorBoardLogger) and isinstance(pl_module, Classifier):
            for name, parameter in pl_module.net.named_parameters():
                trainer.logger.experiment.add_histogram(f"weights/{name}", parameter, trainer.current_epoch + 1)


def show_predictions(logger: TensorBoardLogger, data: ImageData, logits: Tensor, labels: Tensor, step: int) -> None:
    """Show what the chosen network makes of the test images.

    Args:
        logger: Where the pictures go.
        data: Whose test split was predicted.
        logits: `(N, C)`.
        labels: `(N,)`.
        step: One after the last epoch: a run that was stopped before its end and goes on shows them anew.
    """
    probabilities = logits.softmax(1)
    confidence, answers = probabilities.max(1)
    wrong = most_confident_mistakes(logits, labels)
    if len(wrong):
        captions = [
            f"{data.classes[labels[each]]}\n→ {data.classes[answers[each]]}\n{confidence[each]:.1%} sure"
            for each in wrong.tolist()
        ]
        images = data.splits["test"].images[wrong.to(data.splits["test"].images.device)]
        _show(logger, "test/mistakes", tiles(images, captions), step)
    counts = torch.bincount(labels * len(data.classes) + answers, minlength=len(data.classes) ** 2)
    _show(logger, "test/confusion", confusion(counts.view(len(data.classes), -1).numpy(), data.classes), step)
    _show(logger, "test/reliability", reliability(confidence.numpy(), (answers == labels).numpy()), step)


def tiles(images: Tensor, captions: Sequence[str]) -> Figure:
    """Draw images `(N, 1, S, S)` in [0, 1], eight a row, each with its caption of up to three lines beneath."""
    count, side = len(images), images.shape[-1]
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    lines = 1 + max(caption.count("\n") for caption in captions)
    height, width, margin = side * (1.05 + 0.15 * lines), side * 1.12, round(0.06 * side)
    sheet = np.ones((margin + round(rows * height), round(columns * width)))
    figure = Figure((1.15 * columns, 1.15 / width * len(sheet)), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    for number, (image, caption) in enumerate(zip(images.squeeze(1).cpu().numpy(), captions, strict=True)):
        top, left = margin + round(number // columns * height), round((number % columns + 0.05) * width)
        sheet[top : top + side, left : left + side] = image
        axes.text(left, top + side * 1.03, caption, fontsize=7.5, va="top", linespacing=1.1, parse_math=False)
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    return figure


def confusion(counts: Array, classes: Sequence[str]) -> Figure:
    """Draw the percent of each class's images by answer, from counts `(C, C)` by (class, answer)."""
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = Figure((6.4, 6), dpi=100)
    axes = figure.add_axes((0.18, 0.17, 0.8, 0.78))
    # Mistakes are rare: on a straight scale none would be seen beside the diagonal.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=10)
    if len(classes) <= _NAMED_CLASSES:
        steps, names = range(len(classes)), [textwrap.shorten(name, 14, placeholder="…") for name in classes]
        axes.set_xticks(steps, names, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
        axes.set_yticks(steps, names, parse_math=False)
        for row, column in zip(*np.nonzero(counts), strict=True):
            share = shares[row, column]
            text = f"{share:.0f}" if share >= 0.5 else "·"
            axes.text(column, row, text, ha="center", va="center", color="white" if share > 40 else "black", fontsize=9)
    axes.set_xlabel("answer")
    axes.set_ylabel("class")
    axes.set_title("Test images of each class by answer, %")
    return figure


def reliability(confidence: Array, right: Array) -> Figure:
    """Draw accuracy by confidence in equal bins, and how many answers each bin holds.

    Args:
        confidence: The answers' probabilities, `(N,)`.
        right: Whether they were right, `(N,)`.
    """
    place = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    count, right_ones, sum_of_confidence = (
        np.bincount(place, weights, CALIBRATION_BINS) for weights in (None, right, confidence)
    )
    full = count > 0
    error = np.abs(right_ones - sum_of_confidence).sum() / len(confidence)
    centres = (np.arange(CALIBRATION_BINS) + 0.5) / CALIBRATION_BINS
    figure = Figure((5, 6), dpi=100)
    above, below = figure.subplots(
        2, height_ratios=(3, 1), sharex=True, gridspec_kw={"left": 0.14, "right": 0.97, "bottom": 0.09, "top": 0.95}
    )
    above.bar(centres[full], right_ones[full] / count[full], 0.9 / CALIBRATION_BINS, color="#0072b2")
    above.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1)
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy", title=f"Reliability: calibration error {error:.2%}")
    below.bar(centres, count, 0.9 / CALIBRATION_BINS, color="#77808a")
    below.set(xlabel="confidence", ylabel="test images")
    return figure


def _blend(shares: Tensor, classes: Sequence[str]) -> str:
    """Name the classes in a target that hold more than smoothing gives every class, two at most."""
    top = shares.topk(min(2, len(shares)))
    named = [
        (share, classes[index])
        for share, index in zip(top.values.tolist(), top.indices.tolist(), strict=True)
        if share > shares.min() + 0.01
    ]
    return "\n".join(f"{share:.2f} {name}" if share < 0.995 else name for share, name in named)


def _show(logger: TensorBoardLogger, tag: str, figure: Figure, step: int) -> None:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # no types
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]  # no types
    logger.experiment.add_image(tag, pixels, step, dataformats="HWC")
