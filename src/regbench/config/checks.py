"""What composes and yet makes no comparable run: checked before a folder is made. Imports no torch."""

import importlib.util
import re
from collections.abc import Mapping
from typing import Any

from regbench.config.foreign_ranges import check_foreign_ranges
from regbench.config.metrics import check_metrics, check_monitor
from regbench.config.trainer_options import check_trainer

SEEDS = 2**63  # reports keep seeds as integers of 64 bits
MAX_THREADS = 1_024

_SWITCHES = ("compile", "force", "histograms", "track_test")
_NO_NAME = re.compile(r"[/\\\x00-\x1f\x7f]")
_NO_TECHNIQUE = re.compile(r"[/\\+\x00-\x1f\x7f]")  # + joins the names of several
# Packages that Lightning's loggers need, by the extra of RegBench's that installs them.
_LOGGERS = {"MLFlowLogger": "mlflow", "WandbLogger": "wandb"}
# Lightning's callbacks that write to loggers alone, and refuse to start without one.
_NEED_A_LOGGER = ("DeviceStatsMonitor", "LearningRateMonitor")
_LONGEST_NAME = 255  # bytes, of a folder's name on the usual file systems


def check_values(config: Mapping[str, Any]) -> None:
    """Refuse values of a composed configuration that no run may have.

    Constructors see to their own arguments. Here is what they take and a comparison does not, and what would already
    show in the names of folders. Finished runs of such values are read nevertheless.

    Raises:
        ValueError: In one line that names the key, what was expected and what was received.
    """
    _check_seed(config.get("seed"), "seed")
    _check_study(config.get("study"))
    for key in _SWITCHES:
        if type(switch := config.get(key, False)) is not bool:
            # Constructors would take 1 for true, and the run would have another hash than the same one with true.
            raise ValueError(f"{key}: expected true or false; received {switch!r}")
    if type(threads := config.get("threads")) is int and threads > MAX_THREADS:
        raise ValueError(f"threads: expected at most {MAX_THREADS:,}; received {threads}")
    if isinstance(dataset := config.get("dataset"), Mapping) and "split_seed" in dataset:
        _check_split_seed(dataset["split_seed"])
    if isinstance(scheduler := config.get("scheduler"), Mapping):
        _check_periods(scheduler)
    check_foreign_ranges(config)
    if isinstance(regularizer := config.get("regularizer"), Mapping):
        _check_techniques(regularizer)
    if isinstance(callbacks := config.get("callbacks"), Mapping):
        for name, node in callbacks.items():
            if isinstance(node, Mapping) and "patience" in node:
                _check_patience(node["patience"], f"callbacks.{name}.patience")
            if config.get("logger") == {}:
                _check_needs_no_logger(node, f"callbacks.{name}")
    check_metrics(metrics := config.get("metrics") or {})
    if "monitor" in config:
        check_monitor(config["monitor"], metrics)
    if isinstance(loggers := config.get("logger"), Mapping):
        for name, node in loggers.items():
            _check_logger(node, f"logger.{name}")
    if isinstance(trainer := config.get("trainer"), Mapping):
        check_trainer(trainer)
        _check_epochs(trainer.get("max_epochs"))


def _check_seed(seed: Any, key: str) -> None:
    if type(seed) is not int or not 0 <= seed < SEEDS:
        raise ValueError(f"{key}: expected an integer of at least 0 and below 2^63; received {seed!r}")


def _check_split_seed(seed: Any) -> None:
    if seed is not None and (type(seed) is not int or not 0 <= seed < SEEDS):
        raise ValueError(
            "dataset.split_seed: expected an integer of at least 0 and below 2^63, or null to follow the seed; "
            f"received {seed!r}"
        )


def _check_patience(patience: Any, key: str) -> None:
    # What is no number is refused by the callback's own signature, in its own words.
    if isinstance(patience, (bool, int, float)) and not (type(patience) is int and patience >= 0):
        raise ValueError(f"{key}: expected an integer of at least 0; received {patience!r}")


def _check_periods(scheduler: Mapping[str, Any]) -> None:
    """Refuse periods of torch's schedules by which it would divide at the first epoch's end, and not look at before."""
    for name in ("T_max", "step_size"):
        if type(period := scheduler.get(name)) is int and period < 1:
            raise ValueError(f"scheduler.{name}: expected an integer above 0; received {period}")


def _check_epochs(epochs: Any) -> None:
    # Lightning takes null for 1,000 epochs, and 2.0 for 2, which no results would hold in the end.
    if type(epochs) is not int or epochs < 1:
        received = "null" if epochs is None else repr(epochs)
        raise ValueError(
            f"trainer.max_epochs: expected 1 or more, received {received}; it is an integer, of whole epochs"
        )


def _check_techniques(regularizer: Mapping[Any, Any]) -> None:
    """Refuse techniques by whose names a report would take them for others, or a folder would lie elsewhere."""
    for name in map(str, regularizer):
        if not name.strip() or name == "none" or _NO_TECHNIQUE.search(name):
            raise ValueError(
                "regularizer: expected techniques with names of their own, without slashes and +, and not none, which "
                f"stands for no technique; received {name!r}"
            )


def _check_logger(node: Any, key: str) -> None:
    target = str(node.get("_target_")).rpartition(".")[2] if isinstance(node, Mapping) else ""
    package = _LOGGERS.get(target)
    if package is not None and importlib.util.find_spec(package) is None:
        raise ValueError(f"{key}: {target} needs {package}, which is not installed: pip install 'regbench[{package}]'")


def _check_needs_no_logger(callback: Any, key: str) -> None:
    target = str(callback.get("_target_")).rpartition(".")[2] if isinstance(callback, Mapping) else ""
    if target in _NEED_A_LOGGER:
        raise ValueError(f"{key}: expected a logger for {target} to write to, as logger=csv; received logger=none")


def _check_study(study: Any) -> None:
    if not isinstance(study, str):
        received = "null" if study is None else repr(study)
        raise ValueError(f"study: expected a name, in quotes where it is a number or the like; received {received}")
    if not study.strip() or study in {".", ".."} or _NO_NAME.search(study) or len(study.encode()) > _LONGEST_NAME:
        raise ValueError(
            f"study: expected the name of a folder below outputs/sweeps, without slashes and control characters; "
            f"received {study!r}"
        )
