"""Ranges of arguments that torch's and Lightning's constructors check late or not at all. Imports no torch."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, FiniteFloat

from regbench.validation import check_value

_Rate = Annotated[FiniteFloat, Field(ge=0)]
_Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
_Inertia = Annotated[FiniteFloat, Field(ge=0, lt=1)]  # at 1, gradients of the past never fade

_SCHEDULES = "torch.optim.lr_scheduler."
_OF_OPTIMIZERS = {"lr": _Rate, "momentum": _Inertia, "betas": list[_Inertia]}
_OF_SCHEDULES = {"pct_start": _Share}
_OF_AVERAGES = {"decay": _Share}


def check_foreign_ranges(config: Mapping[str, Any]) -> None:
    """Refuse rates and shares out of their range.

    Args:
        config: The configuration in plain containers.

    Raises:
        ValueError: In one line that names the key, what was expected and what was received.
    """
    for key, node, ranges in _nodes(config):
        for name, hint in ranges.items():
            if name in node:
                check_value(node[name], hint, f"{key}.{name}")


def _nodes(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Yield key and node of each class of theirs, with the ranges of its arguments."""
    for group in ("optimizer", "scheduler"):
        target = _target(node := config.get(group))
        if target.startswith(_SCHEDULES):
            yield group, node or {}, _OF_SCHEDULES
        elif target.startswith("torch.optim."):
            yield group, node or {}, _OF_OPTIMIZERS
    callbacks = config.get("callbacks")
    for name, node in callbacks.items() if isinstance(callbacks, Mapping) else ():
        if _target(node).rpartition(".")[2] == "EMAWeightAveraging":
            yield f"callbacks.{name}", node, _OF_AVERAGES


def _target(node: Any) -> str:
    return str(node.get("_target_")) if isinstance(node, Mapping) else ""
