"""What a report ends with: runs without a result, configurations, provenance, and the commands that repeat it."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import yaml

from regbench.drawing.series import series_name
from regbench.study.comparisons import fixed_columns
from regbench.study.report.page import Block, Cell, Section, Table
from regbench.study.report.shown import TABLE_ROWS
from regbench.study.results import LEFT_OUT, Study
from regbench.study.run_tables import DATA
from regbench.study.settings import CODES, OTHER_CODE, REGULARIZER_CODE, base_label


def unfinished(study: Study, problems: Sequence[str]) -> list[Section]:
    """Every run that is not averaged, with its reason, and files of finished runs that could not be read."""
    if study.unfinished.empty and not problems:
        return []
    heads = ["run", "status", "reason"]
    rows = []
    # What went wrong comes first where not all can be listed.
    entries = study.unfinished
    texts = [*problems[:TABLE_ROWS]]
    if len(entries) > TABLE_ROWS:
        entries = entries.sort_values("status", key=lambda status: ~status.isin(LEFT_OUT), kind="stable")[:TABLE_ROWS]
        texts.append(f"Listed are {TABLE_ROWS} of {len(study.unfinished):,} runs; results.csv has all.")
    for entry in entries.to_dict("records"):
        name = " ".join(str(entry[key]) for key in ("label",) if _known(entry.get(key)))
        seed = f", seed {int(entry['seed'])}" if _known(entry.get("seed")) else ""
        run = f"{name}{seed}" if name else str(entry["folder"])
        reason = str(entry["reason"]) if _known(entry.get("reason")) else ""
        rows.append([Cell(run), Cell(str(entry["status"])), Cell(reason)])
    tables = [Table("", heads, rows, sortable=True, prose=True)] if rows else []
    return [Section("unfinished", "Runs without a result", texts, [Block(tables=tables)])]


def mixed_code(study: Study) -> list[str]:
    """Name the codes that meet where runs differ in code alone, one sentence each."""
    runs, lines = study.runs, []
    if REGULARIZER_CODE in runs:
        for label, rows in runs.groupby(runs["label"].map(base_label)):
            if rows["label"].nunique() > 1:
                lines.append(f"{label}: runs of different code are not averaged: {_codes(rows, REGULARIZER_CODE)}.")
    if OTHER_CODE in fixed_columns(runs):
        lines.append(f"Runs of different code are not compared: {_codes(runs, OTHER_CODE)}.")
    if DATA in runs:
        texts = ", ".join(sorted(set(runs[DATA].dropna())))
        lines.append(f"Runs on different data are not compared: {texts} (the data's SHA-256).")
    return lines


def configurations(study: Study) -> list[Section]:
    """What differs between the settings as a table, and every configuration in full, folded."""
    if study.runs.empty:
        return []
    keys = [key for key in study.runs.columns if key.startswith("config/") or key in CODES]
    varied = [key for key in ("optimizer", "scheduler", "train_size", "epochs") if study.runs[key].nunique() > 1]
    columns = ["label", "dataset", "model", *varied, "config_hash"]
    settings = study.runs.drop_duplicates(subset=columns)
    more = len(settings) - TABLE_ROWS
    texts = [f"The first {TABLE_ROWS} configurations; {more:,} more are in results.csv."] if more > 0 else []
    settings = settings[:TABLE_ROWS]
    rows = [
        [
            Cell(str(run["label"]), series=series_name(run["label"])),
            *(Cell(str(run[key]) if _known(run[key]) else "–") for key in [*columns[1:], *keys]),
        ]
        for run in settings.to_dict("records")
    ]
    heads = ["setting", "dataset", "model", *varied, "hash", *(key.removeprefix("config/") for key in keys)]
    listings = []
    for run in settings.to_dict("records"):
        config = study.configs.get(str(run["config_hash"]))
        if config is not None:
            name = f"{run['label']} · {run['dataset']} · {run['model']} · {run['config_hash']}"
            listings.append((name, yaml.safe_dump(config, sort_keys=False, allow_unicode=True)))
    blocks = [Block(tables=[Table("What differs between the settings", heads, rows, sortable=True)])]
    return [Section("configurations", "Configurations", texts, blocks, listings)]


def provenance(study: Study, command: str) -> list[Section]:
    """Where the runs were made, one row per fact with all its values, and the commands that repeat them."""
    facts: dict[str, list[str]] = {}
    for block in study.provenance:
        for key, value in sorted(_flat(block).items()):
            values = facts.setdefault(key, [])
            if str(value) not in values:
                values.append(str(value))
    rows = []
    for key, values in facts.items():
        ordered = sorted(values)
        text = ", ".join(ordered) if len(ordered) <= 3 else f"{ordered[0]} … {ordered[-1]} ({len(ordered)} values)"
        rows.append([Cell(key), Cell(text)])
    texts = []
    if facts.get("dirty") and "True" in facts["dirty"]:
        texts.append("Some runs were made by code with changes that were not committed.")
    if len(facts.get("git", [])) > 1:
        texts.append(f"The runs were made by {len(facts['git'])} different commits.")
    blocks = [Block(tables=[Table("", ["what", "value"], rows, prose=True)])] if rows else []
    commands = "\n".join([*study.commands, *([command] if command else [])])
    made = [Section("provenance", "Provenance", texts, blocks)] if rows else []
    return made + ([Section("repeat", "Repeat it", listings=[("", commands)])] if commands else [])


def _codes(rows: pd.DataFrame, column: str) -> str:
    counts = rows[column].value_counts(sort=False)
    return ", ".join(f"{code} ({count} run{'s' if count != 1 else ''})" for code, count in sorted(counts.items()))


def _known(value: Any) -> bool:
    return value is not None and value == value and str(value) != ""


def _flat(block: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in block.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
