"""What the terminal shows of a run and of a sweep. Free of torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Column, Table

from regbench.run_folder import ERROR, RESULTS

if TYPE_CHECKING:
    from regbench.summary import Layer


def print_results(folder: Path, results: Mapping[str, Any]) -> None:
    """Print a finished run as a small table."""
    if results.get("reused"):
        print(f"{folder} is finished: not trained again")
    table = Table("setting", "parameters", "best epoch", "train", "val", "test", "gap", "time", box=box.SIMPLE)
    metrics = results["metrics"]
    table.add_row(
        results["setting"],
        f"{results['parameters']:,}",
        f"{results['best_epoch'] + 1} of {results['epochs_trained']}",
        *(_percent(metrics[f"{split}/acc"]) for split in ("train", "val", "test")),
        _points(metrics["gap"]),
        f"{results['seconds']['total']:.0f} s",
    )
    _console().print(table)
    print(folder)


def finished_line(results: Mapping[str, Any], counts: Mapping[str, int]) -> str:
    """Return one line about a finished run of a sweep and how far the sweep is."""
    metrics = results["metrics"]
    split = "val" if metrics["val/acc"] is not None else "test"
    state = "finished before" if results.get("reused") else f"{results['seconds']['total']:.0f} s"
    return (
        f"{_counts(counts)} | {results['setting']}-{results['config_hash']} seed {results['seed']}: "
        f"{split} {_percent(metrics[f'{split}/acc'])}, {state}"
    )


def failed_line(folder: Path, message: str, counts: Mapping[str, int]) -> str:
    """Return one line about a failed run of a sweep."""
    return f"{_counts(counts)} | {folder.parent.name}/{folder.name} failed: {message} (see {folder / ERROR})"


def print_sweep(folder: Path, counts: Mapping[str, int]) -> None:
    """Print how a sweep ended."""
    print(f"{folder}: {_counts(counts)}")
    if counts["failed"]:
        print(f"what failed is told by {ERROR} and {RESULTS} in its folder; the same command runs what is missing")
    elif counts["left"]:
        print("the same command runs what is left; runs that were stopped go on after their last whole epoch")


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
