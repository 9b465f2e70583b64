"""The options of Lightning's Trainer: which leave a comparison of runs whole, and which are refused, and why."""

import difflib
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, PositiveInt

from regbench.validation import check_value

_BUDGET = "a run's budget is whole epochs over its training images; use trainer.max_epochs"
_SIZE = "it leaves images out unseen by name, hash and report; use dataset.train_size"
_EVERY_EPOCH = "each run is validated once at each epoch's end, where its checkpoint is chosen"
_STOPPING = "stopping is a callback's: use callbacks=early_stopping callbacks.early_stopping.patience=…"
_NO_EFFECT = "it has no effect here"
_DEVICES = (
    "one run trains on one device; to use several, start several runs: a sweep (-m) trains as many at the same time as "
    "hydra.launcher.n_jobs says"
)

# What changes numbers and says so in the configuration and its hash, with the values that it takes (`null` always).
ALLOWED: dict[str, Any] = {
    "accelerator": Any,
    "precision": Literal["32-true", "bf16-mixed", "16-mixed"],
    "max_epochs": Any,
    "accumulate_grad_batches": PositiveInt,
    "gradient_clip_val": Annotated[FiniteFloat, Field(gt=0)],
    "gradient_clip_algorithm": Literal["norm", "value"],
    "deterministic": bool | Literal["warn"],
    "benchmark": bool,
    "detect_anomaly": bool,
    "inference_mode": bool,
}

# Taken with one value only, and why.
ONE_DEVICE = {"devices": _DEVICES, "num_nodes": _DEVICES, "strategy": _DEVICES}

REFUSED = {
    "logger": "loggers are a group: use logger=… or +logger.NAME._target_=…",
    "callbacks": "callbacks are a group: use callbacks=… or +callbacks.NAME._target_=…",
    "plugins": "the program gives its own, for checkpoints that survive and against a cluster's variables",
    "default_root_dir": "everything of a run lies in its folder; use hydra.run.dir",
    "enable_progress_bar": "the program shows its own bar, on a terminal alone",
    "enable_model_summary": "use regbench summary",
    "num_sanity_val_steps": _EVERY_EPOCH,
    "log_every_n_steps": "the curves are by epoch",
    "enable_checkpointing": "the chosen checkpoint is what is scored",
    "barebones": "without checkpoints and curves nothing is left to score",
    "fast_dev_run": "it trains a few batches and scores them as a run; use trainer.max_epochs=1 dataset.train_size=100",
    "overfit_batches": _SIZE,
    "limit_train_batches": _SIZE,
    "limit_val_batches": "the checkpoint would be chosen on a part of the validation images; use dataset.val_size",
    "limit_test_batches": "the whole test split is scored, once",
    "limit_predict_batches": "the whole test split is scored, once",
    "max_steps": _BUDGET,
    "min_steps": _STOPPING,
    "min_epochs": _STOPPING,
    "max_time": f"how far a run comes would depend on the machine's load; {_BUDGET}",
    "val_check_interval": _EVERY_EPOCH,
    "check_val_every_n_epoch": _EVERY_EPOCH,
    "reload_dataloaders_every_n_epochs": "the batches' order is a new one in each epoch anyway",
    "use_distributed_sampler": f"{_NO_EFFECT}; {_DEVICES}",
    "sync_batchnorm": f"{_NO_EFFECT}; {_DEVICES}",
    "profiler": "its report is not shown; profile the process from outside, say by py-spy",
    "model_registry": "weights start from the seed alone",
    "enable_autolog_hparams": _NO_EFFECT,
}

_LIGHTNINGS_OWN = "pytorch_lightning.Trainer"


def check_trainer(trainer: Mapping[str, Any]) -> None:
    """Refuse options of the node `trainer` that make no comparison, and those on which nobody has decided yet.

    Raises:
        ValueError: In one line that names the option, the reason and what to do instead.
    """
    _check_environment(str(trainer.get("_target_")))
    for name, value in trainer.items():
        key = f"trainer.{name}"
        if name in REFUSED:
            raise ValueError(f"{key}: not taken: {REFUSED[name]}")
        if name in ONE_DEVICE:
            if not _is_one_device(name, value):
                raise ValueError(
                    f"{key}: expected {'auto' if name == 'strategy' else 1}; received {value!r}: {ONE_DEVICE[name]}"
                )
        elif name in ALLOWED:
            if value is not None:
                check_value(value, ALLOWED[name], key)
        elif name != "_target_" and trainer.get("_target_") == _LIGHTNINGS_OWN:
            meant = difflib.get_close_matches(str(name), ALLOWED, n=1)
            hint = f" (did you mean {meant[0]}?)" if meant else ""
            raise ValueError(f"{key}: no such key{hint}; expected one of {', '.join([*ALLOWED, *ONE_DEVICE])}")


def check_device_count(devices: int, nodes: int) -> None:
    """Refuse more than one device: `auto` and -1 stand for as many as the machine has.

    Raises:
        ValueError: In one line that says what to do instead.
    """
    if (devices, nodes) != (1, 1):
        raise ValueError(
            f"trainer.devices: expected 1, or [INDEX] for a certain one; received what stands for {devices * nodes} "
            f"devices here: {_DEVICES}"
        )


def _check_environment(target: str) -> None:
    """Refuse options that Lightning would take from the environment, of which no configuration and no hash tells."""
    prefix = f"PL_{target.rpartition('.')[2].upper()}_"
    for name, value in os.environ.items():
        if name.startswith(prefix) and value:
            raise ValueError(
                f"{name}={value}: Lightning would take this trainer option from the environment, unseen by the run's "
                f"name, hash and report; unset {name}, and use trainer.{name.removeprefix(prefix).lower()}=… instead"
            )


def _is_one_device(name: str, value: Any) -> bool:
    """Tell whether an option names one device, or leaves their number open (`check_device_count` sees to that)."""
    if value is None or isinstance(value, bool):
        return value is None
    if name == "strategy":
        return bool(value == "auto")
    if isinstance(value, str) and name == "devices":
        indices = [part for part in value.split(",") if part.strip()]
        return value.strip() in {"auto", "1", "-1"} or ("," in value and len(indices) == 1)
    if isinstance(value, (list, tuple)) and name == "devices":
        return len(value) == 1
    return value == 1 or (name == "devices" and value == -1)
