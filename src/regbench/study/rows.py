"""Rows of a study's tables, each from one run folder."""

from pathlib import Path
from typing import Any, NamedTuple

from regbench.storage.results import RunResults
from regbench.storage.schema import METRICS, label_of, name_of, read_run_path
from regbench.study import run_folders, run_tables
from regbench.study.copies import LABELS, LOGITS
from regbench.study.margins import MARGIN
from regbench.study.run_tables import COLUMNS, DATA
from regbench.study.settings import CODES
from regbench.study.verification import Verified

_RESULTS = tuple(name for name in COLUMNS if name in RunResults.model_fields)


class Identity(NamedTuple):
    """What tells a run from others, as its `results.json` says it."""

    study: str | None
    dataset: str | None
    model: str | None
    setting: str | None
    config_hash: str | None
    seed: int | None

    @classmethod
    def of(cls, results: RunResults) -> "Identity":
        """Return a run's."""
        return cls(*(getattr(results, name) for name in cls._fields))


def run_row(run: run_folders.Run, study: str, verified: Verified | None) -> dict[str, Any]:
    """Return a finished run's row: results, code, and what its predictions were found to be.

    The values of its configuration are `run.recipe.cells`.
    """
    results, config = run.results, run.recipe.config
    row = {name: getattr(results, name) for name in _RESULTS} | {"study": study, "folder": str(run.folder)}
    row |= {name: row[name] or label_of(config.get(name)) for name in ("dataset", "model", "optimizer", "scheduler")}
    row |= dict(zip(CODES, run.recipe.told_apart(results.provenance), strict=True))
    row |= {name: results.metrics.get(name) for name in METRICS}
    row |= {name: value for name, value in results.metrics.items() if name_of(name) in results.measured}
    row |= {f"seconds/{part}": value for part, value in results.seconds}
    row[DATA] = str(results.provenance.get("dataset_sha256") or "")[:12] or None
    row |= {LOGITS: verified.logits, LABELS: verified.labels} if verified else {}
    if results.inert:
        row[run_tables.INERT] = "+".join(results.inert)
    row[MARGIN] = run.recipe.cells.get("config/dataset.margin")
    return row


def unfinished_row(
    folder: Path, path: Path, status: str, reason: str, results: RunResults | Identity | None
) -> dict[str, Any]:
    """Describe a run without results by its folder's name, or better by what its results.json says."""
    place = read_run_path(folder.resolve())
    row = {name: getattr(results, name, None) for name in ("dataset", "model", "setting", "config_hash", "seed")}
    if place is not None:
        row = place._asdict() | {name: value for name, value in row.items() if value is not None}
    study = (results.study if results else None) or path.resolve().name
    return row | {
        "study": study,
        "folder": place_below(folder, path),
        "status": status,
        "reason": " ".join(str(reason).split()),
    }


def place_below(folder: Path, path: Path) -> str:
    """Return a run's place below the folder that was asked for."""
    return folder.name if folder == path else folder.relative_to(path).as_posix()
