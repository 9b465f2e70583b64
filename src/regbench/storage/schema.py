"""The run folder's format: names of files, statuses, metrics and columns, and the folder's path. Imports no torch.

`docs/run-folder.md` describes it for readers.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

# 2: the subset's curves in history.csv are called `probe/…`, in 1 they were `train/loss` and `train/acc`.
SCHEMA: Final = 2

CONFIG = "config.yaml"
RESULTS = "results.json"
HISTORY = "history.csv"
PREDICTIONS = "predictions.npz"
ERROR = "error.txt"
CHECKPOINTS = "checkpoints"
WEIGHTS = f"{CHECKPOINTS}/weights.pt"
TENSORBOARD = "tensorboard"
CSV_LOG = "csv"
WANDB = "wandb"
LOGS = (TENSORBOARD, CSV_LOG, WANDB)  # folders that loggers fill
MLFLOW_RUN = "mlflow_run.txt"
PROVENANCE = "provenance.json"  # beside a report's tables
SWEEP = "sweep.json"
PLAN = "plan"
SEARCH = "search"
TUNING, JOURNAL = "tuning.json", "journal.log"

Status = Literal["finished", "failed", "interrupted", "diverged"]
FINISHED: Final = "finished"
FAILED: Final = "failed"
INTERRUPTED: Final = "interrupted"
DIVERGED: Final = "diverged"

METRICS = (
    "train/loss", "train/acc", "val/loss", "val/acc", "val/ece", "test/loss", "test/acc", "test/ece", "gap"
)  # fmt: skip


class Kind(NamedTuple):
    """What a metric is, whatever split it is of.

    Attributes:
        words: Its name for people.
        higher_is_better: Whether a higher value is better.
        fraction: Whether it is shown in percent, and differences of it in points.
    """

    words: str
    higher_is_better: bool
    fraction: bool


# By the last part of a metric's name.
KINDS: Mapping[str, Kind] = {
    "acc": Kind("accuracy", higher_is_better=True, fraction=True),
    "loss": Kind("loss", higher_is_better=False, fraction=False),
    "ece": Kind("calibration error", higher_is_better=False, fraction=True),
    "gap": Kind("gap", higher_is_better=False, fraction=True),
}

# Names that no other metric may have, since columns of every run's files have them.
TAKEN_NAMES = frozenset({*KINDS, "objective", "acc_online"})

HISTORY_COLUMNS = (
    *("epoch", "lr", "seconds", "train/objective", "train/acc_online", "probe/loss", "probe/acc"),
    *("val/loss", "val/acc", "val/ece", "test/loss", "test/acc"),
)
RENAMED_HISTORY_COLUMNS = {"train/loss": "probe/loss", "train/acc": "probe/acc"}  # since schema 1

_SEED_FOLDER = re.compile(
    r"(?:^|/)(?P<dataset_and_model>[^/]+)/(?P<setting>[^/]+)-(?P<config_hash>[0-9a-f]{6})/seed(?P<seed>\d+)$"
)


class RunPlace(NamedTuple):
    """What a run folder's path says about its run."""

    setting: str
    config_hash: str
    seed: int


def kind_of(metric: str | Kind, own: Mapping[str, Kind] | None = None) -> Kind | None:
    """Return what a metric is; `None` for another column, such as `seconds/total`.

    Args:
        metric: Its name, `val/acc` or `acc`, or `test/class_accuracy/3` of the fourth class; or what it is already.
        own: Those of the group `metrics`, by their names there.
    """
    if isinstance(metric, Kind):
        return metric
    found = KINDS.get(metric.rpartition("/")[2])
    return found or (own or {}).get(name_of(metric))


def name_of(metric: str) -> str:
    """Return a metric's name without its split and its class: `f1` of `test/f1` and `test/f1/3`."""
    _, _, rest = metric.partition("/")
    return (rest or metric).partition("/")[0]


def history_columns(own: Iterable[str]) -> tuple[str, ...]:
    """Return all columns that a history may have.

    Args:
        own: Names of the group `metrics`.
    """
    return (*HISTORY_COLUMNS, *(f"{split}/{name}" for name in own for split in ("probe", "val", "test")))


def run_path(dataset: str, model: str, setting: str, config_hash: str, seed: object) -> str:
    """Return a run's folder below `outputs/runs` or its study's; names are made safe for a path."""
    return f"{_safe(dataset)}-{_safe(model)}/{setting}-{config_hash}/seed{seed}"


def label_of(node: Any) -> str | None:
    """Return what a part of the configuration is called: its `name`, or else its class's."""
    if not isinstance(node, Mapping):
        return None
    name, target = node.get("name"), node.get("_target_")
    if name is not None and str(name):
        return str(name)
    return target.rpartition(".")[2] if isinstance(target, str) and target else None


def read_run_path(folder: Path) -> RunPlace | None:
    """Return what the path of a run folder tells; `None` where it is not of the form that `run_path` gives."""
    found = _SEED_FOLDER.search(folder.as_posix())
    return RunPlace(found["setting"], found["config_hash"], int(found["seed"])) if found else None


def _safe(name: str) -> str:
    return re.sub(r"[^\w.+]+", "_", name)
