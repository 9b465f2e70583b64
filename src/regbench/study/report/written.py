"""The report on what was loaded from some paths: of one run, or of studies; and what a terminal shows of it."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from regbench.study.measured import TEST_ACCURACY, Quantity
from regbench.study.printed import print_comparisons
from regbench.study.report.left_out import list_left_out
from regbench.study.report.run_report import is_run, write_run_report
from regbench.study.report.study_report import Told, write_report
from regbench.study.results import Study


def report_folder(paths: Sequence[Path], option: str = "--out FOLDER") -> Path:
    """Return where a report goes unless it is said: `report/` inside the one folder given.

    A CSV stands in the report that it came from, and several studies have no common folder.

    Args:
        paths: What is reported.
        option: How the caller says it otherwise.

    Raises:
        ValueError: There is no such folder.
    """
    if len(paths) == 1 and (paths[0].is_dir() or not paths[0].exists()):
        return paths[0] / "report"
    raise ValueError(f"expected {option} for a report of several studies or of a results.csv, received none")


def report_on(
    study: Study,
    paths: Sequence[Path],
    out: Path,
    baseline: str = "none",
    margin: float | None = None,
    metric: str = TEST_ACCURACY,
) -> tuple[Path, Told]:
    """Write the report on what was loaded from these paths.

    Args:
        study: What was loaded.
        paths: From where; one run's folder gets a run's report.
        out: The report's folder.
        baseline: As in `write_report`.
        margin: As in `write_report`.
        metric: As in `write_report`; a run's report shows all of its metrics.

    Returns:
        As `write_report`; of one run nothing is compared.
    """
    command = f"regbench report {shlex.join(map(str, paths))}"
    command += f" --baseline {shlex.quote(baseline)}" if baseline != "none" else ""
    command += f" --metric {shlex.quote(metric)}" if metric != TEST_ACCURACY else ""
    command += f" --margin {Quantity.of(metric, study.kinds).scale * margin:g}" if margin is not None else ""
    if len(paths) == 1 and is_run(paths[0]):
        return write_run_report(study, paths[0], out, command), Told([], [], [])
    return write_report(study, out, baseline, margin, command, metric)


def print_report(study: Study, page: Path, told: Told, table: bool = True) -> None:
    """Print what a report says: its comparisons, in short what else is to be known, and where it is.

    What is left out goes to standard error.

    Args:
        study: What was loaded.
        page: The report's page.
        told: What it says.
        table: Whether to print the comparisons.
    """
    if table:
        print_comparisons(told.families, told.differences)
    for note in told.notes:
        print(note.partition(". ")[0].rstrip("."), flush=True)  # the page has the rest
    for line in list_left_out(study):
        print(line, file=sys.stderr, flush=True)
    print(f"Report: {page}", flush=True)
