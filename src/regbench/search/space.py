"""What is searched: ranges by key of a run's configuration, from the YAML that stands beside each technique."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import optuna
from hydra.core.override_parser.types import Override
from pydantic import ValidationError

from regbench.storage.tuning import Range, Value
from regbench.study.flat_config import flatten

Space = dict[str, Range]

# All that a setting may choose for itself; data, epochs and precision are the same for all.
_SEARCHED = ("regularizer", "optimizer", "scheduler", "callbacks")


def read_space(node: Any, config: Mapping[str, Any]) -> Space:
    """Return the ranges of a search space, sorted by key.

    Args:
        node: The configuration's `space`, nested as the configuration itself.
        config: The run's configuration, in which each key must exist.

    Raises:
        ValueError: A range is none, or its key does not exist; in one line that names it.
    """
    space = read_ranges(node)
    for key in space:
        _check_key(key, config)
    return space


def read_ranges(node: Any) -> Space:
    """Return the ranges of a search space, sorted by key, whether or not a configuration has these keys.

    Raises:
        ValueError: A range is none; in one line that names it.
    """
    if not isinstance(node, Mapping):
        raise ValueError(f"space: expected ranges by key, received {node!r}")
    return {key: _read_range(key, each) for key, each in sorted(_leaves(node, ""))}


def not_given(space: Space, overrides: Iterable[Override]) -> Space:
    """Return the ranges of those keys that no override gives a value, whether as they are or within a mapping."""
    given: set[str] = set()
    for each in overrides:
        value = each.value()
        given |= {key for key, _ in flatten(value, f"{each.key_or_group}.")} if isinstance(value, dict) else set()
        given.add(each.key_or_group)
    return {key: searched for key, searched in space.items() if key not in given}


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Value]:
    """Return the values that a trial tries; those that it has already stay."""
    return readable({key: _suggest(trial, key, each) for key, each in space.items()}, space)


def readable(proposed: Mapping[str, Value], space: Space) -> dict[str, Value]:
    """Return what is trained of what Optuna proposed: numbers of three digits, which one can read and type."""
    return {key: _rounded(value, space[key]) for key, value in sorted(proposed.items())}


def _rounded(value: Value, searched: Range) -> Value:
    if not isinstance(value, float) or searched.step is not None or searched.low is None or searched.high is None:
        return value
    return min(max(float(f"{value:.3g}"), float(searched.low)), float(searched.high))


def _read_range(key: str, node: Mapping[str, Any]) -> Range:
    try:
        return Range.model_validate(dict(node))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["space", key, *map(str, first["loc"][:1])])
        if first["type"] == "extra_forbidden":
            raise ValueError(f"{place}: no such key; expected {', '.join(Range.model_fields)}") from error
        message = first["msg"].removeprefix("Value error, ").replace("Input should be ", "expected ")
        received = "" if first["type"] == "value_error" else f"; received {first['input']!r}"
        raise ValueError(f"{place}: {message}{received}") from error


def _suggest(trial: optuna.Trial, key: str, searched: Range) -> Value:
    if searched.choices is not None:
        return trial.suggest_categorical(key, searched.choices)  # type: ignore[return-value]  # one of them
    low, high, step = searched.low, searched.high, searched.step
    if isinstance(low, int) and isinstance(high, int) and isinstance(step, int):
        return trial.suggest_int(key, low, high, step=step)
    if low is None or high is None:
        raise ValueError(f"space.{key}: expected low and high")
    return trial.suggest_float(key, low, high, log=searched.log, step=step)


def _leaves(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the ranges by dotted key: mappings that hold no further mapping."""
    for name, each in node.items():
        key = f"{prefix}{name}"
        if not isinstance(each, Mapping) or (not each and prefix):
            raise ValueError(f"space.{key}: expected {{low: …, high: …}} or {{choices: […]}}, received {each!r}")
        if any(isinstance(value, Mapping) for value in each.values()) or not each:
            yield from _leaves(each, f"{key}.")
        else:
            yield key, each


def _check_key(key: str, config: Mapping[str, Any]) -> None:
    if key.partition(".")[0] not in _SEARCHED:
        raise ValueError(
            f"space.{key}: expected a key of {', '.join(_SEARCHED)}: data and epochs are the same for all settings"
        )
    node: Any = config
    *parents, last = key.split(".")
    for part in parents:
        node = node.get(part) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping) or last not in node:
        known = ", ".join(str(each) for each in node if each != "_target_") if isinstance(node, Mapping) else "none"
        raise ValueError(f"space.{key}: no such key; expected one of {known or 'none'}")
