"""A run's name, and its hash with today's code."""

from collections.abc import Mapping
from typing import Any

from regbench.config.fingerprint import counted_code
from regbench.storage.identity import digest_of, hash_of
from regbench.storage.schema import label_of, run_path

_NAMED = ("dataset", "model", "optimizer", "scheduler")


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
    return hash_of(config, counted_code(config) if code is None else code)


def config_digest(config: Mapping[str, Any], code: Mapping[str, str] | None = None) -> str:
    """Return the whole hash of which `config_hash` gives the first digits."""
    return digest_of(config, counted_code(config) if code is None else code)


def run_name(config: Mapping[str, Any]) -> str:
    """Return a run's folder below `outputs/runs` or its study's."""
    dataset, model = (label_of(config.get(group)) or "unnamed" for group in ("dataset", "model"))
    return run_path(dataset, model, setting_name(config), config_hash(config), config.get("seed"))
