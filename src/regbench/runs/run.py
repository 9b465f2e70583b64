"""One run in four steps: its specification, its parts, the training, the results."""

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from regbench.config import compose_checked
from regbench.config.budget import averaging_warning
from regbench.config.identity import run_name
from regbench.config.loaded_code import check_loaded_code
from regbench.config.metrics import definitions, higher_is_better, own_kinds
from regbench.overrides import with_keywords
from regbench.runs.acting import find_acting
from regbench.runs.engine import Engine
from regbench.runs.evaluation import score_splits, write_predictions
from regbench.runs.parts import Parts, refuse_unfit
from regbench.runs.recording import Record, recording
from regbench.runs.resuming import Start, find_start, run_identity
from regbench.runs.spec import RunSpec
from regbench.storage.results import Measured, RunResults, Seconds
from regbench.storage.schema import CHECKPOINTS, FINISHED, HISTORY, PREDICTIONS, WEIGHTS
from regbench.training.checkpoints import LAST, AtomicCheckpointIO, Checkpoints, read_checkpoint
from regbench.training.fitting import SILENT, fit, lone_process
from regbench.training.history import DivergedError, EpochBar, History
from regbench.training.loggers import Loggers, hyperparameters, tensorboards
from regbench.training.tensorboard import TrainingSamples, WeightHistograms, log_hyperparameters, show_predictions
from regbench.training.weights import write_tensors


def train(
    *overrides: str,
    folder: str | PathLike[str] | None = None,
    callbacks: Sequence[pl.Callback] = (),
    config_dir: str | PathLike[str] | None = None,
    progress: bool = False,
    **values: Any,
) -> RunResults:
    """Train one run, as `python train.py OVERRIDE…` does, unless it is finished already.

    Args:
        overrides: As on the command line: `"regularizer=dropout"`, `"trainer.max_epochs=5"`.
        folder: The run folder; `outputs/runs/…`, named after the configuration, unless given.
        callbacks: As in `run`. Those of the group `callbacks`, which are part of a run, are overrides.
        config_dir: A folder of your own with YAML groups, as `--config-dir` on the command line.
        progress: Whether a bar is shown.
        values: Further overrides by key: `seed=1`, `dataset="digits"`.

    Returns:
        As `run`.

    Raises:
        ValueError: The overrides do not compose, or the configuration is wrong.
        TypeError: A value cannot be written as an override.
    """
    if isinstance(callbacks, str):
        raise TypeError(
            f"callbacks: expected Lightning callbacks; received text; write 'callbacks={callbacks}' for that"
        )
    given = with_keywords(overrides, values)
    config = compose_checked(given, config_dir)
    place = Path(folder) if folder is not None else Path("outputs/runs") / run_name(config)
    return run(place, config, given, callbacks=callbacks, show_progress=progress)


def run(
    folder: Path,
    config: Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    callbacks: Sequence[pl.Callback] = (),
    show_progress: bool = False,
    wait: bool = True,
    is_taken: Callable[[], bool] | None = None,
    engine: Engine | None = None,
) -> RunResults:
    """Train and score what a configuration describes, unless the folder holds its finished run already.

    A run that was stopped resumes after its last whole epoch, to the same bits as if it had not been.

    Args:
        folder: The run folder, made if missing. Its lock is held meanwhile.
        config: The composed configuration in plain containers.
        overrides: What the user changed, recorded beside it.
        callbacks: Further Lightning callbacks, which watch and must not change the training: they are no part of the
            run's identity.
        show_progress: Whether a bar is shown.
        wait: Whether to wait while another process works on the run.
        is_taken: Asked once the folder is held: whether another process has been at the run meanwhile, so that it is to
            be left as it is.
        engine: Who computes; the run by itself unless given.

    Returns:
        The content of `results.json`; `reused` tells whether it was there before.

    Raises:
        ValueError: The configuration is wrong, or the folder holds another one's run.
        regbench.storage.lock.HeldError: Another process works on the run, and `wait` is false; or `is_taken` says so.
        Exception: Whatever ended the run; `results.json` says how, and `error.txt` why.
    """
    spec, engine = RunSpec(config, overrides), engine or Engine()
    spec.check()
    with recording(folder, spec, wait=wait, is_taken=is_taken) as record:
        if record.results is None:
            parts = engine.build(spec.config)
            check_loaded_code(spec.config)
            if warning := averaging_warning(spec.config):
                print(warning, file=sys.stderr, flush=True)
            for index, callback in enumerate(callbacks):
                refuse_unfit(callback, f"callbacks[{index}]")
            watching = [*callbacks, *([EpochBar()] if show_progress else [])]
            with Loggers(parts.loggers, folder) as loggers:
                training = _train(folder, spec, parts, record, watching, engine, loggers)
                record.results = _results(folder, spec, parts, record, training, engine)
    if record.results is None:
        raise RuntimeError(f"{folder}: the run ended without results")
    return record.results


@dataclass(frozen=True)
class _Training:
    """A training that has ended."""

    trainer: pl.Trainer
    history: History
    checkpoints: Checkpoints
    loggers: Loggers
    start: Start


def _train(
    folder: Path,
    spec: RunSpec,
    parts: Parts,
    record: Record,
    watching: Sequence[pl.Callback],
    engine: Engine,
    loggers: Loggers,
) -> _Training:
    torch.set_num_threads(parts.threads)
    # Graphs of other runs in this process count against the compiler's limit of variants.
    torch.compiler.reset()
    identity = run_identity(spec)
    start = find_start(folder, identity, validated=parts.data.val_size > 0, most=engine.most_epochs)
    record.stopwatch.earlier = start.seconds
    environment = lone_process()
    logging_to = loggers.open(run_name(spec.config), hyperparameters(spec.config, spec.described()), start.epochs)
    monitor = parts.monitor if parts.data.val_size else None
    higher = higher_is_better(parts.monitor, spec.config.get("metrics"))
    checkpoints = Checkpoints(folder / CHECKPOINTS, monitor, higher, identity, record.stopwatch, engine.identity)
    history = History(folder / HISTORY, definitions(spec.config.get("metrics") or {}))
    shown = [TrainingSamples(engine.draw), *([WeightHistograms()] if parts.histograms else []), *watching]
    callbacks = [history, loggers.following(history), *parts.callbacks, checkpoints, *shown]
    given = {
        "logger": logging_to,
        "callbacks": callbacks,
        "plugins": [AtomicCheckpointIO(), environment],
        # Where Lightning looks for checkpoints to begin with: a fresh run has emptied it.
        "default_root_dir": folder / CHECKPOINTS,
        **SILENT,
    }
    trainer = fit(lambda: parts.make_trainer(**given), parts.classifier, parts.data, start.checkpoint)
    return _Training(trainer, history, checkpoints, loggers, start)


def _results(
    folder: Path, spec: RunSpec, parts: Parts, record: Record, training: _Training, engine: Engine
) -> RunResults:
    """Score the chosen weights, write what belongs to them, and return the results."""
    began = time.perf_counter()
    data, classifier, rows = parts.data, parts.classifier, training.history.rows
    if not parts.callbacks and len(rows) < (budget := spec.config["trainer"]["max_epochs"]):
        raise ValueError(
            f"callbacks: expected {budget} epochs, since no callback of the configuration stops a training; received "
            f"{len(rows)}: what is given to regbench.train may watch alone, so name it in the configuration"
        )
    device = training.trainer.strategy.root_device
    checkpoint = read_checkpoint(training.checkpoints.chosen, device)
    classifier.load_state_dict(checkpoint["state_dict"])
    classifier.load_technique_state(checkpoint, device)
    predictions = engine.predict(classifier, data, device)
    metrics = score_splits(predictions, classifier.measures)
    for name, value in metrics.items():
        if value is not None and not math.isfinite(value):
            raise DivergedError(f"{name} is {value} with the weights of epoch {checkpoint['epoch'] + 1}")
    state = {name: value.detach().cpu().contiguous() for name, value in classifier.net.state_dict().items()}
    write_tensors(folder / WEIGHTS, state)
    write_predictions(folder / PREDICTIONS, data, *predictions["test"])
    boards = tensorboards(training.loggers.all)
    show_predictions(boards, data, *predictions["test"], step=len(rows) + 1, draw=engine.draw)

    images = len(data.splits["train"].labels)
    seconds = sum(row["seconds"] for row in rows)
    evaluation = training.history.evaluation_seconds + time.perf_counter() - began
    results = RunResults(
        **spec.described(),
        status=FINISHED,
        epochs_trained=len(rows),
        best_epoch=int(checkpoint["epoch"]),
        checkpoint="best" if data.val_size else "last",
        parameters=sum(each.numel() for each in classifier.net.parameters() if each.requires_grad),
        train_size=images,
        acted=find_acting(spec.config, data, folder / CHECKPOINTS / LAST),
        metrics=metrics,
        measured=_measured(spec.config.get("metrics") or {}, metrics),
        images_per_second=round(images * len(rows) / seconds, 1),
        provenance={
            **record.provenance,
            "device": str(engine.device or device),
            **engine.recorded,
            "dataset_sha256": data.sha256,
            "resumed_after": training.start.epochs if training.start.checkpoint else None,
        },
    )
    for logger in boards:
        log_hyperparameters(logger, spec.config, results)
    training.loggers.log_results(results, step=len(rows) + 1)
    times = Seconds(train=round(seconds, 3), evaluate=round(evaluation, 3), total=round(record.stopwatch(), 3))
    return results.model_copy(update={"seconds": times})


def _measured(group: Mapping[str, Any], values: Mapping[str, float | None]) -> dict[str, Measured]:
    """Describe the metrics of the group `metrics`, as whoever reads the results needs it."""
    defined = definitions(group)
    return {
        name: Measured(**kind._asdict(), by_class=f"test/{name}/0" in values, definition=defined[name])
        for name, kind in own_kinds(group).items()
    }
