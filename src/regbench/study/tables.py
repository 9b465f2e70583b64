"""The tables that a report writes: a row a run and an epoch, and a row a setting as CSV, Markdown and LaTeX."""

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from regbench.study.axes import NOT_AXES, Comparison
from regbench.study.folders import HISTORY, flatten
from regbench.study.frames import COLUMNS, HISTORY_COLUMNS, INTEGERS, ordered
from regbench.study.results import Study
from regbench.study.statistics import Difference, bound, compare

_SPREAD = ["train/acc", "val/acc", "test/acc", "test/loss", "test/ece", "gap", "best_epoch", "seconds/total"]
_VERDICT = ["n", "mean", "low", "high", "p", "p_holm", "p_permutation", "p_beats", "detectable", "seeds_needed"]
# Heavy or no choice of the experiment, so not worth a column in every row.
_NOT_IN_CSV = {*NOT_AXES, "dataset.classes"}
_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_TEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def comparison_table(comparison: Comparison, differences: Sequence[Difference]) -> pd.DataFrame:
    """Give a row a setting, in the comparison's order, numbers unrounded.

    Accuracies, calibration error, gap and differences are fractions; `best_epoch` counts from 1; `n` is the number of
    seeds and each `… sd` a standard deviation over them, empty for one seed. The baseline has no difference.
    """
    runs = comparison.runs.assign(best_epoch=comparison.runs["best_epoch"] + 1).fillna({"split_seed": -1})
    seeds = runs.groupby(["label", "seed", "split_seed"])[[*_SPREAD, "parameters"]].mean()
    by_label = {difference.label: difference for difference in differences}
    rows = []
    for label in comparison.labels:
        values = seeds.loc[label]
        row: dict[str, object] = {"label": label, "n": len(values), "parameters": round(values["parameters"].mean())}
        for name in _SPREAD:
            row |= {name: values[name].mean(), f"{name} sd": values[name].std(ddof=1)}
        difference = by_label.get(label)
        for name in _VERDICT:
            shown = {"n": "pairs", "mean": "difference"}.get(name, name)
            row[shown] = getattr(difference, name) if difference else None
        row["test"] = ("paired t" if difference.paired else "Welch t") if difference else ""
        row["verdict"] = difference.verdict if difference else ""
        rows.append(row)
    return pd.DataFrame(rows)


def write_tables(study: Study, comparisons: Sequence[Comparison], out: Path, margin: float = 0.003) -> None:
    """Write `results.csv`, `history.csv` and `comparison.csv`, `.md` and `.tex` into `out`, each in one step.

    `results.csv` has a row a run, the unfinished ones with their status and reason, and every value of the
    configuration, so that `load` reads the same study from it and several studies can be set beside each other.
    """
    out.mkdir(parents=True, exist_ok=True)
    tables = [(family, comparison_table(family, compare(family, margin=margin))) for family in comparisons]
    whole = [table.assign(comparison=family.title) for family, table in tables]
    joined = pd.concat(whole, ignore_index=True) if whole else pd.DataFrame(columns=["comparison", "label"])
    joined.insert(0, "comparison", joined.pop("comparison"))
    _replace(out / "results.csv", lambda path: results_table(study).to_csv(path, index=False))
    history = study.history.reindex(columns=ordered(study.history.columns, HISTORY_COLUMNS))
    _replace(out / HISTORY, lambda path: history.to_csv(path, index=False))
    _replace(out / "comparison.csv", lambda path: joined.to_csv(path, index=False))
    _replace(out / "comparison.md", lambda path: path.write_text(markdown(tables), encoding="utf-8"))
    _replace(out / "comparison.tex", lambda path: path.write_text(latex(tables), encoding="utf-8"))


def results_table(study: Study) -> pd.DataFrame:
    """Give the table that `results.csv` holds."""
    runs = study.runs.drop(columns=[name for name in study.runs if str(name).startswith("config/")])
    configs = {key: _cells(config) for key, config in study.configs.items()}
    values = pd.DataFrame([configs.get(key, {}) for key in runs["config_hash"]], index=runs.index)
    values = values[sorted(values.columns)].dropna(axis=1, how="all")
    # The run's place below its study, not on this machine.
    places = [
        f"{dataset}-{model}/{setting}-{key}/seed{seed}"
        for dataset, model, setting, key, seed in zip(
            *(runs[name] for name in ("dataset", "model", "setting", "config_hash", "seed")), strict=True
        )
    ]
    finished = pd.concat([runs.assign(folder=places, status="finished"), values], axis=1)
    rows = pd.concat([frame for frame in (finished, study.unfinished) if len(frame)] or [finished], ignore_index=True)
    rows = rows.reindex(columns=ordered([*values.columns, "status", "reason"], ["status", *COLUMNS, "reason"]))
    # Whole numbers stay so beside the empty cells of unfinished runs.
    return rows.astype(dict.fromkeys(sorted(INTEGERS), "Int64"))


def markdown(tables: Sequence[tuple[Comparison, pd.DataFrame]]) -> str:
    """Write the comparisons as Markdown tables, as people read them: percent, points, rounded."""
    parts = []
    for family, table in tables:
        header, rows = _readable(table)
        lines = [f"**{_escape_markdown(family.title)}**", "", f"| {' | '.join(header)} |"]
        lines.append(f"|{'|'.join(['---', *['---:'] * (len(header) - 2), '---'])}|")
        lines += [f"| {' | '.join(map(_escape_markdown, row))} |" for row in rows]
        parts.append("\n".join([*lines, "", _note(family), ""]))
    return "\n".join(parts)


def latex(tables: Sequence[tuple[Comparison, pd.DataFrame]]) -> str:
    """Write the comparisons as LaTeX tables that need no package."""
    parts = []
    for family, table in tables:
        header, rows = _readable(table)
        lines = [r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{l{'r' * (len(header) - 2)}l}}", r"\hline"]
        lines += [" & ".join(map(_escape_latex, header)) + r" \\", r"\hline"]
        lines += [" & ".join(map(_escape_latex, row)) + r" \\" for row in rows]
        lines += [
            r"\hline",
            r"\end{tabular}",
            rf"\caption{{{_escape_latex(family.title)}. {_escape_latex(_note(family))}}}",
        ]
        parts.append("\n".join([*lines, r"\end{table}", ""]))
    return "\n".join(parts)


def _cells(config: dict[str, object]) -> dict[str, object]:
    """A configuration's values by column; what builds an object is told by its name already."""
    return {
        f"config/{key}": value
        for key, value in flatten(config)
        if key not in _NOT_IN_CSV
        and not key.startswith("dataset.source.")
        and not key.endswith(("_target_", "_partial_"))
        and value != "{}"
    }


def _readable(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    header = ["setting", "n", "train %", "validation %", "test %", "test loss", "calibration error %", "gap, points"]
    header += [
        "best epoch",
        "parameters",
        "time, s",
        "difference, points",
        "simultaneous 95 % interval",
        "Holm's p",
        "verdict",
    ]
    rows = []
    for row in table.to_dict("records"):
        cells = [str(row["label"]), f"{row['n']}"]
        cells += [_spread(row[name], row[f"{name} sd"], 100, 2) for name in ("train/acc", "val/acc", "test/acc")]
        cells += [_spread(row["test/loss"], row["test/loss sd"], 1, 4)]
        cells += [_spread(row[name], row[f"{name} sd"], 100, 2) for name in ("test/ece", "gap")]
        cells += [_spread(row["best_epoch"], row["best_epoch sd"], 1, 1), f"{row['parameters']:,}"]
        cells += [_spread(row["seconds/total"], row["seconds/total sd"], 1, 1)]
        cells += [_signed(row["difference"]), _bounds(row["low"], row["high"]), _p_value(row["p_holm"])]
        rows.append([*cells, str(row["verdict"]) or "–"])
    return header, rows


def _note(family: Comparison) -> str:
    spread = "Mean ± standard deviation over seeds; best epoch counts from 1."
    if family.baseline is None:
        return spread
    return (
        f"{spread} Differences in test accuracy from {family.baseline}, in points, with intervals that hold for all "
        "settings of this table together; the verdict is by Holm's p."
    )


def _spread(mean: float, sd: float, scale: float, digits: int) -> str:
    if _is_missing(mean):
        return "–"
    text = f"{scale * mean:.{digits}f}"
    return text if _is_missing(sd) else f"{text} ± {scale * sd:.{digits}f}"


def _signed(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{100 * value:+.2f}".replace("-", "−")


def _bounds(low: float | None, high: float | None) -> str:
    if low is None or high is None or math.isnan(low):
        return "–"
    return f"{bound(low)} to {bound(high)}"


def _p_value(p: float | None) -> str:
    if p is None or math.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _is_missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


def _escape_markdown(text: str) -> str:
    """Keep a name from ending a cell, opening a tag or turning into emphasis."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{sign}" if sign in "\\|*_`[]" else sign for sign in " ".join(text.split()))


def _escape_latex(text: str) -> str:
    escaped = "".join(_TEX.get(sign, sign) for sign in " ".join(text.split()))
    for sign, command in {"±": r"$\pm$", "−": "$-$", "–": "--", "<": "$<$", ">": "$>$"}.items():
        escaped = escaped.replace(sign, command)
    return escaped


def _replace(target: Path, write: Callable[[Path], object]) -> None:
    """Write beside the target and put it in place in one step, so that a reader never sees a half."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
