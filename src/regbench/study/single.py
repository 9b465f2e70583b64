"""One run's report: its numbers, its curves, what it confuses. One run proves nothing, so there are no statistics."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from regbench.study import curves, images
from regbench.study.page import Block, Cell, Page, Section, Table, write_page
from regbench.study.predictions import confused_pairs, gather
from regbench.study.results import load
from regbench.study.style import Picture

_NUMBERS = (
    ("test accuracy", "test/acc", 100, " %"),
    ("validation accuracy", "val/acc", 100, " %"),
    ("training accuracy", "train/acc", 100, " %"),
    ("gap, points", "gap", 100, ""),
    ("test loss", "test/loss", 1, ""),
    ("calibration error", "test/ece", 100, " %"),
)


def is_run(path: Path) -> bool:
    """Whether a folder is one run's rather than a study's."""
    return (path / "results.json").is_file() or (path / "config.yaml").is_file()


def write_run_report(run: Path, out: Path, command: str = "") -> Path:
    """Write one run's figures and ``report.html`` into ``out``; an unfinished run is reported as far as it came."""
    study = load(run)
    finished = len(study.runs) == 1
    facts: dict[str, Any] = dict(study.runs.iloc[0]) if finished else _facts(run)
    config = next(iter(study.configs.values()), None) or _config(run)
    history = study.history if finished else _history(run)
    best = float(facts["best_epoch"]) if pd.notna(facts.get("best_epoch")) else None
    title = f"{facts.get('setting') or run.parent.name}, seed {facts.get('seed', '?')}"
    notices = []
    if not finished:
        entry = study.unfinished.iloc[0] if len(study.unfinished) else {"status": "unfinished", "reason": ""}
        reason = f": {entry['reason']}" if entry["reason"] else ""
        notices.append(f"This run is not finished, its status is {entry['status']}{reason}.")
    pictures = [
        curves.run_curves(name, history, best, kind)
        for name, kind in (("accuracy", "acc"), ("loss", "loss"))
        if any(f"{split}/{kind}" in history for split in curves.SPLITS)
    ]
    sections = [Section("curves", "Curves", blocks=[Block(pictures=pictures)])] if pictures else []
    if finished:
        sections += _predictions(run, config, str(facts["setting"]))
    if config:
        listing = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        sections.append(Section("configuration", "Configuration", listings=[("The composed configuration", listing)]))
    if command:
        sections.append(Section("repeat", "Repeat it", listings=[("", "\n".join([*study.commands, command]))]))
    known = [str(facts[key]) for key in ("dataset", "model", "optimizer", "scheduler") if facts.get(key)]
    page = Page(title, " · ".join(["One run", *known]), notices, _tiles(facts), (), sections)
    return write_page(page, out)


def _tiles(facts: dict[str, Any]) -> list[tuple[str, str]]:
    tiles = [
        (name, f"{scale * float(facts[key]):.{2 if scale == 100 else 3}f}{unit}")
        for name, key, scale, unit in _NUMBERS
        if pd.notna(facts.get(key))
    ]
    if pd.notna(facts.get("best_epoch")):
        tiles.append(("chosen epoch", f"{int(facts['best_epoch']) + 1} of {int(facts['epochs'])}"))
    if pd.notna(facts.get("parameters")):
        tiles.append(("parameters", f"{int(facts['parameters']):,}"))
    if pd.notna(facts.get("seconds/total")):
        tiles.append(("time", f"{float(facts['seconds/total']):.1f} s"))
    return tiles


def _predictions(run: Path, config: dict[str, Any], setting: str) -> list[Section]:
    found = gather([run])
    if not found.read:
        return [Section("predictions", "Predictions", found.problems)]
    classes = config.get("dataset", {}).get("classes") or []
    names = [str(name) for name in classes]
    if len(names) != len(found.confusion):
        names = [str(number) for number in range(len(found.confusion))]
    drawn: list[Picture] = [images.confusion("confusion", found.confusion, names, setting)]
    if found.mistakes:
        drawn.append(images.mistakes("mistakes", found.mistakes, names, setting))
    if found.samples.size:
        drawn.append(images.samples("samples", found.samples, names))
    rows = [
        [Cell(f"{names[target]} → {names[answer]}"), Cell(f"{100 * share:.1f}", share)]
        for target, answer, share in confused_pairs(found.confusion, most=8)
    ]
    pairs = Table("Most confused pairs", ["class → answer", "percent of the class"], rows, sortable=True)
    blocks = [Block(pictures=drawn), *([Block(tables=[pairs])] if rows else [])]
    return [Section("predictions", "Predictions", blocks=blocks)]


def _facts(run: Path) -> dict[str, Any]:
    """What an unfinished run's results say, flat; empty where they cannot be read, which the notice tells."""
    try:
        stored = json.loads((run / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}


def _config(run: Path) -> dict[str, Any]:
    try:
        stored = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    config = stored.get("config") if isinstance(stored, dict) else None
    return config if isinstance(config, dict) else {}


def _history(run: Path) -> pd.DataFrame:
    try:
        stored: pd.DataFrame = pd.read_csv(run / "history.csv").apply(pd.to_numeric, errors="coerce")
        return stored.dropna(subset=["epoch"])
    except (OSError, ValueError, KeyError):
        return pd.DataFrame()
