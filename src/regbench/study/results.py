"""Reads finished runs into tidy tables, and names every run that is not finished."""

import math
import shlex
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from regbench.storage.results import DamagedError, read_results
from regbench.storage.schema import (
    CONFIG,
    FINISHED,
    HISTORY,
    METRICS,
    PROVENANCE,
    RESULTS,
    SWEEP,
    TUNING,
)
from regbench.storage.study_folder import Plan, find_runs, read_plan
from regbench.storage.tuning import Tuning, read_tuning
from regbench.study import run_folders, run_tables
from regbench.study.contradictions import MismatchError
from regbench.study.copies import LABELS, LOGITS, contradicting
from regbench.study.margins import MARGIN, margins
from regbench.study.rows import place_below, run_row, unfinished_row
from regbench.study.run_tables import COLUMNS, DATA, HISTORY_COLUMNS, UNFINISHED_COLUMNS
from regbench.study.settings import (
    drop_constant_values,
    drop_known_code,
    label_settings,
    unflatten,
)
from regbench.study.verification import Verified, Verifier

# Of runs that were left out although they ended, unlike those that a half-finished study still lacks.
LEFT_OUT = frozenset({"failed", "diverged", "damaged", "mismatch"})

_REASONS = {
    "failed": "failed; error.txt has the traceback",
    "diverged": "the loss was no longer finite",
    "interrupted": "interrupted before its last epoch",
    "running": "no results.json: still running, or killed",
    "missing": "planned, and not started",
}


@dataclass(frozen=True)
class Study:
    """Runs of one or several studies as tables; accuracies are fractions, epochs count from 0, times are seconds.

    Attributes:
        name: The studies' names joined by ` + `.
        runs: One row per finished run: `study`, `dataset`, `model`, `setting`, `label`, the other values of
            `results.json`, `margin` (the smallest difference in test accuracy that matters on the data set, a
            fraction), `folder` (empty where read from a CSV), a column
            `config/regularizer.<technique>.<parameter>` for each parameter of a technique, and a column
            `config/<dotted.key>` for each other value of the configuration that differs and does not follow from the
            columns before. `code/regularizer` and `code/rest` tell runs of different code apart, where any is not
            RegBench's known code. `stages` and `added_after` are there where seeds came in stages or were added later.
        history: Those runs' rows of `history.csv` with `study`, `dataset`, `model`, `setting`, `label`,
            `config_hash`, `seed` and `split_seed`.
        unfinished: `folder` (below the study's), `study`, `dataset`, `model`, `setting`, `label`, `config_hash`,
            `seed`, `status` and `reason` (one line) of every other run. The status is failed, diverged, interrupted,
            missing, damaged (a file is not what a run writes) or mismatch (the recorded numbers are not those of its
            history or its predictions); a `sweep.json` that could not be read is listed as rebuilt.
        unverified: The folders (below the study's) of finished runs without `predictions.npz`: nothing shows that
            their test metrics are right.
        commands: What started the runs, as far as known.
        configs: Composed configurations by `config_hash`, without seed and study; empty where read from a CSV.
        provenance: The distinct blocks of versions, commit, data and device.
        tuning: How the settings were searched, where one study is read that was tuned.
    """

    name: str
    runs: pd.DataFrame
    history: pd.DataFrame
    unfinished: pd.DataFrame
    unverified: list[str]
    commands: list[str]
    configs: dict[str, dict[str, Any]]
    provenance: list[dict[str, Any]]
    tuning: Tuning | None = None


def load(*paths: str | PathLike[str]) -> Study:
    """Read studies into tables.

    The test metrics of every run are computed from its `predictions.npz` and compared with the recorded ones; what was
    computed is remembered in `.verified.json` in each folder given, where it can be written.

    Args:
        paths: Folders of studies, of single runs or of one run, and `results.csv` files that a report wrote
            (`history.csv` beside them) or the folders that hold these. A run that several paths give counts once.

    Raises:
        FileNotFoundError: A path does not exist.
        ValueError: A path holds no run.
    """
    if not paths:
        raise ValueError("study: expected the path of a study, a run or a results.csv, got none")
    found = _Found()
    for path in map(Path, paths):
        table = _table_of(path)
        if table is not None:
            _read_table(table, found)
        else:
            _read_folders(path, found)
    return found.study()


@dataclass
class _Found:
    """What the paths gave so far."""

    names: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    histories: list[pd.DataFrame] = field(default_factory=list)
    unfinished: list[dict[str, Any]] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    provenance: list[dict[str, Any]] = field(default_factory=list)
    seen: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    # By folder, what is said of a run that turns out to contradict others.
    described: dict[str, dict[str, Any]] = field(default_factory=dict)
    tunings: dict[Path, Tuning | None] = field(default_factory=dict)

    def tuning_of(self, place: Path) -> Tuning | None:
        """Return how a study was searched; `None` where it was not, or where that cannot be read."""
        if place not in self.tunings:
            try:
                self.tunings[place] = read_tuning(place)
            except DamagedError as error:
                self.tunings[place] = None
                self.unfinished.append(unfinished_row(place / TUNING, place, "damaged", str(error), None))
        return self.tunings[place]

    def is_new(self, row: dict[str, Any]) -> bool:
        """Whether this run was not met before, and remember it; the same run may come from a folder and from a CSV.

        Raises:
            MismatchError: It was met before with other numbers.
        """
        key = tuple(row.get(name) for name in ("study", "dataset", "model", "setting", "config_hash", "seed"))
        known = self.seen.setdefault(key, row)
        for name in METRICS if known is not row else ():
            ours, theirs = row.get(name), known.get(name)
            # Reading a CSV may move the last bit.
            same = ours is theirs if ours is None or theirs is None else math.isclose(ours, theirs, rel_tol=1e-12)
            if not same:
                place = known.get("folder") or "a results.csv"
                raise MismatchError(f"{name} is {ours}, but {theirs} for the same run in {place}")
        return known is row

    def leave_out_contradicting(self) -> None:
        """Leave out the runs that cannot be true beside the others."""
        found = contradicting(self.rows)
        for place, reason in found.items():
            self.unfinished.append(self.described[str(self.rows[place]["folder"])] | {"reason": reason})
        self.rows = [row for place, row in enumerate(self.rows) if place not in found]

    def study(self) -> Study:
        self.leave_out_contradicting()
        rows = pd.DataFrame(self.rows)
        runs = run_tables.tidy(rows.assign(**{MARGIN: margins(rows)}))
        if len(runs):
            runs = drop_known_code(runs.drop(columns=[LOGITS, LABELS], errors="ignore"))
            if DATA not in runs or (runs.groupby("dataset")[DATA].nunique() < 2).all():
                runs = runs.drop(columns=DATA, errors="ignore")
            runs["label"] = label_settings(runs)
            runs = drop_constant_values(runs, run_tables.searched_keys(runs))
        runs = runs.reindex(columns=run_tables.ordered(runs.columns, COLUMNS))
        labels = dict(zip(runs["config_hash"], runs["label"], strict=True))

        history = pd.concat(self.histories, ignore_index=True) if self.histories else pd.DataFrame()
        if len(history):
            history["label"] = run_tables.by_run(history, runs, "label")
            history = history.dropna(subset="label").reset_index(drop=True)
            history = history.astype({"epoch": int, "seed": int})
        history = history.reindex(columns=run_tables.ordered(history.columns, HISTORY_COLUMNS))

        unfinished = pd.DataFrame(self.unfinished, columns=UNFINISHED_COLUMNS)
        known = unfinished["config_hash"].map(labels)
        unfinished["label"] = known.where(known.notna(), unfinished["setting"])
        unfinished = unfinished.drop_duplicates(["folder", "status"], ignore_index=True)
        name = " + ".join(dict.fromkeys(self.names))
        tunings = list(self.tunings.values())
        tuning = tunings[0] if len(tunings) == 1 else None
        return Study(
            name, runs, history, unfinished, self.unverified, self.commands, self.configs, self.provenance, tuning
        )


def _table_of(path: Path) -> Path | None:
    """Return the `results.csv` that a path means; None for a folder of runs."""
    if path.is_file():
        if path.suffix != ".csv":
            raise ValueError(f"{path}: expected a folder or a results.csv")
        return path
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: expected a folder of runs or a results.csv, found nothing there")
    inside = path / "results.csv"
    return inside if inside.is_file() and not (path / SWEEP).exists() else None


def _read_folders(path: Path, found: _Found) -> None:
    folders, sweeps = find_runs(path)
    if not folders and not sweeps:
        raise ValueError(f"{path}: expected folders with results.json or a results.csv, found neither")
    found.tuning_of(path.absolute())
    names: list[str] = []
    verifier = Verifier(path)
    verifier.prepare(folders)
    for folder in folders:
        status, reason = "damaged", ""
        try:
            results = read_results(folder)
            if results is not None and results.status == FINISHED:
                run = run_folders.read_run(folder, results)
                verified = verifier.check(run)
                found.described[str(folder)] = unfinished_row(folder, path, "mismatch", "", results)
                names.append(_add_run(run, path, found, verified))
                found.unverified += [] if verified else [place_below(folder, path)]
                continue
            status = "running" if results is None else results.status
            reason = (results.error if results else None) or _REASONS[status]
        except MismatchError as error:
            status, reason = "mismatch", str(error)
        except DamagedError as error:
            results, reason = None, str(error)
        status = "interrupted" if status == "running" else status
        found.unfinished.append(unfinished_row(folder, path, status, reason, results))
    if folders != [path]:
        verifier.remember()
    for sweep in sweeps:
        try:
            plan = read_plan(sweep)
        except DamagedError as error:
            reason = f"{error}; rebuilt from the run folders, so runs that had not started are not known"
            found.unfinished.append(unfinished_row(sweep, path, "rebuilt", reason, None))
            continue
        found.commands += [command for command in plan.commands if command not in found.commands]
        _tell_design(found.rows, sweep.parent, plan)
        for folder in (sweep.parent / name for name in plan.runs):
            if not (folder / RESULTS).exists() and not (folder / CONFIG).exists():
                found.unfinished.append(unfinished_row(folder, path, "missing", _REASONS["missing"], None))
    distinct = set(names)
    found.names.append(names[0] if len(distinct) == 1 else path.resolve().name)


def _tell_design(rows: list[dict[str, Any]], folder: Path, plan: Plan) -> None:
    """Write into a sweep's rows whether its seeds come in stages, and which were added to finished ones."""
    stages = ", ".join(map(str, plan.stages))
    planned = {str(folder / name): plan.added.get(name) for name in plan.runs}
    for row in rows:
        if row["folder"] in planned:
            told = {run_tables.STAGES: stages or None, run_tables.ADDED_AFTER: planned[row["folder"]]}
            row.update({name: value for name, value in told.items() if value is not None})


def _add_run(run: run_folders.Run, path: Path, found: _Found, verified: Verified | None) -> str:
    """Add a finished run's row and history; return its study's name."""
    results, config = run.results, run.stored.config
    study = results.study or path.resolve().name
    row = run_row(run, study, verified)
    if (tuning := found.tuning_of(run.folder.absolute().parents[2])) is not None:
        row[run_tables.TUNED] = " ".join(tuning.searched)
    if found.is_new(row):
        found.rows.append(row)
        identity = {name: row.get(name) for name in run_tables.HISTORY_IDENTITY if name in row}
        found.histories.append(pd.DataFrame(identity | run.history))
        shared = {key: value for key, value in config.items() if key not in {"seed", "study"}}
        found.configs.setdefault(str(results.config_hash), shared)
        block = {key: value for key, value in results.provenance.items() if key not in {"started", "code"}}
        if block and block not in found.provenance:
            found.provenance.append(block)
        if run.folder == path and run.stored.overrides:
            found.commands.append(f"python train.py {shlex.join(run.stored.overrides)}")
    return study


def _read_table(path: Path, found: _Found) -> None:
    """Read a report's results.csv, and the history.csv and provenance.json beside it."""
    table = run_tables.read_results(path)
    finished = table["status"] == "finished"
    keys = []
    for row in run_tables.records(table[finished].drop(columns=["status", "reason"], errors="ignore")):
        try:
            new = found.is_new(row | {"folder": ""})
        except MismatchError as error:
            described = {name: row.get(name) for name in UNFINISHED_COLUMNS}
            found.unfinished.append(described | {"status": "mismatch", "reason": f"{path}: {error}"})
            continue
        if new:
            found.rows.append(row | {"folder": ""})
            keys.append((row["study"], row["config_hash"], row["seed"]))
            config = {name.removeprefix("config/"): value for name, value in row.items() if name.startswith("config/")}
            found.configs.setdefault(row["config_hash"], unflatten(config))
    for row in run_tables.records(table[~finished]):
        found.unfinished.append({name: row.get(name) for name in UNFINISHED_COLUMNS})
    beside = path.with_name(HISTORY)
    if keys and beside.is_file():
        history = run_tables.read_history(beside)
        wanted = pd.MultiIndex.from_tuples(keys, names=["study", "config_hash", "seed"])
        found.histories.append(history[pd.MultiIndex.from_frame(history[wanted.names]).isin(wanted)])
    made = path.with_name(PROVENANCE)
    if keys and made.is_file():
        commands, blocks = run_tables.read_provenance(made)
        found.commands += [each for each in commands if each not in found.commands]
        found.provenance += [each for each in blocks if each not in found.provenance]
    names = [str(name) for name in table["study"].dropna().unique()]
    found.names += names if len(names) <= 3 else [path.resolve().parent.name]
