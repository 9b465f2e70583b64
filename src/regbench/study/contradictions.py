"""Whether the numbers of a run's files can be true together: results, configuration and history."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from regbench.storage.results import DamagedError
from regbench.storage.schema import CONFIG, HISTORY, RESULTS, Kind, kind_of
from regbench.study.run_folders import Run
from regbench.study.settings import NONE

# The history's probe is the training split itself where that holds no more images, and a part of it otherwise.
PROBE_SIZE = 5_000
# How many standard errors a random part of the images is never away from all of them.
_DEVIATIONS = 8

_GROUPS = ("dataset", "model", "optimizer", "scheduler")
# Of values that one process computed twice alike, and wrote in single precision or with seven decimals.
_SAME = 1e-6


class MismatchError(DamagedError):
    """Numbers of a run folder contradict each other; the message names the number, and both values."""


def check_possible(run: Run) -> None:
    """Refuse a finished run whose numbers cannot be true together, or whose techniques would be taken for others.

    Raises:
        MismatchError: They cannot, or would.
    """
    _check_configuration(run)
    _check_techniques(run)
    _check_hash(run)
    metrics, trained = run.results.metrics, run.results.epochs_trained
    rows = len(run.history["epoch"])
    if trained is not None and trained != rows:
        raise MismatchError(f"{RESULTS}: epochs_trained is {trained}, but {HISTORY} has {rows} rows")
    _check_gap(metrics, RESULTS)
    for name in ("val/acc", "val/loss", "val/ece"):
        _check_epoch(run, name, name)
    _check_choice(run)
    if run.results.schema_version > 1:
        _check_training(run)


def check_row(row: Mapping[str, Any], table: Path) -> None:
    """Refuse a row of a table whose numbers cannot be true together. Nothing there shows that they are.

    Args:
        row: A finished run's values by column.
        table: The file, for the message.

    Raises:
        MismatchError: They cannot.
    """
    for name in ("train/acc", "val/acc", "test/acc"):
        value = row.get(name)
        if value is not None and not (isinstance(value, (int, float)) and 0 <= value <= 1):
            raise MismatchError(f"{table}: {name}: expected a fraction from 0 to 1, received {value}")
    _check_gap(row, str(table))


def _check_gap(metrics: Mapping[str, Any], place: str) -> None:
    train, test, gap = (metrics.get(name) for name in ("train/acc", "test/acc", "gap"))
    if train is not None and test is not None and (gap is None or not abs(gap - (train - test)) <= _SAME):
        raise MismatchError(f"{place}: gap is {gap}, but train/acc − test/acc is {train - test:.8g}")


def _check_configuration(run: Run) -> None:
    """Refuse results of another run than the configuration's."""
    config, results = run.stored.config, run.results
    nodes = {name: config.get(name) or {} for name in (*_GROUPS, "trainer", "regularizer")}
    stated = {
        "setting": "+".join(sorted(nodes["regularizer"])) or "none",
        "seed": config.get("seed"),
        "split_seed": nodes["dataset"].get("split_seed"),
        "epochs": nodes["trainer"].get("max_epochs"),
        "threads": config.get("threads"),
        "compile": config.get("compile"),
        **{name: nodes[name].get("name") for name in _GROUPS},
    }
    for name, expected in stated.items():
        recorded = getattr(results, name)
        if expected is not None and recorded is not None and str(recorded) != str(expected):
            raise MismatchError(f"{RESULTS}: {name} is {recorded}, but {CONFIG} says {expected}")


def _check_techniques(run: Run) -> None:
    """Refuse techniques whose names are read as others, as runs of early versions may have: `none`, `a+b`."""
    techniques = sorted(map(str, run.stored.config.get("regularizer") or {}))
    setting = "+".join(techniques) or NONE
    read_as = [] if setting == NONE else setting.split("+")
    if techniques != read_as:
        raise MismatchError(
            f"{CONFIG}: regularizer: expected names that are not read as others, received "
            f"{', '.join(map(repr, techniques))}, which reads as {', '.join(read_as) or 'no technique'}; train it "
            "again under another name to compare it"
        )


def _check_hash(run: Run) -> None:
    """Refuse a configuration that is not the one that was trained: it has another hash."""
    given = run.recipe.config_hash
    if given != run.results.config_hash:
        raise MismatchError(
            f"{CONFIG}: gives the hash {given}, but {RESULTS} has config_hash {run.results.config_hash}"
        )


def _check_epoch(run: Run, name: str, column: str) -> None:
    """Refuse a metric that is not what the history has in the best epoch."""
    recorded, of_epoch = run.results.metrics.get(name), float(run.history[column][run.results.best_epoch or 0])
    if recorded is None and math.isnan(of_epoch):
        return
    if recorded is None or not abs(recorded - of_epoch) <= _tolerance(run, name, of_epoch):
        raise MismatchError(
            f"{RESULTS}: {name} is {recorded}, but {HISTORY} has {column} {of_epoch:.8g} in the best epoch "
            f"{run.results.best_epoch} (0-based)"
        )


def _check_choice(run: Run) -> None:
    """Refuse a best epoch that validation did not choose."""
    best, monitor = run.results.best_epoch or 0, run.stored.config.get("monitor", "val/acc")
    if run.results.checkpoint == "last":
        expected = len(run.history["epoch"]) - 1
        chosen = best == expected
    elif run.results.checkpoint == "best" and (kind := _kind_of(run, monitor)) is not None:
        scores = run.history[monitor] * (1 if kind.higher_is_better else -1)
        expected = int(scores.argmax())
        chosen = bool(scores[best] >= scores[expected] - _SAME)
    else:
        return
    if not chosen:
        raise MismatchError(
            f"{RESULTS}: best_epoch is {best} (0-based), but by {HISTORY} the {run.results.checkpoint} is {expected}"
        )


def _kind_of(run: Run, monitor: Any) -> Kind | None:
    """Return what a monitored metric is; None where the history does not have it in each epoch."""
    own = {name: each.kind for name, each in run.results.measured.items()}
    recorded = run.history.get(monitor) if isinstance(monitor, str) else None
    return None if recorded is None or np.isnan(recorded).any() else kind_of(monitor, own)


def _check_training(run: Run) -> None:
    """Refuse training scores that those of the probe rule out: it is all of the training images, or a random part."""
    images, accuracy = run.results.train_size, run.results.metrics.get("train/acc")
    probed = float(run.history["probe/acc"][run.results.best_epoch or 0])
    if not images or accuracy is None or math.isnan(probed):
        return
    if images <= PROBE_SIZE:
        _check_epoch(run, "train/acc", "probe/acc")
        _check_epoch(run, "train/loss", "probe/loss")
        return
    variance = max(share * (1 - share) for share in (accuracy, probed))
    likely = _DEVIATIONS * math.sqrt(variance / PROBE_SIZE) + (1 / PROBE_SIZE if _is_exact(run) else 0.01)
    if abs(accuracy - probed) > likely:
        raise MismatchError(
            f"{RESULTS}: train/acc is {accuracy:.8g} of {images} images, but {HISTORY} has probe/acc {probed:.8g} of "
            f"{PROBE_SIZE} of them in the best epoch {run.results.best_epoch} (0-based)"
        )


def _tolerance(run: Run, name: str, value: float) -> float:
    """Return how far the score of the end may be from the epoch's, of the same weights and images.

    On the CPU in full precision, a convolution whose weights lie otherwise in memory moves a loss in its last digits,
    and hardly ever an answer. Elsewhere an epoch's score may come from shorter numbers (TF32, bfloat16).
    """
    exact = _is_exact(run)
    split, _, metric = name.partition("/")
    if metric == "loss":
        return _SAME + (1e-5 if exact else 0.05) * abs(value)
    images = run.results.train_size if split == "train" else _node(run, "dataset").get("val_size")
    one_image = 1 / images if exact and isinstance(images, int) and images > 0 else 0.01
    # An image at a bin's edge counts in the one bin or in the other.
    return _SAME + one_image if metric == "acc" else 1e-5 + (2 * one_image if exact else 0.05)


def _is_exact(run: Run) -> bool:
    precision = str(_node(run, "trainer").get("precision", "32-true"))
    on_cpu = run.results.provenance.get("device", "cpu") == "cpu"
    return on_cpu and precision in {"32", "32-true", "64", "64-true"}


def _node(run: Run, name: str) -> dict[str, Any]:
    return run.stored.config.get(name) or {}
