"""One run's report: its numbers, its curves, what it confuses. One run proves nothing, so there are no statistics."""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from regbench.storage.schema import CONFIG, RESULTS
from regbench.study.figures.curves import SPLITS, run_curves
from regbench.study.figures.predictions import confusion_figure, mistake_grid, sample_grid
from regbench.study.measured import Quantity
from regbench.study.predictions import confused_pairs, read_predictions
from regbench.study.report.files import write_page
from regbench.study.report.left_out import measured_notice, unverified_notice
from regbench.study.report.page import Block, Cell, Page, Section, Table
from regbench.study.results import Study
from regbench.study.run_folders import read_unfinished
from regbench.study.run_tables import INERT

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
    return (path / RESULTS).is_file() or (path / CONFIG).is_file()


def write_run_report(study: Study, run: Path, out: Path, command: str = "") -> Path:
    """Write one run's figures and ``report.html`` into ``out``; an unfinished run is reported as far as it came.

    Args:
        study: What was loaded from the run's folder.
        run: That folder.
        out: The report's folder, made where missing.
        command: The command that repeats the report.
    """
    finished = len(study.runs) == 1
    facts: dict[str, Any]
    if finished:
        facts, config, history = dict(study.runs.iloc[0]), next(iter(study.configs.values())), study.history
    else:
        facts, config, history = read_unfinished(run)
    best = float(facts["best_epoch"]) if pd.notna(facts.get("best_epoch")) else None
    title = f"{facts.get('setting') or run.parent.name}, seed {facts.get('seed', '?')}"
    notices = []
    if not finished:
        entry = study.unfinished.iloc[0] if len(study.unfinished) else {"status": "unfinished", "reason": ""}
        reason = f": {entry['reason']}" if entry["reason"] else ""
        state = "cannot be relied on" if entry["status"] in {"damaged", "mismatch"} else "is not finished"
        notices.append(f"This run {state}, its status is {entry['status']}{reason}.")
    notices += [*unverified_notice(study), *measured_notice(study)]
    if isinstance(idle := facts.get(INERT), str):
        notices.append(f"{' and '.join(idle.split('+'))} did nothing: training without it would be the same.")
    drawn = [
        run_curves(name, history, best, kind)
        for name, kind in (("accuracy", "acc"), ("loss", "loss"))
        if any(f"{split}/{kind}" in history for split in SPLITS)
    ]
    sections = [Section("curves", "Curves", blocks=[Block(figures=drawn)])] if drawn else []
    if finished:
        sections += _predictions(run, config, str(facts["setting"]))
    if config:
        listing = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        sections.append(Section("configuration", "Configuration", listings=[("The composed configuration", listing)]))
    if command:
        sections.append(Section("repeat", "Repeat it", listings=[("", "\n".join([*study.commands, command]))]))
    known = [str(facts[key]) for key in ("dataset", "model", "optimizer", "scheduler") if facts.get(key)]
    tiles = [*_tiles(facts), *_own_tiles(study, facts)]
    page = Page(title, " · ".join(["One run", *known]), notices, tiles, (), sections)
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


def _own_tiles(study: Study, facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Show the test metrics of the group `metrics`."""
    shown = [Quantity.of(f"test/{name}", study.kinds) for name in study.kinds if pd.notna(facts.get(f"test/{name}"))]
    return [
        (each.words, f"{each.scale * float(facts[each.column]):.{each.digits}f}{' %' if each.kind.fraction else ''}")
        for each in shown
    ]


def _predictions(run: Path, config: dict[str, Any], setting: str) -> list[Section]:
    found = read_predictions([run])
    if not found.read:
        return [Section("predictions", "Predictions", found.problems)]
    classes = config.get("dataset", {}).get("classes") or []
    names = [str(name) for name in classes]
    if len(names) != len(found.confusion):
        names = [str(number) for number in range(len(found.confusion))]
    drawn = [confusion_figure("confusion", found.confusion, names, setting)]
    if found.mistakes:
        drawn.append(mistake_grid("mistakes", found.mistakes, names, setting))
    if found.samples.size:
        drawn.append(sample_grid("samples", found.samples, names))
    rows = [
        [Cell(f"{names[target]} → {names[answer]}"), Cell(f"{100 * share:.1f}", share)]
        for target, answer, share in confused_pairs(found.confusion, most=8)
    ]
    pairs = Table("Most confused pairs", ["class → answer", "percent of the class"], rows, sortable=True)
    blocks = [Block(figures=drawn), *([Block(tables=[pairs])] if rows else [])]
    return [Section("predictions", "Predictions", blocks=blocks)]
