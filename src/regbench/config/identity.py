"""A run's name and hash: what makes two configurations the same run."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from regbench.config.fingerprint import counted_code
from regbench.config.moved import stable_target
from regbench.storage.schema import label_of, run_path

_NAMED = ("dataset", "model", "optimizer", "scheduler")
_NOT_IDENTITY = ("hydra", "seed", "study", "histograms", "force")
# flip reaches the numbers by augmentation's own key alone, and the margin only judges them.
_NOT_IDENTITY_OF_DATASET = ("root", "flip", "margin")
# Their YAMLs once had a key without effect; it stays in the hash, so that stored runs are still found.
_PARTIAL = {"_partial_": True}


def setting_name(config: Mapping[str, Any]) -> str:
    """Return the regularizers' names in alphabetical order joined by `+`, or `none`."""
    return "+".join(sorted(config.get("regularizer") or {})) or "none"


def with_names(config: Mapping[str, Any], choices: Mapping[str, Any]) -> dict[str, Any]:
    """Name dataset, model, optimizer and scheduler by their YAML's file where they have no `name` of their own.

    Args:
        config: The composed configuration.
        choices: The option of each group, as Hydra knows it.
    """
    named = dict(config)
    for group in _NAMED:
        node, option = config.get(group), choices.get(group)
        if isinstance(node, Mapping) and node.get("name") is None and option:
            named[group] = {**node, "name": str(option).rpartition("/")[2]}
    return named


def config_hash(config: Mapping[str, Any], code: Mapping[str, str] | None = None) -> str:
    """Return six hexadecimal digits that tell runs apart, seeds and places of files left out.

    Args:
        config: The composed configuration.
        code: What counts of the code that it names, as a stored run records it; today's unless given.
    """
    counted = counted_code(config) if code is None else code
    described = identity(config) | ({"code": dict(counted)} if counted else {})
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:6]


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that decides a run's numbers, but for the seed and the code."""
    kept = {key: value for key, value in config.items() if key not in _NOT_IDENTITY}
    if isinstance(dataset := kept.get("dataset"), Mapping):
        kept["dataset"] = {key: value for key, value in dataset.items() if key not in _NOT_IDENTITY_OF_DATASET}
    for group in ("optimizer", "scheduler"):
        if isinstance(node := kept.get(group), Mapping):
            kept[group] = {**node, **_PARTIAL}
    return {str(key): _canonical(value) for key, value in kept.items()}


def run_name(config: Mapping[str, Any]) -> str:
    """Return a run's folder below `outputs/runs` or its study's."""
    dataset, model = (label_of(config.get(group)) or "unnamed" for group in ("dataset", "model"))
    return run_path(dataset, model, setting_name(config), config_hash(config), config.get("seed"))


def _canonical(value: Any) -> Any:
    """Write equal numbers alike (0 and 0.0), and a class by the same path wherever it was moved to."""
    if isinstance(value, Mapping):
        return {
            str(key): stable_target(each) if key == "_target_" and isinstance(each, str) else _canonical(each)
            for key, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_canonical(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
