"""The tables that a report writes: one row per run, per epoch and per setting, the last as CSV, Markdown and LaTeX."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from regbench.storage.files import replace_file, write_json
from regbench.storage.identity import without_measured
from regbench.storage.schema import HISTORY, PROVENANCE, run_path
from regbench.study.comparisons import Comparison
from regbench.study.flat_config import flatten
from regbench.study.formatting import MISSING, change, interval, mean_sd, p_value
from regbench.study.measured import Quantity
from regbench.study.results import Study
from regbench.study.run_tables import (
    ADDED_AFTER,
    COLUMNS,
    DATA,
    HISTORY_COLUMNS,
    INERT,
    INTEGERS,
    SEARCH_SD,
    STAGES,
    TUNED,
    ordered,
)
from regbench.study.settings import CODES, NOT_COMPARED
from regbench.study.statistics import Difference

_SPREAD = ["train/acc", "val/acc", "test/acc", "test/loss", "test/ece", "gap", "best_epoch", "seconds/total"]
_VERDICT = [
    *("n", "mean", "low", "high", "low_new_images", "high_new_images", "margin"),
    *("p", "p_adjusted", "p_permutation", "p_beats", "detectable"),
]
# Heavy or no choice of the experiment, so not worth a column in every row.
_NOT_IN_CSV = {*NOT_COMPARED, "dataset.classes"}
_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_TEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def comparison_table(
    comparison: Comparison, differences: Sequence[Difference], labels: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return one row per setting, or for these, in the comparison's order or theirs, numbers unrounded.

    Accuracies, calibration error, gap and differences are fractions; `best_epoch` counts from 1; `n` is the number of
    seeds and each `… sd` a standard deviation over them, empty for one seed. The baseline has no difference. `metric`
    is there where settings are judged by another one than test accuracy.
    """
    runs = comparison.runs.assign(best_epoch=comparison.runs["best_epoch"] + 1).fillna({"split_seed": -1})
    spread = list(dict.fromkeys([*_SPREAD, comparison.metric, *own_columns(comparison)]))
    seeds = runs.groupby(["label", "seed", "split_seed"])[[*spread, "parameters"]].mean()
    by_label = {difference.label: difference for difference in differences}
    rows = []
    for label in comparison.labels if labels is None else labels:
        values = seeds.loc[label]
        row: dict[str, object] = {"label": label, "n": len(values), "parameters": round(values["parameters"].mean())}
        for name in spread:
            row |= {name: values[name].mean(), f"{name} sd": values[name].std(ddof=1)}
        difference = by_label.get(label)
        for name in _VERDICT:
            shown = {"n": "pairs", "mean": "difference"}.get(name, name)
            row[shown] = getattr(difference, name) if difference else None
        needed = difference.seeds_needed if difference else None
        row |= {
            "seeds_needed_low": needed.low if needed else None,
            "seeds_needed_high": needed.high if needed else None,
        }
        row["test"] = ("paired t" if difference.paired else "Welch t") if difference else ""
        row["verdict"] = difference.verdict if difference else ""
        if not comparison.quantity.is_test_accuracy:
            row["metric"] = comparison.metric
        rows.append(row)
    return pd.DataFrame(rows)


def own_columns(comparison: Comparison) -> list[str]:
    """Return the columns of the family's runs that are test metrics of the group `metrics`, those by class left out."""
    columns = [f"test/{name}" for name in comparison.kinds]
    return [name for name in columns if name in comparison.runs and comparison.runs[name].notna().any()]


def write_tables(study: Study, judged: Sequence[tuple[Comparison, Sequence[Difference]]], out: Path) -> None:
    """Write `results.csv`, `history.csv`, `provenance.json` and `comparison.csv`, `.md` and `.tex`, each in one step.

    `results.csv` has one row per run, the unfinished ones with their status and reason, and every value of the
    configuration, so that `load` reads the same study from it and several studies can be set beside each other.

    Args:
        study: What was loaded.
        judged: Its families with what was found of each.
        out: The folder, made where missing.
    """
    out.mkdir(parents=True, exist_ok=True)
    tables = [(family, comparison_table(family, differences)) for family, differences in judged]
    whole = [table.assign(comparison=family.title) for family, table in tables]
    joined = pd.concat(whole, ignore_index=True) if whole else pd.DataFrame(columns=["comparison", "label"])
    joined.insert(0, "comparison", joined.pop("comparison"))
    replace_file(out / "results.csv", lambda path: results_table(study).to_csv(path, index=False))
    history = study.history.reindex(columns=ordered(study.history.columns, HISTORY_COLUMNS))
    replace_file(out / HISTORY, lambda path: history.to_csv(path, index=False))
    measured = {name: each.described() for name, each in study.measured.items()}
    described = {"commands": study.commands, "provenance": study.provenance}
    write_json(out / PROVENANCE, described | ({"measured": measured} if measured else {}))
    replace_file(out / "comparison.csv", lambda path: joined.to_csv(path, index=False))
    replace_file(out / "comparison.md", lambda path: path.write_text(markdown(tables), encoding="utf-8"))
    replace_file(out / "comparison.tex", lambda path: path.write_text(latex(tables), encoding="utf-8"))


def results_table(study: Study) -> pd.DataFrame:
    """Give the table that `results.csv` holds."""
    runs = study.runs.drop(columns=[name for name in study.runs if str(name).startswith("config/")])
    hashes = list(dict.fromkeys(runs["config_hash"]))
    values = pd.DataFrame([_cells(study.configs.get(key, {})) for key in hashes], index=hashes)
    values = values.take(values.index.get_indexer(pd.Index(runs["config_hash"]))).set_axis(runs.index)
    values = values[sorted(values.columns)].dropna(axis=1, how="all")
    # The run's place below its study, not on this machine.
    places = [
        run_path(dataset, model, setting, key, seed)
        for dataset, model, setting, key, seed in zip(
            *(runs[name] for name in ("dataset", "model", "setting", "config_hash", "seed")), strict=True
        )
    ]
    finished = pd.concat([runs.assign(folder=places, status="finished"), values], axis=1)
    rows = pd.concat([frame for frame in (finished, study.unfinished) if len(frame)] or [finished], ignore_index=True)
    told = [name for name in (*CODES, DATA, INERT, STAGES, ADDED_AFTER, TUNED, SEARCH_SD) if name in runs]
    own = [name for name in study.metrics if name not in COLUMNS]
    first = ["status", *COLUMNS, *own, *told, "reason"]
    rows = rows.reindex(columns=ordered([*values.columns, *first], first))
    # Whole numbers stay so beside the empty cells of unfinished runs.
    return rows.astype(dict.fromkeys(sorted(INTEGERS), "Int64"))


def markdown(tables: Sequence[tuple[Comparison, pd.DataFrame]]) -> str:
    """Write the comparisons as Markdown tables, as people read them: percent, points, rounded."""
    parts = []
    for family, table in tables:
        header, rows = _readable(family, table)
        lines = [f"**{_escape_markdown(family.title)}**", "", f"| {' | '.join(header)} |"]
        lines.append(f"|{'|'.join(['---', *['---:'] * (len(header) - 2), '---'])}|")
        lines += [f"| {' | '.join(map(_escape_markdown, row))} |" for row in rows]
        parts.append("\n".join([*lines, "", _note(family), ""]))
    return "\n".join(parts)


def latex(tables: Sequence[tuple[Comparison, pd.DataFrame]]) -> str:
    """Write the comparisons as LaTeX tables that need no package."""
    parts = []
    for family, table in tables:
        header, rows = _readable(family, table)
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
        for key, value in flatten(without_measured(config))
        if key not in _NOT_IN_CSV
        and not key.startswith("dataset.source.")
        and not key.endswith(("_target_", "_partial_"))
        and value != "{}"
    }


def _readable(family: Comparison, table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    judged = family.quantity
    more = [name for name in dict.fromkeys([family.metric, *own_columns(family)]) if name not in _SPREAD]
    others = [Quantity.of(name, family.kinds) for name in more]
    header = ["setting", "n", "train %", "validation %", "test %", "test loss", "calibration error %", "gap, points"]
    header += [
        "best epoch",
        "parameters",
        "time, s",
        *(each.axis.replace(", %", " %") for each in others),
        f"difference{judged.unit}" if judged.is_test_accuracy else f"difference in {judged.words}{judged.unit}",
        "simultaneous 95 % interval",
        "adjusted p",
        "verdict",
    ]
    rows = []
    for row in table.to_dict("records"):
        cells = [family.described(str(row["label"])), f"{row['n']}"]
        cells += [_mean(row, name, 100) for name in ("train/acc", "val/acc", "test/acc")]
        cells += [_mean(row, "test/loss", digits=4)]
        cells += [_mean(row, name, 100) for name in ("test/ece", "gap")]
        cells += [_mean(row, "best_epoch", digits=1), f"{row['parameters']:,}"]
        cells += [_mean(row, "seconds/total", digits=1)]
        cells += [_mean(row, each.column, each.scale, each.digits) for each in others]
        kind = judged.kind
        cells += [change(row["difference"], kind), interval(row["low"], row["high"], kind), p_value(row["p_adjusted"])]
        rows.append([*cells, str(row["verdict"]) or MISSING])
    return header, rows


def _mean(row: Mapping[Hashable, Any], name: str, scale: float = 1.0, digits: int = 2) -> str:
    return mean_sd(scale * row[name], scale * row[f"{name} sd"], digits)


def _note(family: Comparison) -> str:
    spread = "Mean ± standard deviation over seeds; best epoch counts from 1."
    if family.baseline is None:
        return spread
    judged = family.quantity
    margin = f"with a margin of ±{judged.size(family.margin)}" if family.margin > 0 else "without a margin"
    in_points = ", in points," if judged.kind.fraction else ""
    return (
        f"{spread} Differences in {judged.words} from {family.baseline}{in_points} with intervals that hold for all "
        f"settings of this table together with 95 %; the verdict is read off the interval, {margin}."
    )


def _escape_markdown(text: str) -> str:
    """Keep a name from ending a cell, opening a tag or turning into emphasis."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{sign}" if sign in "\\|*_`[]" else sign for sign in " ".join(text.split()))


def _escape_latex(text: str) -> str:
    escaped = "".join(_TEX.get(sign, sign) for sign in " ".join(text.split()))
    for sign, command in {"±": r"$\pm$", "−": "$-$", "–": "--", "<": "$<$", ">": "$>$"}.items():
        escaped = escaped.replace(sign, command)
    return escaped
