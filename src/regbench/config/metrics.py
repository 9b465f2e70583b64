"""The group `metrics` as configured: names, directions and words of what is measured besides. Imports no torch."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from regbench.config.fingerprint import recorded_code
from regbench.storage.code import is_core
from regbench.storage.schema import KINDS, TAKEN_NAMES, Kind

WORDS, HIGHER, FRACTION = "words", "higher_is_better", "fraction"
_OURS = frozenset({WORDS, HIGHER, FRACTION})
_GROUP = "metrics"
_NAME = re.compile(r"[A-Za-z]\w*")
_MONITORS = ("val/acc", "val/loss")


def check_metrics(metrics: Any) -> None:
    """Refuse metrics whose names or descriptions no results could hold.

    Args:
        metrics: The configuration's group, by name.

    Raises:
        ValueError: In one line that names the key, what was expected and what was received.
    """
    if not isinstance(metrics, Mapping):
        raise ValueError(f"{_GROUP}: expected metrics by name, or none; received {metrics!r}")
    for name, node in metrics.items():
        if name in TAKEN_NAMES:
            raise ValueError(f"{_GROUP}.{name}: expected a name that no run has a number by already; received {name!r}")
        if not _NAME.fullmatch(str(name)):
            raise ValueError(f"{_GROUP}: expected names of letters, digits and _, as in test/f1; received {name!r}")
        key = f"{_GROUP}.{name}"
        if not isinstance(node, Mapping):
            raise ValueError(f"{key}: expected keys and values with a _target_, received {node!r}")
        if HIGHER not in node:
            raise ValueError(f"{key}.{HIGHER}: missing; expected true or false")
        for flag in (HIGHER, FRACTION):
            if not isinstance(value := node.get(flag, False), bool):
                raise ValueError(f"{key}.{flag}: expected true or false; received {value!r}")
        words = node.get(WORDS, name)
        if not isinstance(words, str) or not words.strip() or not words.isprintable():
            raise ValueError(f"{key}.{WORDS}: expected the metric's name for tables and figures; received {words!r}")


def check_monitor(monitor: Any, metrics: Mapping[str, Any]) -> None:
    """Refuse a `monitor` that no epoch's validation gives.

    Raises:
        ValueError: In one line.
    """
    known = [*_MONITORS, *(f"val/{name}" for name in metrics)]
    if monitor not in known:
        shown = [repr(each) for each in known]
        raise ValueError(
            f"monitor: expected {', '.join(shown[:-1])} or {shown[-1]}; received {monitor!r}"
            + ("" if str(monitor).rpartition("/")[2] in {"acc", "loss"} else "; others are added by metrics=…")
        )


def own_kinds(metrics: Mapping[str, Any]) -> dict[str, Kind]:
    """Return what each metric of the group is, by its name."""
    return {
        str(name): Kind(str(node.get(WORDS, name)), bool(node[HIGHER]), bool(node.get(FRACTION, False)))
        for name, node in metrics.items()
    }


def arguments_of(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a metric's node without what describes it: its class and that class's arguments."""
    return {key: value for key, value in node.items() if key not in _OURS}


def higher_is_better(metric: str, metrics: Any) -> bool:
    """Tell whether a monitored metric is better when it is larger.

    Args:
        metric: `val/acc`, `probe/loss`, `val/f1`.
        metrics: The configuration's group; what is wrong with it is left to `check_metrics`.
    """
    name = str(metric).rpartition("/")[2]
    if (kind := KINDS.get(name)) is not None:
        return kind.higher_is_better
    node = metrics.get(name) if isinstance(metrics, Mapping) else None
    return bool(node.get(HIGHER)) if isinstance(node, Mapping) else False


def definitions(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return in a text each what a metric computes: its class and arguments, with the fingerprint of one's own code."""
    code = recorded_code({_GROUP: dict(metrics)})
    return {str(name): _definition(arguments_of(node), code) for name, node in metrics.items()}


def names(metrics: Any) -> Iterable[str]:
    """Return the names of a configuration's group, whatever it is."""
    return [str(each) for each in metrics] if isinstance(metrics, Mapping) else []


def _definition(node: Mapping[str, Any], code: Mapping[str, str]) -> str:
    target = str(node.get("_target_"))
    shown = (f"{key}={json.dumps(value, default=str)}" for key, value in sorted(node.items()) if key != "_target_")
    text = f"{target}({', '.join(shown)})"
    return text if is_core(target) else f"{text}, code {code.get(target, 'unknown')}"
