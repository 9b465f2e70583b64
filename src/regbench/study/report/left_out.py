"""What a report says about runs that it leaves out, and about those that it could not verify."""

from collections import Counter

from regbench.study.report.shown import TABLE_ROWS
from regbench.study.results import LEFT_OUT, Study

_MOST_LINES = 5


def list_left_out(study: Study) -> list[str]:
    """Return a few lines on the runs that are left out, and one on unverified runs.

    What went wrong is named, the first five of it; what is merely not finished is counted.
    """
    entries = study.unfinished.to_dict("records")
    wrong = [each for each in entries if each["status"] in LEFT_OUT or each["status"] == "rebuilt"]
    lines = [f"{_verb(str(each['status']))} {each['folder']}: {each['reason']}" for each in wrong[:_MOST_LINES]]
    if more := len(wrong) - len(lines):
        where = "results.csv and the page list" if len(entries) <= TABLE_ROWS else "results.csv lists"
        lines.append(f"… and {more} more; {where} all")
    if waiting := Counter(str(each["status"]) for each in entries if each not in wrong):
        lines.append(f"left out: {', '.join(f'{number} {status}' for status, number in sorted(waiting.items()))}")
    return [*lines, *unverified_notice(study), *measured_notice(study)]


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


def measured_notice(study: Study) -> list[str]:
    """Return a sentence on each metric of the group `metrics` of which a reader must know something.

    It says which runs lack it, that runs mean different things by it, or that nothing confirms it.
    """
    notices = []
    for name, each in study.measured.items():
        column = f"test/{name}"
        lacking = study.runs[study.runs[column].isna()] if column in study.runs else study.runs
        if len(lacking):
            listed = [f"{label} seed {seed}" for label, seed in zip(lacking["label"], lacking["seed"], strict=True)]
            notices.append(
                f"{column}: {len(lacking)} of {len(study.runs)} runs were finished without it and are left out where "
                f"it is averaged or compared; metrics={name} force=true trains them again: {_some(listed)}"
            )
        if len(each.definitions) > 1:
            notices.append(
                f"{column}: the runs mean different things by it, so it is left out: {' and '.join(each.definitions)}"
            )
        elif not each.verified and not study.tables:
            notices.append(
                f"{column} is as the runs recorded it: of a metric that RegBench does not know, or without stored "
                "predictions, nothing can be computed again to confirm it"
            )
    return notices


def _runs(number: int) -> str:
    return "1 run is" if number == 1 else f"{number} runs are"


def _some(folders: list[str]) -> str:
    shown = ", ".join(folders[:3])
    return shown if len(folders) <= 3 else f"{shown}, …"


def _verb(status: str) -> str:
    return "rebuilt" if status == "rebuilt" else f"left out ({status})"
