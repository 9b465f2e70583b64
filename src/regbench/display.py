"""Terminal output: the results of a run, the progress of a sweep, the layers of a network. Imports no torch."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Column, Table

from regbench.runs.provenance import other_versions
from regbench.storage.results import RunResults
from regbench.storage.schema import ERROR, RESULTS

if TYPE_CHECKING:
    from regbench.runs.summary import Layer

_FINISHED = re.compile(r"\d+ done, \d+ failed, \d+ left \| [^;]*: (val|test) [\d.]+%, [^;]*")


def print_results(folder: Path, results: RunResults) -> None:
    """Print a finished run as a small table."""
    if results.reused:
        versions = other_versions(results)
        print(
            f"{folder} is finished{f' ({versions})' if versions else ''}: not trained again; force=true trains it again"
        )
    table = Table("setting", "parameters", "best epoch", "train", "val", "test", "gap", "time", box=box.SIMPLE)
    metrics = results.metrics
    table.add_row(
        results.setting,
        f"{results.parameters or 0:,}",
        f"{(results.best_epoch or 0) + 1} of {results.epochs_trained}",
        *(_percent(metrics[f"{split}/acc"]) for split in ("train", "val", "test")),
        _points(metrics["gap"]),
        f"{results.seconds.total:.0f} s",
    )
    _console().print(table)
    for name in results.inert:
        print(f"{name} did nothing: layers, decays and gradients are those of the same run without it")
    print(folder)


def finished_line(name: str, results: RunResults, counts: Mapping[str, int]) -> str:
    """Return one line about a finished run of a sweep and how far the sweep is.

    Args:
        name: Of the run, with the strengths of its techniques.
        results: Its results.
        counts: Runs by `done`, `failed` and `left`.
    """
    metrics = results.metrics
    split = "val" if metrics["val/acc"] is not None else "test"
    state = f"{results.seconds.total:.0f} s"
    if results.reused:
        versions = other_versions(results)
        state = "finished before" + (f" ({versions})" if versions else "")
    inert = f"; {' and '.join(results.inert)} did nothing" if results.inert else ""
    return f"{_counts(counts)} | {name}: {split} {_percent(metrics[f'{split}/acc'])}, {state}{inert}"


def says_finished(line: str) -> bool:
    """Tell whether a line says that a run is finished and nothing else: a table that counts the runs has that, too."""
    return _FINISHED.fullmatch(line) is not None


def failed_line(name: str, folder: Path, message: str, counts: Mapping[str, int]) -> str:
    """Return one line about a failed run of a sweep.

    Args:
        name: As in `finished_line`.
        folder: The run's.
        message: Why it failed.
        counts: As in `finished_line`.
    """
    return f"{_counts(counts)} | {name} failed: {message} (see {folder / ERROR})"


def print_sweep(folder: Path, counts: Mapping[str, int], command: str | None = None) -> None:
    """Print how a sweep ended, and the command that runs the rest; None is the same command."""
    again = "the same command" if command is None else "this command"
    print(f"{folder}: {_counts(counts)}")
    if counts["failed"]:
        print(f"{ERROR} and {RESULTS} in a failed run's folder say why; {again} runs what is missing")
    elif counts["left"]:
        print(f"{again} runs what is left; interrupted runs resume after their last whole epoch")
    if command is not None and (counts["failed"] or counts["left"]):
        print(f"  {command}")


def print_summary(layers: Sequence["Layer"]) -> None:
    """Print a network's layers and the total of their parameters."""
    table = Table("layer", "type", "output shape", "count", Column("parameters", justify="right"), box=box.SIMPLE)
    for layer in layers:
        shape = "×".join(map(str, layer.shape))
        table.add_row(
            layer.name, layer.kind, shape, layer.arithmetic, f"{layer.parameters:,}" if layer.arithmetic else ""
        )
    table.add_section()
    table.add_row("total", "", "", "", f"{sum(layer.parameters for layer in layers):,}")
    _console().print(table)


def _console() -> Console:
    """Return a console wide enough for a table where nobody looks at a terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def _counts(counts: Mapping[str, int]) -> str:
    return f"{counts['done']} done, {counts['failed']} failed, {counts['left']} left"


def _percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{fraction:.2%}"


def _points(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:+.2f}"
