"""A configuration's values by dotted key, as the columns of a study's tables have them."""

import json
from collections.abc import Iterator
from typing import Any


def flatten(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a configuration's values by dotted key; lists and empty groups as JSON text, callbacks as one text.

    Loggers are left out: they change no number.
    """
    for key, value in config.items():
        if key == "logger" and not prefix:
            continue
        if key == "callbacks" and not prefix and isinstance(value, dict):
            yield key, _callbacks(value)
        elif isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list | dict):
            yield f"{prefix}{key}", json.dumps(value, default=str)
        else:
            yield f"{prefix}{key}", value


def unflatten(values: dict[str, Any]) -> dict[str, Any]:
    """Undo `flatten`, as far as a table's cells keep it."""
    config: dict[str, Any] = {}
    for key, value in values.items():
        *groups, last = key.split(".")
        inner = config
        for group in groups:
            inner = inner.setdefault(group, {})
        is_json = isinstance(value, str) and value[:1] in {"[", "{"}
        inner[last] = json.loads(value) if is_json else value
    return config


def _callbacks(config: dict[str, Any]) -> str:
    """Name the callbacks with their arguments: one value, since none of them has a place where others have not."""
    texts = []
    for name, node in sorted(config.items()):
        arguments = node if isinstance(node, dict) else {}
        shown = ", ".join(f"{key}={value}" for key, value in arguments.items() if key != "_target_")
        texts.append(f"{name} ({shown})" if shown else name)
    return " + ".join(texts) or "none"
