"""Reads finished runs into tidy tables."""

from dataclasses import dataclass
from os import PathLike
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Study:
    """Runs of one or several studies as tables; accuracies are fractions, epochs count from 0, times are seconds.

    Attributes:
        name: The studies' names joined by ` + `.
        runs: One row a finished run: `study`, `dataset`, `model`, `setting`, `label`, the other values of
            `results.json`, `folder` (empty where read from a CSV) and a column `config/<dotted.key>` for each value
            of the configuration that differs.
        history: Those runs' rows of `history.csv` with `study`, `dataset`, `model`, `label`, `setting`,
            `config_hash` and `seed`.
        unfinished: `folder`, `study`, `setting`, `label`, `seed`, `status` (failed, diverged, interrupted, missing or
            damaged) and `reason` of every other run.
        commands: What started the runs, as far as known.
        configs: Composed configurations by `config_hash`; empty where read from a CSV.
        provenance: The distinct blocks of versions, commit, data and device.
    """

    name: str
    runs: pd.DataFrame
    history: pd.DataFrame
    unfinished: pd.DataFrame
    commands: list[str]
    configs: dict[str, dict[str, Any]]
    provenance: list[dict[str, Any]]


def load(*paths: str | PathLike[str]) -> Study:
    """Read studies: their folders, single runs, a report's folder or its `results.csv`."""
    raise NotImplementedError
