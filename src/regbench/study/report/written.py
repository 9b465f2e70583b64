"""The report on what was loaded from some paths: of one run, or of studies."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from regbench.study.measured import TEST_ACCURACY, Quantity
from regbench.study.report.run_report import is_run, write_run_report
from regbench.study.report.study_report import write_report
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
) -> tuple[Path, list[str]]:
    """Write the report on what was loaded from these paths.

    Args:
        study: What was loaded.
        paths: From where; one run's folder gets a run's report.
        out: The report's folder.
        baseline: As in `write_report`.
        margin: As in `write_report`.
        metric: As in `write_report`; a run's report shows all of its metrics.

    Returns:
        As `write_report`; one run has no verdicts.
    """
    command = f"regbench report {shlex.join(map(str, paths))}"
    command += f" --baseline {shlex.quote(baseline)}" if baseline != "none" else ""
    command += f" --metric {shlex.quote(metric)}" if metric != TEST_ACCURACY else ""
    command += f" --margin {Quantity.of(metric, study.kinds).scale * margin:g}" if margin is not None else ""
    if len(paths) == 1 and is_run(paths[0]):
        return write_run_report(study, paths[0], out, command), []
    return write_report(study, out, baseline, margin, command, metric)
