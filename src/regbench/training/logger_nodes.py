"""The loggers that a configuration names: Lightning's classes with their arguments, not made yet."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from regbench.config.objects import construct_partial, find_class
from regbench.storage.schema import CSV_LOG, TENSORBOARD

# What a run without the key `logger` had, in configurations from before there was one.
DEFAULT = {"tensorboard": {"_target_": "pytorch_lightning.loggers.TensorBoardLogger"}}

_ONE_EACH = (TensorBoardLogger, CSVLogger)  # whose folder is always the same


@dataclass(frozen=True)
class LoggerNode:
    """A logger of a configuration, not made yet.

    Attributes:
        key: Its place in the configuration.
        kind: Its class.
        arguments: Those of the configuration.
        make: Makes it, given what `place_of` says.
    """

    key: str
    kind: type[Logger]
    arguments: Mapping[str, Any]
    make: Callable[..., Logger]


def read_loggers(nodes: Mapping[str, Any]) -> list[LoggerNode]:
    """Return the loggers of a configuration, in alphabetical order.

    Raises:
        ValueError: A node is no logger, has an unknown or wrong argument, or two would write to one place; in one line.
    """
    read: list[LoggerNode] = []
    kinds: dict[type[Logger], str] = {}
    for name, node in sorted(nodes.items()):
        key = f"logger.{name}"
        kind: type[Logger] = find_class(node, Logger, key)  # type: ignore[type-abstract]  # subclasses of it
        for each in _ONE_EACH:
            if issubclass(kind, each) and (other := kinds.setdefault(each, key)) != key:
                raise ValueError(f"{key}: expected one {each.__name__}, since its folder is the run's; {other} is one")
        make = construct_partial(node, kind, key, given=tuple(place_of(kind, Path(), "", None)))
        read.append(LoggerNode(key, kind, node, make))
    return read


def place_of(kind: type[Logger], folder: Path, name: str, purge_step: int | None) -> dict[str, Any]:
    """Return the arguments by which a logger belongs to a run; its configuration may not give them.

    Args:
        kind: The logger's class.
        folder: The run folder.
        name: The run's name.
        purge_step: From which step on TensorBoard drops what was written.
    """
    if issubclass(kind, TensorBoardLogger):
        place = {"save_dir": folder, "name": "", "version": TENSORBOARD}
        return {**place, "default_hp_metric": False, "purge_step": purge_step}
    if issubclass(kind, CSVLogger):
        return {"save_dir": folder, "name": "", "version": CSV_LOG}
    if issubclass(kind, WandbLogger):
        # Several runs may be trained in one process, at the same time or one after another.
        apart = {"reinit": "create_new", "settings": {"console": "off"}, "mode": None}
        return {"save_dir": folder, "name": name, **apart}
    if issubclass(kind, MLFlowLogger):
        return {"run_name": name}
    return {"save_dir": folder} if "save_dir" in inspect.signature(kind).parameters else {}
