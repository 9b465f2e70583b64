"""Checks arguments by their annotations, as pydantic reads them, and tells what is wrong in one line.

So a constructor states a range where it states a type: `p: Annotated[FiniteFloat, Field(ge=0, lt=1)]`.
"""

import functools
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

P = ParamSpec("P")
R = TypeVar("R")

_OPEN_ENDED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_ANY_CLASS = ConfigDict(arbitrary_types_allowed=True)
# How JSON Schema calls bounds, and how they read in an interval and alone.
_LOWER = {"minimum": ("[", "of at least"), "exclusiveMinimum": ("(", "above")}
_UPPER = {"maximum": ("]", "of at most"), "exclusiveMaximum": (")", "below")}
_PYDANTIC_FRAME = re.compile(r"^\w+ should (?:be|have) | after validation, not .*$")


def validated(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function convert and check its arguments by its annotations on each call, by `check_value`."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            call = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{function.__qualname__}: {error}") from None
        hints = annotations(function)
        for name, value in call.arguments.items():
            if name in hints and signature.parameters[name].kind not in _OPEN_ENDED:
                call.arguments[name] = check_value(value, hints[name], name)
        return function(*call.args, **call.kwargs)

    return checked


@functools.cache
def annotations(function: Callable[..., Any]) -> Mapping[str, Any]:
    """Return the annotations of a function's or a constructor's arguments with the constraints that they declare.

    There are none where they name what cannot be resolved, as in some foreign classes.
    """
    if isinstance(function, type):
        function = function.__init__  # type: ignore[misc]  # of the very class
    try:
        return typing.get_type_hints(inspect.unwrap(function), include_extras=True)
    except NameError:
        return {}


def check_value(value: Any, hint: Any, key: str) -> Any:
    """Return `value`, converted to what `hint` asks for; as it is where pydantic knows no check for the hint.

    Raises:
        ValueError: The value does not fit, in one line that begins with `key`. True and false are no numbers.
    """
    try:
        adapter = _adapter(hint)
    except (PydanticUserError, TypeError):
        return value
    try:
        converted = adapter.validate_python(value)
    except ValidationError as error:
        raise ValueError(_describe(error, adapter, value, key)) from None
    if isinstance(value, bool) and type(converted) in {int, float}:
        number = "an integer" if isinstance(converted, int) else "a number"
        raise ValueError(f"{key}: expected {_range(adapter, depth=0) or number}; received {value!r}")
    return converted


@functools.cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    # A class that brings a configuration of its own for pydantic takes no second one.
    if isinstance(hint, type) and hasattr(hint, "__pydantic_config__"):
        return TypeAdapter(hint)
    return TypeAdapter(hint, config=_ANY_CLASS)


def _describe(error: ValidationError, adapter: TypeAdapter[Any], value: Any, key: str) -> str:
    """Say what was expected and received, at the first place of a list that is wrong."""
    details = [([part for part in each["loc"] if isinstance(part, int)], each) for each in error.errors()]
    place, first = details[0]
    if first["type"] == "missing" and place:
        # Of a tuple that is too short, pydantic names each place that is left.
        return f"{_at(key, place[:-1])}: expected {details[-1][0][-1] + 1} items; received {first['input']!r}"
    messages = dict.fromkeys(_PYDANTIC_FRAME.sub("", each["msg"]) for at, each in details if at == place)
    expected = _range(adapter, depth=len(place)) or " or ".join(messages)
    received = first["input"] if place else value
    return f"{_at(key, place)}: expected {expected}; received {received!r}"


def _at(key: str, place: list[int]) -> str:
    return key + "".join(f"[{index}]" for index in place)


def _range(adapter: TypeAdapter[Any], *, depth: int) -> str | None:
    """Return the whole range of a number (that is `depth` lists deep) in words, if one is declared."""
    try:
        schema = adapter.json_schema()
    except PydanticUserError:
        return None
    for _ in range(depth):
        schema = schema.get("items", {})
    integer = schema.get("type") == "integer"
    lower = [(schema[key], *words) for key, words in _LOWER.items() if key in schema]
    upper = [(schema[key], *words) for key, words in _UPPER.items() if key in schema]
    if lower and upper:
        ((low, left, _),), ((high, right, _),) = lower, upper
        return f"{'an integer' if integer else 'a number'} in {left}{low}, {high}{right}"
    for bound, _, relation in lower + upper:
        return f"{'an integer' if integer else 'a finite number'} {relation} {bound}"
    return None
