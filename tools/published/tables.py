"""Writes the tables of `docs/published.md`: published numbers beside ours, claims, searches.

`make published` runs it after the studies; a test keeps both pages true to the committed `results.csv` files.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from regbench.study import Study, load
from regbench.study.comparisons import comparisons
from regbench.study.formatting import mean_sd_of, points
from regbench.study.statistics import compare
from tools.published.claims import claims_table
from tools.published.course import course_table, reading
from tools.published.gains import gains, gains_by_rate, hidden_dropout
from tools.published.values import (
    METRICS,
    NOT_RUN,
    R1,
    R2_RATE,
    R5,
    Value,
    interval_of_one_run,
    number,
    read_values,
    spread,
    told,
    verdict,
)

VALUES = "values.csv"

_SEARCHES = ("dropout", "weight_decay", "batchnorm")
# Studies that change one thing of R5's recipe: what it is, and the column of its values where there are several.
_CAUSES = {
    R5: ("as assumed", ""),
    "r5_cause_batch_size": ("batches of 32", ""),
    "r5_cause_rate": ("rate", "config/optimizer.lr"),
    "r5_cause_network": ("tanh, average pooling", ""),
}


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
    r1 = studies.get(R1)
    r2_values = [each for each in published if each[:2] == ("R2", R1)]
    found = {
        "r1": _summary(r1, [each for each in published if each[:2] == ("R1", R1)]),
        "numbers": _numbers(published, studies),
        "claims": claims_table(studies, published),
        "gains": gains(published, studies),
        "course": course_table(r1),
        "reading": reading(r1),
        "r2-budgets": budgets(r1, r2_values),
        "r2-online": online(r1, r2_values),
        "r5-causes": causes(studies, [each for each in published if each[:3] == ("R5", R5, "dropout+weight_decay")]),
        "r2-rate": budgets(studies.get(R2_RATE), r2_values),
        "r2-gains": gains_by_rate(published, studies),
        "r2-hidden": hidden_dropout(published, studies),
        "picked": picked(r1),
    }
    for technique in _SEARCHES:
        (wanted,) = (each.published for each in published if each[:4] == ("R1", R1, technique, "train/acc"))
        found[f"search-{technique}"] = _search(studies.get(f"r1_search_{technique}"), wanted)
    return found


def nearest(study: Study, train_accuracy: float) -> str:
    """Return the label of the search's run whose train accuracy, in percent, is nearest to a published one."""
    distances = (100 * study.runs["train/acc"] - train_accuracy).abs()
    return str(study.runs["label"].iloc[int(distances.to_numpy().argmin())])


def budgets(study: Study | None, published: Sequence[Value]) -> str:
    """Return after how many epochs our train accuracy is nearest to the published one, and the test accuracy there.

    Ours is the one counted while training, which those of notebooks most likely are.
    """
    if study is None:
        return NOT_RUN
    titles = (
        "setting",
        "published train %, test %",
        "our nearest train %, counted while training, after so many epochs",
        "test % there",
    )
    lines = [f"| {' | '.join(titles)} |", "|---|---:|---:|---:|"]
    for setting in dict.fromkeys(each.setting for each in published):
        theirs = {each.metric: each.published for each in published if each.setting == setting}
        history = study.history[study.history["setting"] == setting]
        train, test = (
            100 * history.pivot_table(index="epoch", values=name, columns="seed")
            for name in ("train/acc_online", "test/acc")
        )
        epoch = int((train.mean(axis=1) - theirs["train/acc"]).abs().to_numpy().argmin())
        lines.append(
            f"| {setting} | {theirs['train/acc']:.2f}, {theirs['test/acc']:.2f} | "
            f"{train.iloc[epoch].mean():.2f}, {epoch + 1} | {mean_sd_of(test.iloc[epoch])} |"
        )
    return "\n".join(lines)


def picked(study: Study | None) -> str:
    """Return what picking each run's best epoch on the test set, as notebooks do, adds to its test accuracy."""
    if study is None:
        return NOT_RUN
    (family,) = comparisons(study)
    lines = [
        "| setting | test % after the last epoch | test % at the epoch picked on the test set | too high by |",
        "|---|---:|---:|---:|",
    ]
    for label in family.labels:
        curves = study.history[study.history["label"] == label].pivot(index="seed", columns="epoch", values="test/acc")
        last, best = 100 * curves.iloc[:, -1], 100 * curves.max(axis=1)
        cells = [mean_sd_of(each) for each in (last, best, best - last)]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def online(study: Study | None, published: Sequence[Value]) -> str:
    """Return the last epoch's train accuracy counted while training, regularizer at work, beside the published one."""
    if study is None:
        return NOT_RUN
    lines = [
        "| setting | published train % | ours after training | counted while training | 95 % interval of one run | |",
        "|---|---:|---:|---:|---:|---|",
    ]
    last = study.history[study.history["epoch"] == study.history["epoch"].max()]
    for row in published:
        if row.metric != "train/acc":
            continue
        after = study.runs.loc[study.runs["setting"] == row.setting, row.metric].to_numpy()
        during = last.loc[last["setting"] == row.setting, "train/acc_online"].to_numpy()
        interval, place = interval_of_one_run(during, row)
        cells = [
            row.setting,
            number(row.published, row.metric),
            spread(after, row.metric),
            spread(during, row.metric),
        ]
        lines.append(f"| {' | '.join([*cells, interval, place])} |")
    return "\n".join(lines)


def causes(studies: Mapping[str, Study], published: Sequence[Value]) -> str:
    """Return one setting's numbers under changed recipes, each with the place of the published one."""
    if R5 not in studies:
        return NOT_RUN
    setting = published[0].setting
    lines = [
        f"| recipe | seeds | {' | '.join(METRICS[each.metric] for each in published)} |",
        f"|---|---:|{'---:|' * len(published)}",
        f"| published | 1 | {' | '.join(number(each.published, each.metric) for each in published)} |",
    ]
    for name, (title, column) in _CAUSES.items():
        if name not in studies:
            continue
        runs = studies[name].runs[studies[name].runs["setting"] == setting]
        for value, rows in runs.groupby(column) if column else [("", runs)]:
            values = [(rows[each.metric].to_numpy(), each) for each in published]
            cells = [f"{spread(found, each.metric)}, {interval_of_one_run(found, each)[1]}" for found, each in values]
            lines.append(f"| {title} {value}".rstrip() + f" | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _numbers(published: Iterable[Value], studies: Mapping[str, Study]) -> str:
    lines = [
        "| report | study | setting | | published | ours, mean ± sd (n) | 95 % interval of one run | published is |",
        "|---|---|---|---|---:|---:|---:|---|",
    ]
    for row in published:
        cells = [row.report, row.study, row.setting, METRICS[row.metric], number(row.published, row.metric)]
        study = studies.get(row.study)
        if study is None:
            lines.append(f"| {' | '.join(cells)} | not run yet | – | – |")
            continue
        values = study.runs.loc[study.runs["setting"] == row.setting, row.metric].to_numpy()
        cells += [f"{spread(values, row.metric)} ({len(values)})", *interval_of_one_run(values, row)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _summary(study: Study | None, published: Sequence[Value]) -> str:
    if study is None:
        return NOT_RUN
    (family,) = comparisons(study)
    differences = {each.label: each for each in compare(family)}
    lines = [
        "| setting | train % (published) | test % (published) | test, from none, points (simultaneous 95 %) | |",
        "|---|---:|---:|---:|---|",
    ]
    for label in family.labels:
        cells = [label]
        for metric in ("train/acc", "test/acc"):
            values = 100 * study.runs.loc[study.runs["label"] == label, metric]
            (theirs,) = (each.published for each in published if each[2:4] == (label, metric))
            cells.append(f"{mean_sd_of(values)} ({theirs:.2f})")
        found = differences.get(label)
        cells += [told(found), verdict(found)] if found else ["–", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _search(study: Study | None, wanted: float) -> str:
    if study is None:
        return NOT_RUN
    chosen = nearest(study, wanted)
    lines = [f"| setting, seed 0 | train % | from the published {wanted:.2f} | |", "|---|---:|---:|---|"]
    for row in study.runs.sort_values("label").to_dict("records"):
        accuracy = 100 * row["train/acc"]
        mark = "nearest" if row["label"] == chosen else ""
        lines.append(f"| {row['label']} | {accuracy:.2f} | {points((accuracy - wanted) / 100)} | {mark} |")
    return "\n".join(lines)
