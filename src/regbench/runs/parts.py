"""Building the parts of a run (data, network, optimizer, callbacks, trainer) from its configuration."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pydantic import NonNegativeInt, PositiveInt
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelCheckpoint,
    OnExceptionCheckpoint,
    StochasticWeightAveraging,
    Timer,
    WeightAveraging,
)
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric

from regbench.config.errors import NO_DECAY_HERE
from regbench.config.metrics import arguments_of, check_metrics, check_monitor
from regbench.config.objects import check_call, construct, construct_partial
from regbench.config.resolvers import has_compiler
from regbench.config.trainer_options import check_device_count
from regbench.data import ImageData
from regbench.models import initialize
from regbench.regularizers import Combined, Regularizer
from regbench.training.classifier import Classifier, parameter_groups
from regbench.training.fitting import SILENT
from regbench.training.logger_nodes import DEFAULT as DEFAULT_LOGGERS
from regbench.training.logger_nodes import LoggerNode, read_loggers
from regbench.training.measures import Measures

_GIVEN_TO_TRAINER = ("logger", "callbacks", "plugins", "default_root_dir")
_UNFIT: dict[type[pl.Callback], str] = {
    Timer: (
        "how far a run comes with Timer depends on the machine's load; a run's budget is whole epochs, "
        "trainer.max_epochs"
    ),
    StochasticWeightAveraging: (
        "StochasticWeightAveraging puts its weights in when training has ended, after the checkpoints that are scored, "
        "so it would be without effect; use callbacks=ema or callbacks=stochastic_weight_averaging, or a subclass of "
        "Lightning's WeightAveraging"
    ),
    BatchSizeFinder: (
        "expected a batch size that the configuration states; received BatchSizeFinder, whose size depends on the "
        "machine's memory and would be in no hash and report; use dataset.batch_size=…"
    ),
    LearningRateFinder: (
        "expected a learning rate that the configuration states; received LearningRateFinder, whose rate would be in "
        "no hash and report; use optimizer.lr=…, or regbench tune, which searches it"
    ),
    ModelCheckpoint: (
        "expected a callback that writes no checkpoints; received ModelCheckpoint, whose checkpoints nothing would "
        "score; a run keeps its last and its best in checkpoints/, and monitor=… says by what that is chosen"
    ),
    OnExceptionCheckpoint: (
        "expected a callback that writes no checkpoints; received OnExceptionCheckpoint, from whose file the next run "
        "with it would start, whichever that is; a run resumes by itself, from checkpoints/"
    ),
}


@dataclass(frozen=True)
class Parts:
    """What a configuration describes, built and not yet run."""

    data: ImageData
    classifier: Classifier
    callbacks: list[pl.Callback]
    loggers: list[LoggerNode]
    make_trainer: Callable[..., pl.Trainer]
    monitor: str
    threads: int
    histograms: bool


def build(config: Mapping[str, Any], make_classifier: Callable[..., Classifier] = Classifier) -> Parts:
    """Build all parts of a run from a composed configuration.

    Nothing is read from disk and nothing is trained, so all that is wrong with a configuration itself shows here.

    Args:
        config: The configuration.
        make_classifier: Takes what `Classifier` takes.

    Raises:
        ValueError: A key or value is unknown, missing, of the wrong type or out of range, in one line that names it.
    """
    values = check_call(_build, config, "", {"make_classifier": make_classifier})
    return _build(make_classifier=make_classifier, **values)


def _build(
    dataset: dict[str, Any],
    model: dict[str, Any],
    regularizer: dict[str, Any],
    optimizer: dict[str, Any],
    scheduler: dict[str, Any],
    trainer: dict[str, Any],
    seed: NonNegativeInt,
    study: str | None,  # noqa: ARG001 (names the folder alone)
    threads: PositiveInt,
    compile: bool,
    monitor: str,
    track_test: bool,
    callbacks: dict[str, Any],
    histograms: bool,
    make_classifier: Callable[..., Classifier],
    logger: dict[str, Any] | None = None,
    force: bool = False,  # noqa: ARG001 (decides before anything is built)
    keep: Literal["all", "results"] = "all",  # noqa: ARG001 (decides when the run is finished)
    metrics: dict[str, Any] | None = None,
) -> Parts:
    """Build a run; the arguments but `make_classifier` are the keys of `configs/train.yaml`, and no others."""
    if compile and not has_compiler():
        raise ValueError("compile: expected false, since no C++ compiler (g++ or clang++) is found; received true")
    if "weight_decay" in optimizer:
        raise ValueError(f"optimizer.weight_decay: {NO_DECAY_HERE}")
    epochs = trainer.get("max_epochs")
    if isinstance(epochs, int) and epochs < 1:
        raise ValueError(f"trainer.max_epochs: expected 1 or more, received {epochs}")
    data = construct(dataset, ImageData, "dataset", seed=seed, watched=("probe",))
    if "split_seed" not in dataset and data.split_seed is None:
        data.split_seed = 0  # as before splits followed the seed: the hash of such a configuration is still the same
    data.watched += (*(["val"] if data.val_size else []), *(["test"] if track_test else []))
    techniques = Combined(
        {key: construct(node, Regularizer, f"regularizer.{key}") for key, node in regularizer.items()}
    )
    measures = build_measures(metrics, len(data.classes))
    check_monitor(monitor, metrics or {})
    watchers = {
        key: _construct_callback(node, f"callbacks.{key}", data, measures) for key, node in sorted(callbacks.items())
    }
    loggers = read_loggers(DEFAULT_LOGGERS if logger is None else logger)
    if len(averaging := [key for key, each in watchers.items() if isinstance(each, WeightAveraging)]) > 1:
        raise ValueError(
            f"callbacks: expected one that averages weights, since it replaces those that are scored; received "
            f"{', '.join(averaging)}"
        )
    if (outputs := model.get("num_classes", len(data.classes))) != len(data.classes):
        raise ValueError(
            f"model.num_classes: expected {len(data.classes)}, the number of dataset.classes; received {outputs!r}"
        )
    # A network of one's own may find out by itself, or take any number.
    channels = model.get("channels", 1 if str(model.get("_target_")).startswith("regbench.models.") else data.channels)
    if channels != data.channels:
        raise ValueError(
            f"model.channels: expected {data.channels}, the number of dataset.channels; received {channels!r}"
        )
    net = construct(model, nn.Module, "model", regularizer=techniques)
    initialize(net, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        techniques.prepare(net)
    _refuse_other_gradients(techniques, trainer, watchers)
    make_optimizer = construct_partial(optimizer, Optimizer, "optimizer", given=("params",), network=net)
    make_trainer = _checked(construct_partial(trainer, pl.Trainer, "trainer", given=(*_GIVEN_TO_TRAINER, *SILENT)))
    interval = scheduler.get("interval", "epoch")
    if interval not in {"epoch", "step"}:
        raise ValueError(f"scheduler.interval: expected epoch or step, received {interval!r}")
    scheduler = {key: value for key, value in scheduler.items() if key != "interval"}
    make_scheduler = construct_partial(scheduler, LRScheduler, "scheduler", given=("optimizer",))
    make_scheduler(optimizer=make_optimizer(params=parameter_groups(net, techniques)))  # refuses wrong values early
    classifier = make_classifier(
        net,
        techniques,
        make_optimizer,
        make_scheduler,
        interval=interval,
        num_classes=len(data.classes),
        seed=seed,
        compile=compile,
        watched=data.watched,
        measures=measures,
    )
    return Parts(data, classifier, [*watchers.values()], loggers, make_trainer, monitor, threads, histograms)


def build_measures(metrics: Mapping[str, Any] | None, classes: int) -> Measures:
    """Build the metrics of a configuration's group.

    Args:
        metrics: The group; configurations from before there was one have none.
        classes: The number of classes.

    Raises:
        ValueError: A name or a value is wrong, in one line that names the key.
    """
    nodes = metrics or {}
    check_metrics(nodes)
    with torch.random.fork_rng(devices=[]):
        built = {
            name: construct(arguments_of(node), Metric, f"metrics.{name}")  # type: ignore[type-abstract]  # a subclass
            for name, node in nodes.items()
        }
    return Measures(built, classes)


def _refuse_other_gradients(
    techniques: Combined, trainer: Mapping[str, Any], callbacks: Mapping[str, pl.Callback]
) -> None:
    """Refuse what gives techniques other gradients to act on than those of one batch."""
    acting = ", ".join(name for name, each in techniques.techniques.items() if each.fills("on_gradients"))
    if not acting:
        return
    if (batches := trainer.get("accumulate_grad_batches")) not in {None, 1}:
        raise ValueError(
            f"trainer.accumulate_grad_batches: expected 1 with {acting}, which acts on the gradients of one batch; "
            f"received {batches!r}"
        )
    for key, each in callbacks.items():
        if isinstance(each, GradientAccumulationScheduler):
            raise ValueError(
                f"callbacks.{key}: expected no accumulated gradients with {acting}, which acts on those of one batch; "
                "received GradientAccumulationScheduler"
            )
    if trainer.get("precision") == "16-mixed":
        raise ValueError(
            f"trainer.precision: expected 32-true or bf16-mixed with {acting}, which acts on gradients; received "
            "'16-mixed', which scales them"
        )


def _checked(make_trainer: Callable[..., pl.Trainer]) -> Callable[..., pl.Trainer]:
    """Refuse a trainer of several devices as soon as they are counted."""

    def make(**given: Any) -> pl.Trainer:
        trainer = make_trainer(**given)
        check_device_count(trainer.num_devices, trainer.num_nodes)
        return trainer

    return make


def refuse_unfit(callback: pl.Callback, key: str) -> None:
    """Refuse callbacks whose runs nobody could repeat, or whose averaged weights or checkpoints nothing would score.

    Raises:
        ValueError: In one line that names the key and what to use instead.
    """
    for kind, message in _UNFIT.items():
        if isinstance(callback, kind):
            raise ValueError(f"{key}: {message}")


def _construct_callback(node: Any, key: str, data: ImageData, measures: Measures) -> pl.Callback:
    """Build a callback, refusing one that would watch the test split or what this run does not measure."""
    callback = construct(node, pl.Callback, key)
    refuse_unfit(callback, key)
    splits = ("probe", "val")[: 1 + bool(data.val_size)]
    known = [f"{split}/{metric}" for split in splits for metric in ("acc", "loss", *measures)]
    if (monitor := getattr(callback, "monitor", None)) is not None and monitor not in known:
        raise ValueError(f"{key}.monitor: expected one of {', '.join(known)}; received {monitor!r}")
    return callback
