"""One run from its configuration to `results.json`."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.loggers import TensorBoardLogger
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from regbench import run_folder
from regbench.callbacks import DivergedError, EpochBar, History
from regbench.checkpoints import (
    PREVIOUS,
    AtomicCheckpointIO,
    Checkpoints,
    Start,
    Stopwatch,
    find_start,
    read_checkpoint,
    run_identity,
)
from regbench.classifier import Classifier
from regbench.composition import NO_DECAY_HERE, check_choices, config_hash, has_compiler
from regbench.construct import check_call, construct, construct_partial
from regbench.data import ImageData
from regbench.evaluation import predict_splits, score_splits, write_predictions
from regbench.fitting import fit
from regbench.interruption import terminable
from regbench.models import initialize
from regbench.pictures import TrainingSamples, WeightHistograms, show_predictions
from regbench.record import empty_results, log_hyperparameters, read_config, record_failure, refuse_other_run
from regbench.regularizers import Combined, Regularizer
from regbench.weights import load_weights, write_tensors

# No sanity validation and nothing by batch: the networks are small, so each of these would cost more than a step.
_TRAINER = {
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 0,
}


@dataclass(frozen=True)
class Experiment:
    """What a configuration describes, built and not yet run."""

    data: ImageData
    classifier: Classifier
    callbacks: list[pl.Callback]
    make_trainer: Callable[..., pl.Trainer]
    monitor: str
    threads: int
    histograms: bool


def build(config: Mapping[str, Any]) -> Experiment:
    """Build all parts of a run from a composed configuration.

    Nothing is read from disk and nothing is trained, so all that is wrong with a configuration itself shows here.

    Raises:
        ValueError: A key or value is unknown, missing, of the wrong type or out of range, in one line that names it.
    """
    return _build(**check_call(_build, config, "", {}))


def run(
    folder: Path, config: Mapping[str, Any], overrides: list[str], *, show_progress: bool = False
) -> dict[str, Any]:
    """Train and score what a configuration describes, unless the folder holds its finished run already.

    A run that was stopped goes on after its last whole epoch, to the same bits as if it had not been.

    Args:
        folder: The run folder, made if missing. Its lock is held meanwhile.
        config: The composed configuration in plain containers.
        overrides: What the user changed, recorded beside it.
        show_progress: Whether a bar is shown.

    Returns:
        The content of `results.json`, and `"reused": True` where it was there before.

    Raises:
        ValueError: The configuration is wrong, or the folder holds another one's run.
        Exception: Whatever ended the run; `results.json` says how, and `error.txt` why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with terminable(), run_folder.hold(folder):
        refuse_other_run(folder, config)
        if run_folder.is_finished(folder):
            return {**(run_folder.read_results(folder) or {}), "reused": True}
        run_folder.clear_outcome(folder)
        results = empty_results(config)
        stopwatch = Stopwatch()
        try:
            document = yaml.safe_dump(
                {"overrides": overrides, "config": dict(config)}, sort_keys=False, allow_unicode=True
            )
            run_folder.write_text(folder / run_folder.CONFIG, document)
            check_choices(overrides)
            experiment = build(config)
            identity = run_identity(config)
            start = find_start(folder, identity, validated=experiment.data.val_size > 0)
            stopwatch.earlier = start.seconds
            logger = TensorBoardLogger(
                folder,
                name="",
                version=run_folder.TENSORBOARD,
                default_hp_metric=False,
                # TensorBoard forgets what was written after the checkpoint: those epochs come again.
                purge_step=start.epochs + 1 if start.checkpoint else None,
            )
            checkpoints = Checkpoints(
                folder / run_folder.CHECKPOINTS,
                experiment.monitor if experiment.data.val_size else None,
                identity,
                stopwatch,
            )
            results |= _train_and_score(folder, experiment, logger, checkpoints, start, show_progress=show_progress)
            results["provenance"] |= {
                "device": results.pop("device"),
                "dataset_sha256": experiment.data.sha256,
                "resumed_after": start.epochs if start.checkpoint else None,
            }
            log_hyperparameters(logger, config, results)
            results["seconds"]["total"] = round(stopwatch(), 3)
            run_folder.write_json(folder / run_folder.RESULTS, results)
            (folder / run_folder.CHECKPOINTS / PREVIOUS).unlink(missing_ok=True)
        except BaseException as error:
            record_failure(folder, results, error)
            raise
    return results


@dataclass(frozen=True)
class Trained:
    """A finished run: its network with the chosen weights, its data (not read yet), configuration and results."""

    net: nn.Module
    data: ImageData
    config: dict[str, Any]
    results: dict[str, Any]


def load(folder: Path) -> Trained:
    """Return a finished run, ready to be scored or used.

    Raises:
        ValueError: The folder holds no finished run, or a file of it is damaged.
    """
    results = run_folder.read_results(folder)
    if results is None or results.get("status") != run_folder.FINISHED:
        received = f"status {results.get('status')!r}" if results else f"no readable {run_folder.RESULTS}"
        raise ValueError(f"{folder}: expected the folder of a finished run, received {received}")
    config = read_config(folder)
    path = folder / run_folder.CONFIG
    if (found := config_hash(config)) != results.get("config_hash"):
        raise ValueError(
            f"{path}: damaged or changed: its hash is {found}, {run_folder.RESULTS} says {results.get('config_hash')}"
        )
    try:
        experiment = build({**config, "compile": False})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    load_weights(experiment.classifier.net, folder / run_folder.WEIGHTS)
    return Trained(experiment.classifier.net, experiment.data, config, results)


def _build(
    dataset: dict[str, Any],
    model: dict[str, Any],
    regularizer: dict[str, Any],
    optimizer: dict[str, Any],
    scheduler: dict[str, Any],
    trainer: dict[str, Any],
    seed: int,
    study: str | None,  # noqa: ARG001 (names the folder alone)
    threads: int,
    compile: bool,
    monitor: Literal["val/acc", "val/loss"],
    track_test: bool,
    callbacks: dict[str, Any],
    histograms: bool,
) -> Experiment:
    """Build a run; the arguments are the keys of `configs/train.yaml`, and no others."""
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, received {seed}")
    if threads < 1:
        raise ValueError(f"threads: expected 1 or more, received {threads}")
    if compile and not has_compiler():
        raise ValueError("compile: expected false, since no C++ compiler (g++ or clang++) is found; received true")
    if "weight_decay" in optimizer:
        raise ValueError(f"optimizer.weight_decay: {NO_DECAY_HERE}")
    epochs = trainer.get("max_epochs")
    if isinstance(epochs, int) and epochs < 1:
        raise ValueError(f"trainer.max_epochs: expected 1 or more, received {epochs}")
    data = construct(dataset, ImageData, "dataset", seed=seed, watched=("probe",))
    data.watched += (*(["val"] if data.val_size else []), *(["test"] if track_test else []))
    techniques = Combined(
        {key: construct(node, Regularizer, f"regularizer.{key}") for key, node in regularizer.items()}
    )
    watchers = [_construct_callback(node, f"callbacks.{key}", data) for key, node in sorted(callbacks.items())]
    net = construct(model, nn.Module, "model", regularizer=techniques)
    initialize(net, seed)
    make_optimizer = construct_partial(optimizer, Optimizer, "optimizer", given=("params",))
    make_trainer = construct_partial(
        trainer, pl.Trainer, "trainer", given=("logger", "callbacks", "plugins", *_TRAINER)
    )
    interval = scheduler.get("interval", "epoch")
    if interval not in {"epoch", "step"}:
        raise ValueError(f"scheduler.interval: expected epoch or step, received {interval!r}")
    scheduler = {key: value for key, value in scheduler.items() if key != "interval"}
    make_scheduler = construct_partial(scheduler, LRScheduler, "scheduler", given=("optimizer",))
    make_scheduler(optimizer=make_optimizer(params=[nn.Parameter(torch.zeros(1))]))  # refuses wrong values early
    classifier = Classifier(
        net,
        techniques,
        make_optimizer,
        make_scheduler,
        interval=interval,
        num_classes=len(data.classes),
        seed=seed,
        compile=compile,
        watched=data.watched,
    )
    return Experiment(data, classifier, watchers, make_trainer, monitor, threads, histograms)


def _construct_callback(node: Any, key: str, data: ImageData) -> pl.Callback:
    """Build a callback, refusing one that would watch the test split or what this run does not measure."""
    callback = construct(node, pl.Callback, key)
    known = [f"{split}/{metric}" for split in ("train", "val")[: 1 + bool(data.val_size)] for metric in ("acc", "loss")]
    if (monitor := getattr(callback, "monitor", None)) is not None and monitor not in known:
        raise ValueError(f"{key}.monitor: expected one of {', '.join(known)}; received {monitor!r}")
    return callback


def _train_and_score(
    folder: Path,
    experiment: Experiment,
    logger: TensorBoardLogger,
    checkpoints: Checkpoints,
    start: Start,
    *,
    show_progress: bool,
) -> dict[str, Any]:
    torch.set_num_threads(experiment.threads)
    # Graphs of other runs in this process count against the compiler's limit of variants.
    torch.compiler.reset()
    data, classifier = experiment.data, experiment.classifier
    history = History(folder / run_folder.HISTORY)
    shown = [*([WeightHistograms()] if experiment.histograms else []), *([EpochBar()] if show_progress else [])]
    callbacks = [history, *experiment.callbacks, checkpoints, TrainingSamples(), *shown]
    given = {"logger": logger, "callbacks": callbacks, "plugins": [AtomicCheckpointIO()], **_TRAINER}
    trainer = fit(lambda: experiment.make_trainer(**given), classifier, data, start.checkpoint)

    scoring = time.perf_counter()
    device = trainer.strategy.root_device
    checkpoint = read_checkpoint(checkpoints.chosen, device)
    classifier.load_state_dict(checkpoint["state_dict"])
    predictions = predict_splits(classifier.net.to(device), data)
    metrics = score_splits(predictions)
    for name, value in metrics.items():
        if value is not None and not math.isfinite(value):
            raise DivergedError(f"{name} is {value} with the weights of epoch {checkpoint['epoch'] + 1}")
    state = {name: value.detach().cpu().contiguous() for name, value in classifier.net.state_dict().items()}
    write_tensors(folder / run_folder.WEIGHTS, state)
    write_predictions(folder / run_folder.PREDICTIONS, data, *predictions["test"])
    show_predictions(logger, data, *predictions["test"], step=len(history.rows) + 1)

    images = len(data.splits["train"].labels)
    seconds = sum(row["seconds"] for row in history.rows)
    evaluation = history.evaluation_seconds + time.perf_counter() - scoring
    return {
        "status": run_folder.FINISHED,
        "epochs": trainer.max_epochs,
        "epochs_trained": len(history.rows),
        "best_epoch": int(checkpoint["epoch"]),
        "checkpoint": "best" if data.val_size else "last",
        "device": str(device),
        "parameters": sum(each.numel() for each in classifier.net.parameters() if each.requires_grad),
        "train_size": images,
        "metrics": metrics,
        "seconds": {"train": round(seconds, 3), "evaluate": round(evaluation, 3), "total": None},
        "images_per_second": round(images * len(history.rows) / seconds, 1),
    }
