"""Reads finished runs into tidy tables, and names every run that is not finished."""

import shlex
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from regbench.storage.results import DamagedError, RunResults
from regbench.storage.schema import CONFIG, HISTORY, METRICS, PROVENANCE, RESULTS, SWEEP, Kind, name_of
from regbench.storage.study_folder import Plan, find_runs, read_plan
from regbench.storage.tuning import Tuning
from regbench.study import run_tables
from regbench.study.contradictions import MismatchError, check_row
from regbench.study.copies import LABELS, LOGITS
from regbench.study.expected_best import search_sd
from regbench.study.flat_config import unflatten
from regbench.study.found import Found
from regbench.study.measured import StudyMetric
from regbench.study.reading import read_folders
from regbench.study.rows import place_below, run_row, unfinished_row
from regbench.study.run_folders import Run
from regbench.study.run_tables import COLUMNS, DATA, HISTORY_COLUMNS, UNFINISHED_COLUMNS
from regbench.study.settings import drop_constant_values, drop_known_code, label_settings
from regbench.study.verification import Verified

# Of runs that were left out although they ended, unlike those that a half-finished study still lacks.
LEFT_OUT = frozenset({"failed", "diverged", "damaged", "mismatch"})

_SPLITS = ("train/", "val/", "test/")
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
        tables: The `results.csv` that were read, each with how many runs it gave: nothing shows that their numbers are
            right either.
        commands: What started the runs, as far as known.
        configs: Composed configurations by `config_hash`, without seed and study; empty where read from a CSV.
        provenance: The distinct blocks of versions, commit, data and device.
        tuning: How the settings were searched, where one study is read that was tuned.
        measured: By name, the metrics of the group `metrics` that any run has: columns of `runs`, `test/f1`, empty
            where a run has none.
    """

    name: str
    runs: pd.DataFrame
    history: pd.DataFrame
    unfinished: pd.DataFrame
    unverified: list[str]
    tables: dict[str, int]
    commands: list[str]
    configs: dict[str, dict[str, Any]]
    provenance: list[dict[str, Any]]
    tuning: Tuning | None = None
    measured: dict[str, StudyMetric] = field(default_factory=dict)

    @property
    def kinds(self) -> dict[str, Kind]:
        """What the metrics of the group `metrics` are, by name; without those that runs define differently."""
        return {name: each.kind for name, each in self.measured.items() if len(each.definitions) == 1}

    @property
    def metrics(self) -> list[str]:
        """The columns of `runs` that are metrics: those of every run, then those of the group `metrics`."""
        own = [name for name in map(str, self.runs) if name.startswith(_SPLITS) and name_of(name) in self.measured]
        return [*(name for name in METRICS if name in self.runs), *own]


def load(*paths: str | PathLike[str]) -> Study:
    """Read studies into tables: what `regbench.load_study` describes, without what can be asked of them."""
    if not paths:
        raise ValueError("study: expected the path of a study, a run or a results.csv, got none")
    found = Found()
    for path in map(Path, paths):
        table = _table_of(path)
        if table is not None:
            _read_table(table, found)
        else:
            _read_folders(path, found)
    return _study(found)


def _study(found: Found) -> Study:
    """Put together what was found."""
    found.leave_out_contradicting()
    runs = found.run_table()
    if len(runs):
        runs = drop_known_code(runs.drop(columns=[LOGITS, LABELS], errors="ignore"))
        if DATA not in runs or (runs.groupby("dataset")[DATA].nunique() < 2).all():
            runs = runs.drop(columns=DATA, errors="ignore")
        runs["label"] = label_settings(runs, runs[run_tables.TUNED].notna() if run_tables.TUNED in runs else None)
        runs = drop_constant_values(runs, run_tables.searched_keys(runs))
    runs = runs.reindex(columns=run_tables.ordered(runs.columns, COLUMNS))
    labels = dict(zip(runs["config_hash"], runs["label"], strict=True))

    history = found.history_table()
    if len(history):
        history["label"] = run_tables.by_run(history, runs, "label")
        history = history.dropna(subset="label").reset_index(drop=True)
        history = history.astype({"epoch": int, "seed": int})
    history = history.reindex(columns=run_tables.ordered(history.columns, HISTORY_COLUMNS))

    unfinished = pd.DataFrame(found.unfinished, columns=UNFINISHED_COLUMNS)
    known = unfinished["config_hash"].map(labels)
    unfinished["label"] = known.where(known.notna(), unfinished["setting"])
    unfinished = unfinished.drop_duplicates(["folder", "status"], ignore_index=True)
    return Study(
        name=" + ".join(dict.fromkeys(found.names)),
        runs=runs,
        history=history,
        unfinished=unfinished,
        unverified=found.unverified,
        tables=found.tables,
        commands=found.commands,
        configs=found.configs,
        provenance=found.provenance,
        tuning=found.tuning(),
        measured=found.measured,
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


def _read_folders(path: Path, found: Found) -> None:
    folders, sweeps = find_runs(path)
    if not folders and not sweeps:
        raise ValueError(f"{path}: expected folders with results.json or a results.csv, found neither")
    found.tuning_of(path.absolute())
    names: dict[str, None] = {}
    for reading in read_folders(path, folders, [sweep.parent for sweep in sweeps]):
        results, error = reading.results, reading.error
        if reading.run is not None:
            try:
                names[_add_run(reading.run, path, found, reading.verified)] = None
            except MismatchError as mismatch:
                error = mismatch
            else:
                found.unverified += [] if reading.verified else [place_below(reading.folder, path)]
                continue
        status, reason = _ended(results, error)
        found.unfinished.append(unfinished_row(reading.folder, path, status, reason, results))
    there = set(map(str, folders))
    for sweep in sweeps:
        try:
            plan = read_plan(sweep)
        except DamagedError as error:
            reason = f"{error}; rebuilt from the run folders, so runs that had not started are not known"
            found.unfinished.append(unfinished_row(sweep, path, "rebuilt", reason, None))
            continue
        found.add_commands(plan.commands)
        planned = [sweep.parent / name for name in plan.runs]
        _tell_design(found, planned, plan)
        for folder in planned:
            if str(folder) not in there and not (folder / RESULTS).exists() and not (folder / CONFIG).exists():
                found.unfinished.append(unfinished_row(folder, path, "missing", _REASONS["missing"], None))
    found.names.append(next(iter(names)) if len(names) == 1 else path.resolve().name)


def _ended(results: RunResults | None, error: DamagedError | None) -> tuple[str, str]:
    """Return status and reason of a run that is left out."""
    if error is not None:
        return "mismatch" if isinstance(error, MismatchError) else "damaged", str(error)
    status = "running" if results is None else results.status
    reason = (results.error if results else None) or _REASONS[status]
    return "interrupted" if status == "running" else status, reason


def _tell_design(found: Found, planned: list[Path], plan: Plan) -> None:
    """Write into a sweep's rows whether its seeds come in stages, and which were added to finished ones."""
    stages = ", ".join(map(str, plan.stages))
    for folder, name in zip(planned, plan.runs, strict=True):
        told = {run_tables.STAGES: stages or None, run_tables.ADDED_AFTER: plan.added.get(name)}
        found.tell(str(folder), {key: value for key, value in told.items() if value is not None})


def _add_run(run: Run, path: Path, found: Found, verified: Verified | None) -> str:
    """Add a finished run's row and history; return its study's name."""
    results = run.results
    study = results.study or path.resolve().name
    found.describe(run.folder, path, results)
    computed = verified.scores.own if verified else {}
    found.add_measured({name: StudyMetric.of(each, name in computed) for name, each in results.measured.items()})
    row = run_row(run, study, verified)
    if (tuning := found.tuning_of(run.folder.absolute().parents[2])) is not None:
        row[run_tables.TUNED] = " ".join(tuning.searched)
        row[run_tables.SEARCH_SD] = search_sd(tuning).get(row["setting"])
    if found.is_new(row):
        found.add_row(row, run.recipe.cells)
        found.add_history(row, run.history)
        if str(results.config_hash) not in found.configs:
            shared = {key: value for key, value in run.recipe.config.items() if key not in {"seed", "study"}}
            found.configs[str(results.config_hash)] = shared
        found.add_provenance(results.provenance)
        if run.folder == path and run.stored.overrides:
            found.commands.append(f"python train.py {shlex.join(run.stored.overrides)}")
    return study


def _read_table(path: Path, found: Found) -> None:
    """Read a report's results.csv, and the history.csv and provenance.json beside it."""
    table = run_tables.read_results(path)
    finished = table["status"] == "finished"
    made = path.with_name(PROVENANCE)
    if finished.any() and made.is_file():
        found.add_measured(run_tables.read_measured(made))
    keys = []
    distinct: dict[tuple[Any, ...], dict[str, Any]] = {}
    for values in run_tables.records(table[finished].drop(columns=["status", "reason"], errors="ignore")):
        row = {name: value for name, value in values.items() if not name.startswith("config/")} | {"folder": ""}
        try:
            check_row(row, path)
            new = found.is_new(row)
        except MismatchError as error:
            described = {name: row.get(name) for name in UNFINISHED_COLUMNS}
            reason = f"{path}: {str(error).removeprefix(f'{path}: ')}"
            found.unfinished.append(described | {"status": "mismatch", "reason": reason})
            continue
        if new:
            cells = {name: value for name, value in values.items() if name.startswith("config/")}
            found.add_row(row, distinct.setdefault(tuple(cells.items()), cells))
            keys.append((row["study"], row["config_hash"], row["seed"]))
            if row["config_hash"] not in found.configs:
                config = unflatten({name.removeprefix("config/"): value for name, value in cells.items()})
                found.configs[row["config_hash"]] = config
    for row in run_tables.records(table[~finished]):
        found.unfinished.append({name: row.get(name) for name in UNFINISHED_COLUMNS})
    if keys:
        found.tables[str(path)] = len(keys)
    beside = path.with_name(HISTORY)
    if keys and beside.is_file():
        history = run_tables.read_history(beside)
        wanted = pd.MultiIndex.from_tuples(keys, names=["study", "config_hash", "seed"])
        found.history_parts.append(history[pd.MultiIndex.from_frame(history[wanted.names]).isin(wanted)])
    if keys and made.is_file():
        commands, blocks = run_tables.read_provenance(made)
        found.add_commands(commands)
        found.provenance += [each for each in blocks if each not in found.provenance]
    names = [str(name) for name in table["study"].dropna().unique()]
    found.names += names if len(names) <= 3 else [path.resolve().parent.name]
