"""What differs between the runs of a study: the settings' labels, the families that are fair to compare, the axes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from regbench.study.frames import to_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regbench.study.results import Study

NONE = "none"
REGULARIZER = "config/regularizer."

# What a fair comparison keeps the same, apart from whatever else differs in the configurations.
_AXES = ["dataset", "model", "optimizer", "scheduler", "train_size", "epochs"]
# Configuration values that no comparison needs: they have columns of their own, or change no result.
NOT_AXES = {
    *("seed", "study", "threads", "compile", "track_test", "histograms", "regularizer"),
    *("dataset.root", "dataset.split_seed", "dataset.train_size", "trainer.max_epochs"),
}
# More data is better and more epochs cost more, so there is nothing to pick.
_NO_PICK = {"train_size", "epochs"}
_OFF_AT_ZERO = {"p", "coefficient"}
_LOG_SPAN = 20


@dataclass(frozen=True)
class Comparison:
    """A family of settings that may fairly be compared: all else in their configurations is the same.

    Attributes:
        title: What the runs share: `"fashion_mnist, lenet5, 5 epochs"`, with whatever tells this family from others.
        baseline: The label that the others are compared with; None where no run of this family has it.
        labels: In the order of display, the baseline first.
        runs: The family's rows of `Study.runs`.
        history: The family's rows of `Study.history`.
        where: The values of the other axes that tell this family from the study's others, by column of `runs`.
    """

    title: str
    baseline: str | None
    labels: tuple[str, ...]
    runs: pd.DataFrame
    history: pd.DataFrame
    where: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StrengthAxis:
    """A number that was varied while all else stayed: a technique's parameter, or another such as `train_size`.

    Attributes:
        key: The column of `Study.runs` that holds it.
        title: For the figure's axis: `"dropout p"`.
        values: Those that were run, ascending.
        log: Whether the positive values span a factor of 20 or more, so that only a logarithmic axis shows them apart.
        runs: Rows of `Study.runs` with a column `value`; several labels only on an axis that is no technique's.
        pick: The value of the highest mean validation accuracy; None without validation, with several labels, or
            where a larger value is no choice (`train_size`, `epochs`).
        where: As in `Comparison`.
    """

    key: str
    title: str
    values: tuple[float, ...]
    log: bool
    runs: pd.DataFrame
    pick: float | None
    where: dict[str, Any] = field(default_factory=dict)


def label_settings(runs: pd.DataFrame) -> pd.Series:
    """Name every run's setting: its techniques, and those of their parameters that differ within the study.

    A setting whose techniques are all switched off by their strength (`p=0`, `coefficient=0`, or every number zero) is
    the baseline and called `none`.
    """
    labels = runs["setting"].astype(object).copy()
    for setting, rows in runs.groupby("setting"):
        techniques = [] if setting == NONE else str(setting).split("+")
        columns = _parameters(runs, techniques)
        off = _all_off(rows, techniques, columns)
        labels[rows.index[off]] = NONE
        on = rows[~off]
        varied = [name for name in columns if on[name].nunique(dropna=False) > 1 and not _follows_dataset(on, name)]
        short = [name.rpartition(".")[2] for name in varied]
        if len(set(short)) < len(short):
            short = [name.removeprefix(REGULARIZER) for name in varied]
        for index, values in zip(on.index, on[varied].itertuples(index=False, name=None), strict=True):
            shown = [f"{name}={_cell(value)}" for name, value in zip(short, values, strict=True)]
            labels[index] = " ".join([str(setting), *shown])
    return labels.astype("str")


def differing(runs: pd.DataFrame) -> pd.DataFrame:
    """Drop the columns of configuration values that do not differ, or that follow from the columns before them.

    What a technique's parameters are is always kept. Another value follows from dataset, model, optimizer, scheduler,
    train size and epochs where it is the same for all runs that agree in these: momentum for SGD alone says no more
    than `optimizer` does.
    """
    groups = runs.groupby(_AXES, dropna=False)
    parameters = set(_parameters(runs))
    kept = []
    for name in map(str, runs.columns):
        if not name.startswith("config/") or name in parameters:
            kept.append(name)
        elif name.startswith(REGULARIZER) or name.removeprefix("config/") in NOT_AXES:
            continue
        elif (groups[name].nunique(dropna=False) > 1).any():
            kept.append(name)
    return runs[kept]


def comparisons(study: Study, baseline: str = NONE) -> list[Comparison]:
    """Split a study into families of settings, one for each combination of the axes that are not a regularizer's.

    Where all runs have one and the same setting, the axis that differs is compared itself (the optimizer, say): its
    values become the labels, and the first of them the baseline unless `baseline` names another.

    Raises:
        ValueError: No run has the baseline's label.
    """
    runs, history = study.runs, study.history
    if runs.empty:
        return []
    axes = _axes(runs)
    compared = _lone_axis(runs, axes)
    if compared is not None:
        axes.remove(compared)
        runs = runs.assign(label=runs[compared].map(_cell).astype("str"))
        by_hash = runs.drop_duplicates("config_hash").set_index("config_hash")["label"]
        history = history.assign(label=history["config_hash"].map(by_hash))
    known = sorted(set(runs["label"]), key=_natural)
    if baseline not in known and baseline != NONE:
        raise ValueError(f"baseline: expected one of {', '.join(known)}, got {baseline}")
    families = []
    for where, rows in _families(runs, axes):
        labels = sorted(set(rows["label"]), key=_natural)
        chosen = baseline if baseline in labels else labels[0] if compared is not None else None
        labels = [label for label in labels if label == chosen] + [label for label in labels if label != chosen]
        hashes = rows["config_hash"].unique()
        part = history[history["config_hash"].isin(hashes)]
        title = _title(rows, where, compared)
        families.append(Comparison(title, chosen, tuple(labels), rows, part, where))
    return families


def strength_axes(study: Study) -> list[StrengthAxis]:
    """Find the numbers that took three values or more while all else stayed; `none` is a technique's value 0."""
    runs = study.runs
    if runs.empty:
        return []
    axes = _axes(runs)
    found = []
    for where, family in _families(runs, axes):
        for setting, rows in family[family["setting"] != NONE].groupby("setting"):
            columns = _parameters(runs, str(setting).split("+"))
            for name in columns:
                for part in _grouped(rows, [column for column in columns if column != name]):
                    found += _strength(name, _with_baseline(part, name, columns, family), where)
    for name in axes:
        if name not in _AXES[:4]:
            for where, family in _families(runs, [axis for axis in axes if axis != name]):
                found += _strength(name, family, where)
    return found


def _axes(runs: pd.DataFrame) -> list[str]:
    return _AXES + [name for name in map(str, runs) if name.startswith("config/") and not name.startswith(REGULARIZER)]


def _parameters(runs: pd.DataFrame, techniques: list[str] | None = None) -> list[str]:
    """The columns of the techniques' parameters; of all techniques where none are named."""
    names = [name for name in map(str, runs) if name.startswith(REGULARIZER) and not name.endswith("_target_")]
    return names if techniques is None else [name for name in names if _technique(name) in techniques]


def _technique(column: str) -> str:
    return column.removeprefix(REGULARIZER).split(".")[0]


def _lone_axis(runs: pd.DataFrame, axes: list[str]) -> str | None:
    """The axis to compare where there is but one setting: the first that differs; data sets are never compared."""
    if runs["label"].nunique() > 1:
        return None
    return next((name for name in axes if name != "dataset" and runs[name].nunique(dropna=False) > 1), None)


def _families(runs: pd.DataFrame, axes: list[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Split runs by what they must share; with each part the values that tell it from the others."""
    varied = [name for name in axes if runs[name].nunique(dropna=False) > 1]
    for rows in _grouped(runs, varied):
        yield {name: rows[name].iloc[0] for name in varied}, rows


def _grouped(rows: pd.DataFrame, columns: list[str]) -> list[pd.DataFrame]:
    return [part for _, part in rows.groupby(columns, dropna=False)] if columns else [rows]


def _title(rows: pd.DataFrame, where: dict[str, Any], compared: str | None) -> str:
    parts = {name: str(rows[name].iloc[0]) for name in ("dataset", "model")}
    epochs = int(rows["epochs"].iloc[0])
    parts["epochs"] = f"{epochs:,} epoch{'s' if epochs != 1 else ''}"
    for name, value in where.items():
        if name not in parts:
            shown = f"{value:,}" if name == "train_size" else _cell(value)
            parts[name] = shown if name in {"optimizer", "scheduler"} else f"{_short(name)} {shown}"
    return ", ".join(text for name, text in parts.items() if name != compared)


def _strength(name: str, rows: pd.DataFrame, where: dict[str, Any]) -> list[StrengthAxis]:
    """The axis where the column holds three numbers or more, else nothing."""
    if not pd.api.types.is_numeric_dtype(rows[name]) or pd.api.types.is_bool_dtype(rows[name]):
        return []
    rows = rows.assign(value=rows[name].astype(float)).dropna(subset="value").sort_values("value", kind="stable")
    values = tuple(float(value) for value in rows["value"].unique())
    if len(values) < 3:
        return []
    positive = [value for value in values if value > 0]
    log = len(positive) > 1 and positive[-1] / positive[0] >= _LOG_SPAN and values[0] >= 0
    pick = None
    is_technique = name.startswith(REGULARIZER)
    if name not in _NO_PICK and (is_technique or rows["label"].nunique() == 1):
        scores = rows.groupby("value")["val/acc"].mean().dropna()
        pick = None if scores.empty else float(scores.index[int(scores.to_numpy().argmax())])
    return [StrengthAxis(name, _short(name), values, log, rows, pick, where)]


def _with_baseline(rows: pd.DataFrame, name: str, columns: list[str], family: pd.DataFrame) -> pd.DataFrame:
    """Put the family's runs without regularization at 0 of a lone technique's strength."""
    numbers = [column for column in columns if pd.api.types.is_numeric_dtype(rows[column].infer_objects())]
    is_strength = name.rpartition(".")[2] in _OFF_AT_ZERO or numbers == [name]
    if rows["setting"].iloc[0] != _technique(name) or not is_strength:
        return rows
    none = family[family["setting"] == NONE]
    return pd.concat([none.assign(**{name: 0.0}), rows])


def _all_off(rows: pd.DataFrame, techniques: list[str], columns: list[str]) -> np.ndarray:
    """For each run, whether every technique of its setting is switched off."""
    off = np.ones(len(rows), dtype=bool)
    for technique in techniques:
        own = [name for name in columns if _technique(name) == technique]
        off &= [_is_off({name.rpartition(".")[2]: row[name] for name in own}) for row in rows[own].to_dict("records")]
    return off


def _is_off(parameters: dict[str, Any]) -> bool:
    """Whether one technique's parameters switch it off."""
    given = {name: value for name, value in parameters.items() if not pd.isna(value)}
    if any(given.get(name) == 0 for name in _OFF_AT_ZERO):
        return True
    numbers = [value for value in given.values() if isinstance(value, int | float) and not isinstance(value, bool)]
    return bool(numbers) and not any(numbers) and True not in [value is True for value in given.values()]


def _follows_dataset(rows: pd.DataFrame, name: str) -> bool:
    """Whether a choice that is no number is the same for all runs of a data set, as flips that digits forbid."""
    if pd.api.types.is_numeric_dtype(rows[name]) and not pd.api.types.is_bool_dtype(rows[name]):
        return False
    return bool((rows.groupby("dataset")[name].nunique(dropna=False) == 1).all())


def _short(column: str) -> str:
    """`dropout p` for a technique's parameter, the dotted key for any other value."""
    if column.startswith(REGULARIZER):
        return column.removeprefix(REGULARIZER).replace(".", " ")
    return column.removeprefix("config/")


def _cell(value: Any) -> str:
    return "null" if pd.isna(value) else to_text(value)


def _natural(label: str) -> tuple[tuple[bool, str | float], ...]:
    """Sort key that puts p=0.05 before p=0.5 and 1e-05 before 0.001."""
    parts = re.split(r"(?<![\w.])(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", label)
    return tuple(
        (number, float(part) if number else part) for number, part in zip(cycle([False, True]), parts, strict=False)
    )
