"""Checks what the hooks of a technique return, so that a slip in one's own technique is told by its hook."""

import inspect
import math
from typing import Any

import torch
from torch import Tensor, nn


def check_layers(value: Any, technique: object, hook: str) -> list[nn.Module]:
    """Return the layers that a hook gave.

    Raises:
        TypeError: They are no list of layers.
    """
    if not isinstance(value, list) or not all(isinstance(each, nn.Module) for each in value):
        raise TypeError(_message(technique, hook, "a list of layers (empty for none)", value))
    return value


def check_decay(value: Any, technique: object) -> float:
    """Return the decay that a hook gave.

    Raises:
        ValueError: It is no finite number of at least 0.
    """
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not known or not 0 <= value < math.inf:
        raise ValueError(_message(technique, "decay", "a finite number of at least 0", value))
    return float(value)


def check_batch(value: Any, images: Tensor, technique: object) -> tuple[Tensor, Tensor]:
    """Return the images and targets that a hook gave.

    Raises:
        TypeError: They are no two tensors with as many examples.
    """
    whole = isinstance(value, (tuple, list)) and len(value) == 2 and all(isinstance(each, Tensor) for each in value)
    if not whole or value[0].ndim != images.ndim or value[1].ndim != 2 or len(value[0]) != len(value[1]):
        expected = f"two tensors, images {_shape(images, 'N')} and class probabilities (N, C)"
        raise TypeError(_message(technique, "on_batch", expected, value))
    return value[0], value[1]


def check_penalty(value: Any, technique: object, hook: str) -> Tensor | float:
    """Return the penalty that a hook gave.

    Raises:
        TypeError: It is no number and no tensor of one.
    """
    known = isinstance(value, Tensor) or (isinstance(value, (int, float)) and not isinstance(value, bool))
    if not known or (isinstance(value, Tensor) and value.ndim != 0):
        raise TypeError(_message(technique, hook, "a scalar tensor or a number", value))
    return value  # type: ignore[no-any-return]  # one of the two


def _message(technique: object, hook: str, expected: str, value: Any) -> str:
    kind = type(technique)
    return f"{kind.__name__}.{hook} ({_place(kind, hook)}): expected {expected}, received {_described(value)}"


def _place(kind: type, hook: str) -> str:
    function = inspect.unwrap(getattr(kind, hook))
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {_shape(value)}"
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__} of {', '.join(map(_described, value)) or 'nothing'}"
    return type(value).__name__ if isinstance(value, nn.Module) else repr(value)


def _shape(value: torch.Tensor, first: str = "") -> str:
    sides = [first or str(value.shape[0]), *map(str, value.shape[1:])] if value.ndim else []
    return f"({', '.join(sides)})"
