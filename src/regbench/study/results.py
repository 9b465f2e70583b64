"""Reads finished runs into tidy tables, and names every run that is not finished."""

import re
import shlex
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from regbench.study import folders, frames
from regbench.study.axes import differing, label_settings
from regbench.study.frames import COLUMNS, HISTORY_COLUMNS, UNFINISHED_COLUMNS

_RUN_FOLDER = re.compile(r"(?P<data>[^/]+)/(?P<setting>[^/]+)-(?P<hash>[0-9a-f]{6})/seed(?P<seed>\d+)$")
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
        runs: One row a finished run: `study`, `dataset`, `model`, `setting`, `label`, the other values of
            `results.json`, `folder` (empty where read from a CSV), a column
            `config/regularizer.<technique>.<parameter>` for each parameter of a technique, and a column
            `config/<dotted.key>` for each other value of the configuration that differs and does not follow from the
            columns before.
        history: Those runs' rows of `history.csv` with `study`, `dataset`, `model`, `setting`, `label`,
            `config_hash`, `seed` and `split_seed`.
        unfinished: `folder` (below the study's), `study`, `dataset`, `model`, `setting`, `label`, `config_hash`,
            `seed`, `status` (failed, diverged, interrupted, missing or damaged) and `reason` (one line) of every
            other run.
        commands: What started the runs, as far as known.
        configs: Composed configurations by `config_hash`, without seed and study; empty where read from a CSV.
        provenance: The distinct blocks of versions, commit, data and device; empty where read from a CSV.
    """

    name: str
    runs: pd.DataFrame
    history: pd.DataFrame
    unfinished: pd.DataFrame
    commands: list[str]
    configs: dict[str, dict[str, Any]]
    provenance: list[dict[str, Any]]


def load(*paths: str | PathLike[str]) -> Study:
    """Read studies into tables.

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
    commands: list[str] = field(default_factory=list)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    provenance: list[dict[str, Any]] = field(default_factory=list)
    seen: set[tuple[Any, ...]] = field(default_factory=set)

    def is_new(self, row: dict[str, Any]) -> bool:
        """Whether this run was not met before, and remember it; the same run may come from a folder and from a CSV."""
        key = tuple(row.get(name) for name in ("study", "dataset", "model", "setting", "config_hash", "seed"))
        new = key not in self.seen
        self.seen.add(key)
        return new

    def study(self) -> Study:
        runs = frames.tidy(pd.DataFrame(self.rows))
        if len(runs):
            runs["label"] = label_settings(runs)
            runs = differing(runs)
        runs = runs.reindex(columns=frames.ordered(runs.columns, COLUMNS))
        labels = dict(zip(runs["config_hash"], runs["label"], strict=True))

        history = pd.concat(self.histories, ignore_index=True) if self.histories else pd.DataFrame()
        if len(history):
            history["label"] = history["config_hash"].map(labels)
            history = history.astype({"epoch": int, "seed": int})
        history = history.reindex(columns=frames.ordered(history.columns, HISTORY_COLUMNS))

        unfinished = pd.DataFrame(self.unfinished, columns=UNFINISHED_COLUMNS)
        known = unfinished["config_hash"].map(labels)
        unfinished["label"] = known.where(known.notna(), unfinished["setting"])
        unfinished = unfinished.drop_duplicates(["folder", "status"], ignore_index=True)
        name = " + ".join(dict.fromkeys(self.names))
        return Study(name, runs, history, unfinished, self.commands, self.configs, self.provenance)


def _table_of(path: Path) -> Path | None:
    """Return the `results.csv` that a path means; None for a folder of runs."""
    if path.is_file():
        if path.suffix != ".csv":
            raise ValueError(f"{path}: expected a folder or a results.csv")
        return path
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: expected a folder of runs or a results.csv, found nothing there")
    inside = path / "results.csv"
    return inside if inside.is_file() and not (path / folders.SWEEP).exists() else None


def _read_folders(path: Path, found: _Found) -> None:
    run_folders, sweeps = folders.find(path)
    if not run_folders and not sweeps:
        raise ValueError(f"{path}: expected folders with results.json or a results.csv, found neither")
    names: list[str] = []
    for folder in run_folders:
        status, reason = "damaged", ""
        try:
            results = folders.read_results(folder)
            if results is not None and results["status"] == "finished":
                names.append(_add_run(folders.read_run(folder, results), path, found))
                continue
            status = "running" if results is None else results["status"]
            reason = (results or {}).get("error") or _REASONS[status]
        except folders.DamagedError as error:
            results, reason = None, str(error)
        status = "interrupted" if status == "running" else status
        found.unfinished.append(_unfinished(folder, path, status, reason, results))
    for sweep in sweeps:
        try:
            commands, planned = folders.read_sweep(sweep)
        except folders.DamagedError as error:
            found.unfinished.append(_unfinished(sweep, path, "damaged", str(error), None))
            continue
        found.commands += [command for command in commands if command not in found.commands]
        for folder in (sweep.parent / name for name in planned):
            if not (folder / folders.RESULTS).exists() and not (folder / folders.CONFIG).exists():
                found.unfinished.append(_unfinished(folder, path, "missing", _REASONS["missing"], None))
    distinct = set(names)
    found.names.append(names[0] if len(distinct) == 1 else path.resolve().name)


def _add_run(run: folders.Run, path: Path, found: _Found) -> str:
    """Add a finished run's row and history; return its study's name."""
    results, config = run.results, run.config
    study = results.get("study") or path.resolve().name
    row = {name: results.get(name) for name in COLUMNS if name in results} | {"study": study, "folder": str(run.folder)}
    row |= {name: results["metrics"].get(name) for name in folders.METRICS}
    row |= {f"seconds/{part}": results["seconds"].get(part) for part in folders.SECONDS}
    row |= {f"config/{key}": value for key, value in folders.flatten(config)}
    if found.is_new(row):
        found.rows.append(row)
        identity = {name: row.get(name) for name in frames.HISTORY_IDENTITY if name in row}
        found.histories.append(pd.DataFrame(identity | run.history))
        shared = {key: value for key, value in config.items() if key not in {"seed", "study"}}
        found.configs.setdefault(results["config_hash"], shared)
        block = {key: value for key, value in (results.get("provenance") or {}).items() if key != "started"}
        if block and block not in found.provenance:
            found.provenance.append(block)
        if run.folder == path and run.overrides:
            found.commands.append(f"python train.py {shlex.join(map(str, run.overrides))}")
    return str(study)


def _unfinished(folder: Path, path: Path, status: str, reason: str, results: dict[str, Any] | None) -> dict[str, Any]:
    """Describe a run without results by its folder's name, or better by what its results.json says."""
    match = _RUN_FOLDER.search(folder.resolve().as_posix())
    known = results or {}
    shown = folder.name if folder == path else folder.relative_to(path).as_posix()
    row = {name: known.get(name) for name in ("dataset", "model", "setting", "config_hash", "seed")}
    if match is not None:
        from_name = {"setting": match["setting"], "config_hash": match["hash"], "seed": int(match["seed"])}
        row = from_name | {name: value for name, value in row.items() if value is not None}
    study = known.get("study") or path.resolve().name
    return row | {"study": study, "folder": shown, "status": status, "reason": " ".join(str(reason).split())}


def _read_table(path: Path, found: _Found) -> None:
    """Read a report's results.csv and the history.csv beside it."""
    table = frames.read_csv(path, ["status", *COLUMNS])
    finished = table["status"] == "finished"
    keys = []
    for row in frames.records(table[finished].drop(columns=["status", "reason"], errors="ignore")):
        if found.is_new(row):
            found.rows.append(row | {"folder": ""})
            keys.append((row["study"], row["config_hash"], row["seed"]))
            config = {name.removeprefix("config/"): value for name, value in row.items() if name.startswith("config/")}
            found.configs.setdefault(row["config_hash"], folders.unflatten(config))
    for row in frames.records(table[~finished]):
        found.unfinished.append({name: row.get(name) for name in UNFINISHED_COLUMNS})
    beside = path.with_name(folders.HISTORY)
    if keys and beside.is_file():
        history = frames.read_csv(beside, HISTORY_COLUMNS)
        wanted = pd.MultiIndex.from_tuples(keys, names=["study", "config_hash", "seed"])
        found.histories.append(history[pd.MultiIndex.from_frame(history[wanted.names]).isin(wanted)])
    names = [str(name) for name in table["study"].dropna().unique()]
    found.names += names if len(names) <= 3 else [path.resolve().parent.name]
