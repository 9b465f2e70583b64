"""What a report says about runs that it leaves out, and about those that it could not verify."""

from regbench.study.report.shown import TABLE_ROWS
from regbench.study.results import LEFT_OUT, Study

_MOST_LINES = 20


def list_left_out(study: Study) -> list[str]:
    """Return a line for every run that is left out, at most 20 and then their count, and one on unverified runs.

    What went wrong comes before what is merely not finished.
    """
    entries = sorted(study.unfinished.to_dict("records"), key=lambda entry: entry["status"] not in LEFT_OUT)
    lines = [f"{_verb(str(entry['status']))} {entry['folder']}: {entry['reason']}" for entry in entries]
    more = len(lines) - _MOST_LINES
    if more > 0:
        where = "results.csv and the page list" if len(entries) <= TABLE_ROWS else "results.csv lists"
        lines = [*lines[:_MOST_LINES], f"… and {more} more; {where} all"]
    return [*lines, *unverified_notice(study)]


def unfinished_notice(study: Study) -> list[str]:
    """Return a sentence on a study that is not whole, or none."""
    rows = study.unfinished[study.unfinished["status"] != "rebuilt"]
    if rows.empty:
        return []
    done, left = len(study.runs), len(rows)
    what = ", ".join(f"{number} {status}" for status, number in sorted(rows["status"].value_counts().items()))
    return [
        f"This study is not whole: {done} of {done + left} runs are finished ({what}). All numbers are of finished "
        "runs alone; the others are listed under “Runs without a result”."
    ]


def unverified_notice(study: Study) -> list[str]:
    """Return a sentence on each kind of finished runs whose test metrics nothing confirms."""
    notices = [
        f"{_runs(number)} taken from {table} as it stands: without the run folders, nothing confirms its numbers"
        for table, number in study.tables.items()
    ]
    if study.unverified:
        runs = "1 run has" if len(study.unverified) == 1 else f"{len(study.unverified)} runs have"
        without = f"{runs} no predictions.npz, so the recorded test metrics could not be verified"
        notices.append(f"{without}: {_some(study.unverified)}")
    return notices


def _runs(number: int) -> str:
    return "1 run is" if number == 1 else f"{number} runs are"


def _some(folders: list[str]) -> str:
    shown = ", ".join(folders[:3])
    return shown if len(folders) <= 3 else f"{shown}, …"


def _verb(status: str) -> str:
    return "rebuilt" if status == "rebuilt" else f"left out ({status})"
