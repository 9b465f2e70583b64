"""What makes two configurations the same run: the part of them that decides its numbers. Imports no torch."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from regbench.storage.moved import stable_target

_DIGITS = 6
_NOT_IDENTITY = ("hydra", "seed", "study", "histograms", "logger", "force", "keep")
_METRICS = "metrics"
# How a metric is shown; its direction decides where it is monitored.
_SHOWN = ("words", "fraction")
# flip reaches the numbers by augmentation's own key alone, the margin only judges them, and light_on_dark is about
# image files for a trained network.
_NOT_IDENTITY_OF_DATASET = ("root", "flip", "margin", "light_on_dark")
# Their YAMLs once had a key without effect; it stays in the hash, so that stored runs are still found.
_PARTIAL = {"_partial_": True}
# Keys that RegBench's own classes did not have at first, with the values that say what was so without them.
_LATER = {"dataset": {"channels": 1}, "model": {"channels": 1}}


def hash_of(config: Mapping[str, Any], code: Mapping[str, str]) -> str:
    """Return six hexadecimal digits that tell runs apart, seeds and places of files left out.

    Of a thousand configurations two have the same six digits with a probability of 3 %; `digest_of` tells these apart.

    Args:
        config: The composed configuration.
        code: What counts of the code that it names.
    """
    return digest_of(config, code)[:_DIGITS]


def digest_of(config: Mapping[str, Any], code: Mapping[str, str]) -> str:
    """Return the whole hash of which `hash_of` gives the first digits."""
    described = identity(config) | ({"code": dict(code)} if code else {})
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that decides a run's numbers, but for the seed and the code."""
    kept = {
        key: value for key, value in without_measured(without_later_keys(config)).items() if key not in _NOT_IDENTITY
    }
    for name, node in kept.get(_METRICS, {}).items():
        if isinstance(node, Mapping):
            kept[_METRICS][name] = {key: value for key, value in node.items() if key not in _SHOWN}
    if isinstance(dataset := kept.get("dataset"), Mapping):
        kept["dataset"] = {key: value for key, value in dataset.items() if key not in _NOT_IDENTITY_OF_DATASET}
    for group in ("optimizer", "scheduler"):
        if isinstance(node := kept.get(group), Mapping):
            kept[group] = {**node, **_PARTIAL}
    return {str(key): _canonical(value) for key, value in kept.items()}


def without_measured(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without the metrics that are measured alone: no checkpoint or callback goes by them."""
    kept = {key: value for key, value in config.items() if key != _METRICS}
    metrics, callbacks = config.get(_METRICS), config.get("callbacks")
    watched = {each.rpartition("/")[2] for each in _texts([config.get("monitor"), callbacks])}
    if isinstance(metrics, Mapping) and (deciding := watched & {str(name) for name in metrics}):
        kept[_METRICS] = {name: node for name, node in metrics.items() if str(name) in deciding}
    return kept


def _texts(node: Any) -> Iterator[str]:
    """Yield all texts among values, however deep: a callback may have any key for what it goes by."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for each in node.values():
            yield from _texts(each)
    elif isinstance(node, (list, tuple)):
        for each in node:
            yield from _texts(each)


def without_later_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without the keys that came later, where they say what was so before there were any."""
    kept = dict(config)
    for group, later in _LATER.items():
        if isinstance(node := config.get(group), Mapping) and str(node.get("_target_")).startswith("regbench."):
            kept[group] = {key: value for key, value in node.items() if key not in later or value != later[key]}
    return kept


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
