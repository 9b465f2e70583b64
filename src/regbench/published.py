"""Writes the tables of `docs/published.md`: published numbers beside ours, claims with verdicts, searches.

`make published` runs it after the studies; a test keeps the page true to the committed `results.csv` files.
"""

import csv
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from regbench.run_folder import write_text
from regbench.study import Study, load
from regbench.study.axes import comparisons
from regbench.study.inference import from_pairs, prediction_interval
from regbench.study.statistics import ALIKE, BETTER, WORSE, Difference, bound, compare, judge

VALUES = "values.csv"
R1, R4, R5, R5_MLP = "r1_lenet5_fashion_mnist", "r4_lenet5_mnist", "r5_lenet5_mnist", "r5_mlp_mnist"
HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told"
BUDGETS = (5, 10, 20, 40, 60)

_METRICS = {"train/acc": "train %", "test/acc": "test %", "train/loss": "train loss", "test/loss": "test loss"}
_SEARCHES = ("dropout", "weight_decay", "batchnorm")


class Value(NamedTuple):
    """A published number; accuracies in percent."""

    report: str
    study: str
    setting: str
    metric: str
    published: float


class Claim(NamedTuple):
    """A published statement in words, which study tells of it, and how."""

    reports: str
    text: str
    study: str
    judge: Callable[[Study], tuple[str, str]]


def tables(folder: Path) -> dict[str, str]:
    """Return the page's tables as Markdown, by their names in the page.

    Args:
        folder: Holds `values.csv` and a folder with `results.csv` and `history.csv` for each study. A study that is not
            there is said to be missing.

    Raises:
        ValueError: A table of a study is damaged.
    """
    published = read_values(folder / VALUES)
    names = {path.parent.name for path in folder.glob("*/results.csv")}
    studies = {name: load(folder / name) for name in sorted(names)}
    found = {"numbers": _numbers(published, studies), "claims": _claims(studies)}
    for technique in _SEARCHES:
        (wanted,) = (each.published for each in published if each[:4] == ("R1", R1, technique, "train/acc"))
        found[f"search-{technique}"] = _search(studies.get(f"r1_search_{technique}"), wanted)
    return found


def read_values(path: Path) -> list[Value]:
    """Read the published numbers."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return [Value(report, study, setting, metric, float(number)) for report, study, setting, metric, number in rows]


def fill(page: str, found: Mapping[str, str]) -> str:
    """Put each table between its two comments, `<!-- table: name -->` and `<!-- end -->`.

    Raises:
        ValueError: The page has no place for a table.
    """
    for name, table in found.items():
        begin, end = f"<!-- table: {name} -->", "<!-- end -->"
        before, found_begin, rest = page.partition(begin)
        _, found_end, after = rest.partition(end)
        if not (found_begin and found_end):
            raise ValueError(f"page: expected a place for {name}, {begin} and then {end}, found none")
        page = f"{before}{begin}\n{table}\n{end}{after}"
    return page


def nearest(study: Study, train_accuracy: float) -> str:
    """Return the label of the search's run whose train accuracy, in percent, is nearest to a published one."""
    return str(study.runs.loc[(100 * study.runs["train/acc"] - train_accuracy).abs().idxmin(), "label"])


def best_earlier(study: Study, label: str) -> tuple[str, str]:
    """Judge whether a setting's test curve has its highest point earlier than every other setting's."""
    (family,) = comparisons(study, label)
    curves = family.history.dropna(subset=["test/acc"]).reset_index(drop=True)
    tops = curves.loc[curves.groupby(["label", "seed"])["test/acc"].idxmax()]
    epochs = tops.set_index(["label", "seed"])["epoch"] + 1
    runs = family.runs.assign(top=[epochs[key] for key in zip(family.runs["label"], family.runs["seed"], strict=True)])
    differences = compare(replace(family, runs=runs), "top", margin=5)
    values = {name: runs.loc[runs["label"] == name, "top"] for name in family.labels}
    shown = [f"{name} {each.mean():.0f} ± {each.std():.0f}" for name, each in values.items()]
    return _all_are(differences, WORSE), f"Best epoch by the test curve: {', '.join(shown)}."


def gain_shrinks(study: Study, label: str) -> tuple[str, str]:
    """Judge whether a setting's lead in test accuracy is smaller after all epochs than after ten.

    The rate is constant, so a run's first ten epochs are the run of ten epochs.
    """
    (family,) = comparisons(study)
    curves = family.history.assign(epoch=family.history["epoch"] + 1)
    table = curves.pivot_table(index=["seed", "epoch"], columns="label", values="test/acc")
    gains = (table[label] - table[str(family.baseline)]).unstack("epoch")
    last = int(max(gains.columns))
    evidence = from_pairs(gains[last].to_numpy(), gains[10].to_numpy())
    (difference,) = judge({label: evidence}, str(family.baseline))
    shown = [f"{epoch}: {_signed(float(gains[epoch].mean()))}" for epoch in BUDGETS if epoch in gains]
    text = (
        f"Lead in points after so many epochs: {', '.join(shown)}. From 10 to {last} it changes by {_told(difference)}."
    )
    return _all_are([difference], WORSE), text


def _all_others_are(verdict: str, label: str, metrics: Iterable[str] = ("test/acc",)) -> Callable[..., tuple[str, str]]:
    def judged(study: Study) -> tuple[str, str]:
        verdicts, texts = [], []
        for metric in metrics:
            (family,) = comparisons(study, label)
            found = compare(family, metric)
            verdicts.append(_all_are(found, verdict))
            shown = ", ".join(f"{each.label} {_told(each)}" for each in found)
            texts.append(f"{_METRICS[metric].removesuffix(' %').capitalize()}, beside {label}: {shown}.")
        return _joint(verdicts), " ".join(texts)

    return judged


def _is(verdict: str, label: str) -> Callable[[Study], tuple[str, str]]:
    def judged(study: Study) -> tuple[str, str]:
        (family,) = comparisons(study)
        (found,) = (each for each in compare(family) if each.label == label)
        return _all_are([found], verdict), f"Test, {label} beside {family.baseline}: {_told(found)}."

    return judged


def _has_parameters(count: int) -> Callable[[Study], tuple[str, str]]:
    def judged(study: Study) -> tuple[str, str]:
        ours = int(study.runs.loc[study.runs["setting"] == "none", "parameters"].iloc[0])
        return HOLDS if ours == count else FAILS, f"The network as stated has {ours:,}."

    return judged


CLAIMS = (
    Claim("R1, R3", "Batch norm is best, on train and on test data", R1,
          _all_others_are(WORSE, "batchnorm", ("train/acc", "test/acc"))),
    Claim("R3", "Dropout is worst, on train and on test data", R1,
          _all_others_are(BETTER, "dropout", ("train/acc", "test/acc"))),
    Claim("R1, R3", "Dropout is below the baseline on test data", R1, _is(WORSE, "dropout")),
    Claim("R1, R2", "Weight decay is above the baseline on test data", R1, _is(BETTER, "weight_decay")),
    Claim("R1", "Weight decay reaches its best earliest", R1, lambda study: best_earlier(study, "weight_decay")),
    Claim("eight tables", "Batch norm's gain shrinks with the budget", R1,
          lambda study: gain_shrinks(study, "batchnorm")),
    Claim("R4", "L2 improves LeNet-5", R4, _is(BETTER, "weight_decay")),
    Claim("R4", "Batch norm improves LeNet-5", R4, _is(BETTER, "batchnorm")),
    Claim("R5", "Dropout 0.5 with L2 1e-4 improves LeNet-5", R5, _is(BETTER, "dropout+weight_decay")),
    Claim("R5", "The LeNet-5 has 17,166 parameters", R5, _has_parameters(17_166)),
    Claim("R5", "The MLP has 15,830 parameters", R5_MLP, _has_parameters(15_830)),
)  # fmt: skip


def _numbers(published: Iterable[Value], studies: Mapping[str, Study]) -> str:
    lines = [
        "| report | study | setting | | published | ours, mean ± sd (n) | 95 % interval of one run | published is |",
        "|---|---|---|---|---:|---:|---:|---|",
    ]
    for row in published:
        percent = row.metric.endswith("acc")
        digits = 2 if percent else 4
        cells = [row.report, row.study, row.setting, _METRICS[row.metric], f"{row.published:.{digits}f}"]
        study = studies.get(row.study)
        if study is None:
            lines.append(f"| {' | '.join(cells)} | not run yet | – | – |")
            continue
        values = study.runs.loc[study.runs["setting"] == row.setting, row.metric].to_numpy() * (100 if percent else 1)
        low, high = prediction_interval(values)
        inside = low <= row.published <= high
        cells += [f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f} ({len(values)})"]
        cells += [f"{low:.{digits}f} to {high:.{digits}f}", "inside" if inside else "**outside**"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _claims(studies: Mapping[str, Study]) -> str:
    lines = ["| report | claim | verdict | evidence |", "|---|---|---|---|"]
    for claim in CLAIMS:
        study = studies.get(claim.study)
        verdict, evidence = claim.judge(study) if study is not None else ("not run yet", "–")
        lines.append(f"| {claim.reports} | {claim.text} | **{verdict}** | {evidence} |")
    return "\n".join(lines)


def _search(study: Study | None, wanted: float) -> str:
    if study is None:
        return "Not run yet."
    chosen = nearest(study, wanted)
    lines = [f"| setting, seed 0 | train % | from the published {wanted:.2f} | |", "|---|---:|---:|---|"]
    for row in study.runs.sort_values("label").to_dict("records"):
        accuracy = 100 * row["train/acc"]
        mark = "nearest" if row["label"] == chosen else ""
        lines.append(f"| {row['label']} | {accuracy:.2f} | {_signed((accuracy - wanted) / 100)} | {mark} |")
    return "\n".join(lines)


def _all_are(differences: Sequence[Difference], wanted: str) -> str:
    """A claim over several differences fails with the first that is shown to be the other way round."""
    opposite = {BETTER: WORSE, WORSE: BETTER}[wanted]
    verdicts = {each.verdict for each in differences}
    if verdicts == {wanted}:
        return HOLDS
    return FAILS if verdicts & {opposite, ALIKE} else OPEN


def _joint(verdicts: Sequence[str]) -> str:
    return HOLDS if set(verdicts) == {HOLDS} else FAILS if FAILS in verdicts else OPEN


def _told(difference: Difference) -> str:
    return f"{_signed(difference.mean)} ({bound(difference.low)} to {bound(difference.high)})"


def _signed(value: float) -> str:
    return f"{100 * value:+.2f}".replace("-", "−")


if __name__ == "__main__":
    page = Path(sys.argv[1])
    write_text(page, fill(page.read_text(encoding="utf-8"), tables(page.with_suffix(""))))
