"""The ``regbench`` command. Heavy imports live in the commands, so that ``--help`` answers at once."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def regbench() -> None:
    """Which regularization helps, by how much, and how sure are we?"""


@app.command()
def report(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="A study's folder, several of them, a report's results.csv, or one run's folder.", metavar="STUDY…"
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where the report goes; STUDY/report unless given.", metavar="FOLDER")
    ] = None,
    baseline: Annotated[str, typer.Option(help="The setting that the others are compared with.")] = "none",
    margin: Annotated[float, typer.Option(help="The smallest difference that matters, in points.", min=0.0)] = 0.3,
) -> None:
    """Write the tables, the figures and the page of finished runs; half-finished studies are reported too."""
    from regbench.study import load
    from regbench.study.report import write_report
    from regbench.study.single import is_run, write_run_report

    command = f"regbench report {shlex.join(map(str, paths))}"
    command += f" --baseline {shlex.quote(baseline)}" if baseline != "none" else ""
    command += f" --margin {margin:g}" if margin != 0.3 else ""
    try:
        target = out or _report_folder(paths)
        if len(paths) == 1 and is_run(paths[0]):
            page = write_run_report(paths[0], target, command)
        else:
            page, verdicts = write_report(load(*paths), target, baseline, margin / 100, command)
            for line in verdicts:
                typer.echo(line)
    except (ValueError, OSError) as error:
        typer.echo(f"regbench report: {error}", err=True)
        sys.exit(1)
    typer.echo(f"Report: {page}")


def _report_folder(paths: list[Path]) -> Path:
    """Inside the one folder given; a CSV stands in the report that it came from, and several have no common folder."""
    if len(paths) == 1 and (paths[0].is_dir() or not paths[0].exists()):
        return paths[0] / "report"
    raise ValueError("expected --out FOLDER for a report of several studies or of a results.csv, received none")
