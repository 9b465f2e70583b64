"""Loading a finished run with its network."""

import sys
from collections.abc import Collection
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from regbench.config.fingerprint import counted_code
from regbench.config.identity import config_hash
from regbench.config.trust import check_targets
from regbench.data import ImageData
from regbench.runs.claiming import differing_code
from regbench.runs.parts import build
from regbench.storage.configs import read_config
from regbench.storage.results import DamagedError, RunResults, read_results
from regbench.storage.schema import CONFIG, FINISHED, RESULTS, WEIGHTS
from regbench.training.weights import load_weights


@dataclass(frozen=True)
class TrainedRun:
    """A finished run: its network with the chosen weights, its data (not read yet), configuration and results."""

    net: nn.Module
    data: ImageData
    config: dict[str, Any]
    results: RunResults


def load_run(folder: str | PathLike[str], trust: str | Collection[str] = ()) -> TrainedRun:
    """Return a finished run, ready to be scored or used.

    The folder may be somebody else's: its weights are read as plain tensors, and its configuration may name only
    RegBench's, PyTorch's and Lightning's classes; others are not imported.

    Args:
        folder: The run folder.
        trust: Packages whose classes the configuration may name besides.

    Raises:
        ValueError: The folder holds no finished run, a file of it is damaged, or it names a class that is not trusted.
    """
    folder = Path(folder)
    try:
        results = read_results(folder)
        if results is None or results.status != FINISHED:
            received = f"status {results.status!r}" if results else f"no {RESULTS}"
            raise ValueError(f"{folder}: expected the folder of a finished run, received {received}")
        stored = read_config(folder)
    except DamagedError as error:
        raise ValueError(f"{folder}: expected the folder of a finished run; damaged: {error}") from error
    path, config = folder / CONFIG, stored.config
    if config.get("keep") == "results" and not (folder / WEIGHTS).exists():
        raise ValueError(f"{folder}: its weights were not kept (keep=results); keep=all force=true trains it again")
    try:
        check_targets(
            {key: value for key, value in config.items() if key != "logger"},
            [trust] if isinstance(trust, str) else trust,
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if (found := config_hash(config, stored.code)) != results.config_hash:
        raise ValueError(f"{path}: damaged or changed: its hash is {found}, {RESULTS} says {results.config_hash}")
    try:
        parts = build({**config, "compile": False, "logger": {}})  # nothing is logged
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if other := differing_code(stored.code, counted_code(config)):
        print(f"{folder}: trained with other code: {other}", file=sys.stderr, flush=True)
    load_weights(parts.classifier.net, folder / WEIGHTS)
    return TrainedRun(parts.classifier.net, parts.data, config, results)
