"""Images, histograms and hyperparameters in TensorBoard: training samples, mistakes, confusion matrix, calibration.

Images are drawn once per run; histograms are written after each epoch where `histograms` is true.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch import Tensor
from torch.utils.tensorboard.summary import hparams

from regbench.data import ImageData
from regbench.drawing.confusion import confusion_matrix
from regbench.drawing.pictures import visible
from regbench.drawing.reliability import Calibration, bin_by_confidence, calibration_error, reliability_diagram
from regbench.drawing.style import SettingStyle, figure_style
from regbench.storage.results import RunResults
from regbench.training.classifier import Classifier
from regbench.training.loggers import tensorboards
from regbench.training.scoring import most_confident_mistakes

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

SAMPLES = 32
CHOSEN = "with chosen weights"  # of the tags of a run's scores
# By name, in the alphabetical order in which TensorBoard shows them, with what it calls them.
_FIRST_COLUMNS = {"setting": "setting", "strengths": "strengths", "trained_at": "learning_rate"}
# The first of them are seen without scrolling.
_FIRST_SCORES = ("test/acc", "val/acc", "gap")
_COLUMNS = 8
# TensorBoard shows an image 350 pixels wide and takes the nearest pixel: twice as many are right for any screen.
_SHOWN_WIDTH = 2 * 350


class TrainingSamples(pl.Callback):
    """Shows the first batch as the network is given it, with its targets: after augmentation, mixup and their like."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the batch that training is about to begin with, without taking part in it."""
        data, loggers = trainer.datamodule, tensorboards(trainer.loggers)  # type: ignore[attr-defined]  # set at run time
        if trainer.current_epoch > 0 or not (  # a run that resumes has shown it already
            loggers and isinstance(pl_module, Classifier) and isinstance(data, ImageData)
        ):
            return
        if (batch := pl_module.preview(next(iter(data.training_batches())))) is None:
            return
        images, targets = batch
        captions = [_blend(shares, data.classes) for shares in targets[:SAMPLES].cpu()]
        for logger in loggers:
            _show(logger, "training samples", tiles(images[:SAMPLES], captions), 0)


class WeightHistograms(pl.Callback):
    """Shows the distribution of each layer's weights after every epoch."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write one histogram per parameter."""
        if not isinstance(pl_module, Classifier):
            return
        for logger in tensorboards(trainer.loggers):
            for name, parameter in pl_module.net.named_parameters():
                logger.experiment.add_histogram(f"weights/{name}", parameter, trainer.current_epoch + 1)


def show_predictions(logger: TensorBoardLogger, data: ImageData, logits: Tensor, labels: Tensor, step: int) -> None:
    """Show what the chosen network makes of the test images.

    Args:
        logger: Where the pictures go.
        data: Whose test split was predicted.
        logits: `(N, C)`.
        labels: `(N,)`.
        step: One after the last epoch: a run that was stopped before its end and resumes shows them again.
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
    bins = bin_by_confidence(confidence.numpy(), (answers == labels).numpy())
    found = {"test images": Calibration(bins, calibration_error(bins))}
    styles = {"test images": SettingStyle("#0072b2", "o", "-")}
    with figure_style():
        matrix = confusion_matrix(
            counts.view(len(data.classes), -1).numpy(), data.classes, "Answers to test images, % of the class"
        )
        _show(logger, "test/confusion", _square(matrix), step, _SHOWN_WIDTH)
        _show(logger, "test/reliability", _placed(reliability_diagram(found, styles, counts=True)), step, _SHOWN_WIDTH)


def log_hyperparameters(logger: TensorBoardLogger, config: Mapping[str, Any], results: RunResults) -> None:
    """Fill TensorBoard's HParams tab with the same keys for every run, as it takes its columns from one of them.

    TensorBoard sorts columns by name, those first that are marked as differing: setting, strengths and learning rate.
    It reads scores from scalars, which it shows as charts of one point: their tags come after those of all curves.
    """
    strengths = {
        f"{technique}.{key}": value
        for technique, node in sorted(config["regularizer"].items())
        for key, value in node.items()
        if key != "_target_"
    }
    columns = (
        "dataset",
        "model",
        "setting",
        "optimizer",
        "scheduler",
        "seed",
        "epochs",
        "train_size",
        "threads",
        "compile",
    )
    parameters = {
        **{key: getattr(results, key) for key in columns},
        "callbacks": "+".join(sorted(config.get("callbacks") or {})) or "none",
        "strengths": ", ".join(f"{key}={value}" for key, value in strengths.items()) or "none",
        "trained_at": config["optimizer"].get("lr"),
        "batch_size": config["dataset"]["batch_size"],
    }
    scores = dict(sorted(results.metrics.items(), key=lambda each: each[0] not in _FIRST_SCORES))
    metrics = {f"{CHOSEN}/{key}": float("nan") if value is None else value for key, value in scores.items()}
    metrics[f"{CHOSEN}/epoch"] = (results.best_epoch or 0) + 1
    # One step after the last epoch: a run that resumes after it drops these values and writes them again.
    step = (results.epochs or 0) + 1
    logger.log_hyperparams(parameters)
    logger.log_metrics(metrics, step)
    experiment, start, end = hparams(logger.hparams, metrics)
    for summary in (_with_first_columns(experiment), start, end):
        logger.experiment.file_writer.add_summary(summary, step)
    logger.finalize("success")


def tiles(images: Tensor, captions: Sequence[str]) -> Figure:
    """Draw images `(N, C, S, S)` in [0, 1], eight a row, each with its caption of up to three lines beneath."""
    count, side = len(images), images.shape[-1]
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    lines = 1 + max(caption.count("\n") for caption in captions)
    height, width, margin = side * (1.05 + 0.15 * lines), side * 1.12, round(0.06 * side)
    pictures = [visible(image) for image in images.permute(0, 2, 3, 1).cpu().numpy()]
    sheet = np.ones((margin + round(rows * height), round(columns * width), *pictures[0].shape[2:]))
    figure = Figure((1.15 * columns, 1.15 / width * len(sheet)), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    for number, (image, caption) in enumerate(zip(pictures, captions, strict=True)):
        top, left = margin + round(number // columns * height), round((number % columns + 0.05) * width)
        sheet[top : top + side, left : left + side] = image
        axes.text(left, top + side * 1.03, caption, fontsize=7.5, va="top", linespacing=1.1, parse_math=False)
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    return figure


def _with_first_columns(experiment: Summary) -> Summary:
    """Mark the columns by which runs are told apart, so that TensorBoard shows them first."""
    plugin = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin.content)
    for column in content.experiment.hparam_infos:
        column.differs = column.name in _FIRST_COLUMNS
        column.display_name = _FIRST_COLUMNS.get(column.name, "")
    for score in content.experiment.metric_infos:
        score.display_name = score.name.tag.removeprefix(f"{CHOSEN}/")
    plugin.content = content.SerializeToString()
    return experiment


def _blend(shares: Tensor, classes: Sequence[str]) -> str:
    """Name the classes in a target that hold more than smoothing gives every class, two at most."""
    top = shares.topk(min(2, len(shares)))
    named = [
        (share, classes[index])
        for share, index in zip(top.values.tolist(), top.indices.tolist(), strict=True)
        if share > shares.min() + 0.01
    ]
    return "\n".join(f"{share:.2f} {name}" if share < 0.995 else name for share, name in named)


def _square(figure: Figure) -> Figure:
    """Give a confusion matrix the room that its classes' names need, and no more."""
    (axes,) = figure.axes
    longest = max((len(label.get_text()) for label in axes.get_yticklabels()), default=0)
    width = figure.get_figwidth()
    # In inches; letters are some 0.07 wide, and those below lie aslant.
    left, right, top = 0.4 + 0.07 * longest, 0.1, 0.35
    bottom = 0.4 + 0.05 * (longest if longest > 2 else 0)
    side = width - left - right
    figure.set_figheight(height := top + side + bottom)
    figure.set_layout_engine(None)
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
    axes.set_title(axes.get_title(loc="left"), x=(0.1 - left) / side)  # from the figure's edge on
    return figure


def _placed(figure: Figure) -> Figure:
    """Give a figure fixed margins: finding the best ones costs more than all of its drawing, in every run."""
    figure.set_layout_engine(None)
    figure.subplots_adjust(left=0.17, right=0.97, bottom=0.2, top=0.94, hspace=0.1)
    return figure


def _show(logger: TensorBoardLogger, tag: str, figure: Figure, step: int, width: int | None = None) -> None:
    """Write a figure; if a width in pixels is given, so that every second pixel of it alone is as smooth as all."""
    if width is not None:
        figure.set_dpi(width / figure.get_figwidth())
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # no types
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]  # no types
    if width is not None:
        pixels = halvable(pixels)
    logger.experiment.add_image(tag, pixels, step, dataformats="HWC")


def halvable(pixels: Pixels) -> Pixels:
    """Average each pixel of an image `(H, W, C)` with its neighbours right and below, to the nearest multiple of 5.

    So to take every second pixel is to average four, wherever one begins. With fewer tones the file is no larger.
    """
    padded = np.pad(pixels.astype(np.uint16), ((0, 1), (0, 1), (0, 0)), mode="edge")
    sums = padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]
    means: Pixels = ((sums + 10) // 20 * 5).astype(np.uint8)
    return means
