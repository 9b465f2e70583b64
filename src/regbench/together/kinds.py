"""Which runs can be trained together: those of one kind, whose differences can be stacked. Imports no torch."""

import json
from collections.abc import Mapping
from typing import Any

from regbench.storage.identity import identity

# Of what decides a run's numbers, a member's own trainer and data see to these.
_OWN = ("scheduler", "callbacks", "monitor", "metrics")
_DROPOUT = "regbench.regularizers.dropout.Dropout"
_DECAY = "regbench.regularizers.weight_decay.WeightDecay"
_TRAINER = ("_target_", "max_epochs", "accelerator", "devices", "precision", "deterministic", "benchmark")
_CALLBACKS = ("pytorch_lightning.callbacks.EarlyStopping", "pytorch_lightning.callbacks.LearningRateMonitor")
_PRECISIONS = ("32-true", "32", 32)


def kind_of(config: Mapping[str, Any]) -> str:
    """Return what is the same for runs that can be trained as one program.

    They may differ in their seeds, splits, learning rate, schedule, weight decay and dropout's p, and in what their
    own callbacks and metrics do at an epoch's end.

    Args:
        config: A run's composed configuration.
    """
    kept = {key: value for key, value in identity(config).items() if key not in _OWN}
    kept["dataset"] = {key: value for key, value in kept["dataset"].items() if key != "split_seed"}
    kept["optimizer"] = {key: value for key, value in kept["optimizer"].items() if key not in {"lr", "name"}}
    kept["regularizer"] = _shape_of(config["regularizer"])
    return json.dumps(kept, sort_keys=True)


def obstacle(config: Mapping[str, Any]) -> str | None:
    """Return in one line why a run cannot be trained with others, as far as its configuration tells; else `None`."""
    trainer = config["trainer"]
    if trainer.get("precision", "32-true") not in _PRECISIONS:
        return f"trainer.precision: {trainer['precision']} is not 32-true"
    if trainer.get("devices", 1) != 1:
        return f"trainer.devices: {trainer['devices']} is not 1"
    for name, node in config["callbacks"].items():
        if (target := node.get("_target_")) not in _CALLBACKS:
            return f"callbacks.{name}: {target} is none of {', '.join(_CALLBACKS)}, which leave members as they are"
    for key, value in trainer.items():
        if key not in _TRAINER and value is not None:
            return f"trainer.{key}: not known to training together"
    return None


def _shape_of(techniques: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return techniques without their names and without the strengths in which members may differ."""
    kept: list[Mapping[str, Any]] = []
    for _, node in sorted(techniques.items()):
        target = node.get("_target_")
        if target == _DECAY or (target == _DROPOUT and node.get("p") == 0):
            continue
        kept.append({key: value for key, value in node.items() if (target, key) != (_DROPOUT, "p")})
    return kept
