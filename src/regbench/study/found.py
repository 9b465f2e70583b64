"""What several paths gave, put together to the tables of one study."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from regbench.storage.results import DamagedError, RunResults
from regbench.storage.schema import METRICS, TUNING, name_of
from regbench.storage.tuning import Tuning, read_tuning
from regbench.study import run_tables
from regbench.study.contradictions import MismatchError
from regbench.study.copies import contradicting
from regbench.study.margins import MARGIN, margins
from regbench.study.measured import StudyMetric
from regbench.study.rows import Identity, unfinished_row

_KEY = ("study", "dataset", "model", "setting", "config_hash", "seed")


class Row(NamedTuple):
    """A finished run's row: its own values, and those of its configuration, which many rows have in common."""

    values: dict[str, Any]
    cells: Mapping[str, Any]


class _Described(NamedTuple):
    """What is said of a run that turns out to contradict others."""

    folder: Path
    path: Path
    identity: Identity


@dataclass
class Found:
    """What the paths gave so far; `history_parts` are runs' histories in a row, or tables."""

    names: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    history_parts: list[list[tuple[dict[str, Any], dict[str, np.ndarray]]] | pd.DataFrame] = field(default_factory=list)
    unfinished: list[dict[str, Any]] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    tables: dict[str, int] = field(default_factory=dict)
    measured: dict[str, StudyMetric] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    provenance: list[dict[str, Any]] = field(default_factory=list)
    _seen: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    _by_folder: dict[str, dict[str, Any]] = field(default_factory=dict)
    _described: dict[str, _Described] = field(default_factory=dict)
    _tunings: dict[Path, Tuning | None] = field(default_factory=dict)
    _known_provenance: dict[int, dict[str, Any]] = field(default_factory=dict)

    def tuning_of(self, place: Path) -> Tuning | None:
        """Return how a study was searched; `None` where it was not, or where that cannot be read."""
        if place not in self._tunings:
            try:
                self._tunings[place] = read_tuning(place)
            except DamagedError as error:
                self._tunings[place] = None
                self.unfinished.append(unfinished_row(place / TUNING, place, "damaged", str(error), None))
        return self._tunings[place]

    def tuning(self) -> Tuning | None:
        """Return how the study was searched, where it is one."""
        return next(iter(self._tunings.values())) if len(self._tunings) == 1 else None

    def describe(self, folder: Path, path: Path, results: RunResults) -> None:
        """Remember what is to be said of a finished run, should others contradict it."""
        self._described[str(folder)] = _Described(folder, path, Identity.of(results))

    def mismatch(self, folder: str, reason: str) -> dict[str, Any]:
        """Return the row of a finished run that contradicts others."""
        run = self._described[folder]
        return unfinished_row(run.folder, run.path, "mismatch", reason, run.identity)

    def is_new(self, row: dict[str, Any]) -> bool:
        """Whether this run was not met before, and remember it; the same run may come from a folder and from a CSV.

        Raises:
            MismatchError: It was met before with other numbers.
        """
        key = tuple(row.get(name) for name in _KEY)
        known = self._seen.setdefault(key, row)
        own = [name for name in {**row, **known} if name_of(name) in self.measured]
        for name in dict.fromkeys([*METRICS, *own]) if known is not row else ():
            ours, theirs = row.get(name), known.get(name)
            # Reading a CSV may move the last bit.
            same = ours is theirs if ours is None or theirs is None else math.isclose(ours, theirs, rel_tol=1e-12)
            if not same:
                place = known.get("folder") or "a results.csv"
                raise MismatchError(f"{name} is {ours}, but {theirs} for the same run in {place}")
        return known is row

    def add_measured(self, measured: Mapping[str, StudyMetric]) -> None:
        """Add what metrics of the group `metrics` are, as a run or a table says it."""
        for name, each in measured.items():
            known = self.measured.get(name)
            self.measured[name] = each if known is None else known.joined(each)

    def add_row(self, values: dict[str, Any], cells: Mapping[str, Any]) -> None:
        """Add a finished run's row: its own values, and its configuration's, one object where these are the same."""
        self.rows.append(Row(values, cells))
        self._by_folder[values["folder"]] = values

    def tell(self, folder: str, told: dict[str, Any]) -> None:
        """Add values to a run's row, if there is one of its folder."""
        if folder in self._by_folder:
            self._by_folder[folder].update(told)

    def add_history(self, row: dict[str, Any], history: dict[str, np.ndarray]) -> None:
        """Add a run's history, which begins where the last one ended."""
        identity = {name: row.get(name) for name in run_tables.HISTORY_IDENTITY if name in row}
        last = self.history_parts[-1] if self.history_parts else None
        if isinstance(last, list):
            last.append((identity, history))
        else:
            self.history_parts.append([(identity, history)])

    def add_provenance(self, provenance: dict[str, Any]) -> None:
        """Add what is new of a run's provenance; runs share one object where it is the same."""
        if id(provenance) in self._known_provenance:
            return
        self._known_provenance[id(provenance)] = provenance
        block = {key: value for key, value in provenance.items() if key not in {"started", "code"}}
        if block and block not in self.provenance:
            self.provenance.append(block)

    def add_commands(self, commands: list[str]) -> None:
        """Add the commands that are new."""
        self.commands += [each for each in commands if each not in self.commands]

    def leave_out_contradicting(self) -> None:
        """Leave out the runs that cannot be true beside the others."""
        found = contradicting([row.values for row in self.rows])
        for place, reason in found.items():
            self.unfinished.append(self.mismatch(str(self.rows[place].values["folder"]), reason))
        self.rows = [row for place, row in enumerate(self.rows) if place not in found]

    def run_table(self) -> pd.DataFrame:
        """Return the finished runs with every value of their configurations, each column of its type."""
        values = pd.DataFrame([row.values for row in self.rows])
        values = run_tables.tidy(values.assign(**{MARGIN: margins(values)}))
        distinct = {id(row.cells): row.cells for row in self.rows}
        places = {each: place for place, each in enumerate(distinct)}
        cells = run_tables.tidy(pd.DataFrame(list(distinct.values())))
        taken = cells.take([places[id(row.cells)] for row in self.rows]).set_axis(values.index)
        return pd.concat([values, taken], axis=1)

    def history_table(self) -> pd.DataFrame:
        """Return the epochs of all runs, in the order in which they were added."""
        tables = [each if isinstance(each, pd.DataFrame) else _stacked(each) for each in self.history_parts]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _stacked(runs: list[tuple[dict[str, Any], dict[str, np.ndarray]]]) -> pd.DataFrame:
    """Put histories below each other, with what identifies their runs in each row."""
    lengths = np.array([len(history["epoch"]) for _, history in runs])
    runs_of_rows = np.repeat(np.arange(len(runs)), lengths)
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(name for identity, _ in runs for name in identity):
        values = [identity.get(name) for identity, _ in runs]
        series = pd.Series(values, dtype=object if None in values else None)
        columns[name] = series.take(runs_of_rows).reset_index(drop=True)
    for name in dict.fromkeys(name for _, history in runs for name in history):
        parts = [
            history[name] if name in history else np.full(length, np.nan)
            for (_, history), length in zip(runs, lengths, strict=True)
        ]
        columns[name] = np.concatenate(parts)
    return pd.DataFrame(columns)
