"""MLflow's store of runs: opened quietly, by one process at a time where it is a file."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

_FILE = "sqlite:///"
_TALKATIVE = ("mlflow", "alembic", "pytorch_lightning.loggers.mlflow")


@contextlib.contextmanager
def opening_store(arguments: Mapping[str, Any]) -> Iterator[None]:
    """Let a logger find or make its store and its experiment: a second process at the same time would fail.

    Args:
        arguments: The logger's.
    """
    import mlflow  # noqa: F401 (sets the levels that are changed here)

    uri = str(arguments.get("tracking_uri"))
    with _alone(Path(uri.removeprefix(_FILE))) if uri.startswith(_FILE) else contextlib.nullcontext(), _quiet():
        yield


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(f".{file.name}.lock")):
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back notices about tables and experiments that are made."""
    before = {name: logging.getLogger(name).level for name in _TALKATIVE}
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
