"""Values from Python as overrides of the command line."""

from collections.abc import Iterable, Mapping
from typing import Any


def with_keywords(overrides: Iterable[str], values: Mapping[str, Any]) -> list[str]:
    """Return overrides, and those that keyword arguments stand for: `seed=1` for `"seed=1"`.

    Args:
        overrides: As on the command line.
        values: By key: text, which is read as on the command line (`"none,dropout"`), numbers, truth values, None, a
            range, and lists or dicts of these.

    Raises:
        TypeError: A value is none of these, or an override is no text; in one line that names it.
    """
    for override in overrides:
        if not isinstance(override, str):
            raise TypeError(f"expected overrides as text, such as 'regularizer=dropout'; received {override!r}")
    return [*overrides, *(f"{key}={_written(key, value)}" for key, value in values.items())]


def _written(key: str, value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, range):
        return f"range({value.start},{value.stop},{value.step})"
    if isinstance(value, list | tuple):
        return f"[{','.join(_written(key, each) for each in value)}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{name}:{_written(key, each)}' for name, each in value.items())}}}"
    raise TypeError(
        f"{key}: expected text, a number, a truth value, None, a range, or lists or dicts of these; received {value!r}"
    )
