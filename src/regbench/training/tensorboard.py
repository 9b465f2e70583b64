"""Images, histograms and hyperparameters in TensorBoard: training samples, mistakes, confusion matrix, calibration.

Images are drawn once per run; histograms are written after each epoch where `histograms` is true.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch import Tensor
from torch.utils.tensorboard.summary import hparams

from regbench.data import ImageData
from regbench.drawing.run_pictures import draw_predictions, draw_tiles
from regbench.storage.results import RunResults
from regbench.training.classifier import Classifier
from regbench.training.loggers import tensorboards
from regbench.training.scoring import most_confident_mistakes

Draw = Callable[..., Any]

SAMPLES = 32
CHOSEN = "with chosen weights"  # of the tags of a run's scores
# By name, in the alphabetical order in which TensorBoard shows them, with what it calls them.
_FIRST_COLUMNS = {"setting": "setting", "strengths": "strengths", "trained_at": "learning_rate"}
# The first of them are seen without scrolling.
_FIRST_SCORES = ("test/acc", "val/acc", "gap")


class TrainingSamples(pl.Callback):
    """Shows the first batch as the network is given it, with its targets: after augmentation, mixup and their like.

    Args:
        draw: Calls a function of `regbench.drawing` with its arguments, here or elsewhere.
    """

    def __init__(self, draw: Draw) -> None:
        self._draw = draw

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
        pixels = self._draw(draw_tiles, _as_arrays(images[:SAMPLES]), captions)
        for logger in loggers:
            logger.experiment.add_image("training samples", pixels, 0, dataformats="HWC")


class WeightHistograms(pl.Callback):
    """Shows the distribution of each layer's weights after every epoch."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write one histogram per parameter."""
        if not isinstance(pl_module, Classifier):
            return
        for logger in tensorboards(trainer.loggers):
            for name, parameter in pl_module.net.named_parameters():
                logger.experiment.add_histogram(f"weights/{name}", parameter, trainer.current_epoch + 1)


def show_predictions(
    loggers: Sequence[TensorBoardLogger], data: ImageData, logits: Tensor, labels: Tensor, step: int, draw: Draw
) -> None:
    """Show what the chosen network makes of the test images.

    Args:
        loggers: Where the pictures go; without any, none is drawn.
        data: Whose test split was predicted.
        logits: `(N, C)`.
        labels: `(N,)`.
        step: One after the last epoch: a run that was stopped before its end and resumes shows them again.
        draw: As in `TrainingSamples`.
    """
    if not loggers:
        return
    probabilities = logits.softmax(1)
    confidence, answers = probabilities.max(1)
    wrong = most_confident_mistakes(logits, labels)
    captions = [
        f"{data.classes[labels[each]]}\n→ {data.classes[answers[each]]}\n{confidence[each]:.1%} sure"
        for each in wrong.tolist()
    ]
    images = data.splits["test"].images
    counts = torch.bincount(labels * len(data.classes) + answers, minlength=len(data.classes) ** 2)
    pictures = draw(
        draw_predictions,
        data.classes,
        counts.view(len(data.classes), -1).numpy(),
        confidence.numpy(),
        (answers == labels).numpy(),
        _as_arrays(images[wrong.to(images.device)]),
        captions,
    )
    for logger in loggers:
        for name, pixels in pictures.items():
            logger.experiment.add_image(f"test/{name}", pixels, step, dataformats="HWC")


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
    # A column for each class of each split would be too many.
    whole = [(name, value) for name, value in results.metrics.items() if name.count("/") < 2]
    scores = dict(sorted(whole, key=lambda each: each[0] not in _FIRST_SCORES))
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


def _as_arrays(images: Tensor) -> Any:
    """Return images `(N, C, S, S)` as drawing takes them, `(N, S, S, C)`."""
    return images.permute(0, 2, 3, 1).cpu().numpy()


def _blend(shares: Tensor, classes: Sequence[str]) -> str:
    """Name the classes in a target that hold more than smoothing gives every class, two at most."""
    top = shares.topk(min(2, len(shares)))
    named = [
        (share, classes[index])
        for share, index in zip(top.values.tolist(), top.indices.tolist(), strict=True)
        if share > shares.min() + 0.01
    ]
    return "\n".join(f"{share:.2f} {name}" if share < 0.995 else name for share, name in named)
