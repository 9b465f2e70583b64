"""Numbers that were varied while all else stayed the same: a technique's strength, the size of the training split."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from regbench.study.comparisons import fixed_columns, groups, split_by
from regbench.study.results import Study
from regbench.study.settings import (
    NONE,
    REGULARIZER,
    REGULARIZER_CODE,
    STRENGTHS,
    parameter_columns,
    readable_name,
    technique_of,
)

# More data is better and more epochs cost more, so there is nothing to pick.
_NO_PICK = {"train_size", "epochs"}
# These of the columns that a comparison keeps the same are names, not numbers.
_NAMES = {"study", "dataset", "model", "optimizer", "scheduler"}
_LOG_SPAN = 20


@dataclass(frozen=True)
class VariedParameter:
    """A number that was varied while all else stayed: a technique's parameter, or another such as `train_size`.

    Attributes:
        key: The column of `Study.runs` that holds it.
        title: For the figure's axis: `"dropout p"`.
        values: Those that were run, ascending.
        log: Whether the positive values span a factor of 20 or more, so that only a logarithmic axis shows them apart.
        runs: Rows of `Study.runs` with a column `value`; several labels only where it is no technique's parameter.
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


def varied_parameters(study: Study) -> list[VariedParameter]:
    """Find the numbers that took three values or more while all else stayed; `none` is a technique's value 0."""
    runs = study.runs
    if runs.empty:
        return []
    fixed = fixed_columns(runs)
    found = []
    for where, family in split_by(runs, fixed):
        for setting, rows in family[family["setting"] != NONE].groupby("setting"):
            columns = parameter_columns(runs, str(setting).split("+"))
            for name in columns:
                kept = [column for column in (*columns, REGULARIZER_CODE) if column != name and column in rows]
                for part in groups(rows, kept):
                    found += _varied(name, _with_baseline(part, name, columns, family), where)
    for name in fixed:
        if name not in _NAMES:
            for where, family in split_by(runs, [other for other in fixed if other != name]):
                found += _varied(name, family, where)
    return found


def _varied(name: str, rows: pd.DataFrame, where: dict[str, Any]) -> list[VariedParameter]:
    """The parameter where its column holds three numbers or more, else nothing."""
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
    return [VariedParameter(name, readable_name(name), values, log, rows, pick, where)]


def _with_baseline(rows: pd.DataFrame, name: str, columns: list[str], family: pd.DataFrame) -> pd.DataFrame:
    """Put the family's runs without regularization at 0 of a lone technique's strength."""
    numbers = [column for column in columns if pd.api.types.is_numeric_dtype(rows[column].infer_objects())]
    is_strength = name.rpartition(".")[2] in STRENGTHS or numbers == [name]
    if rows["setting"].iloc[0] != technique_of(name) or not is_strength:
        return rows
    none = family[family["setting"] == NONE]
    return pd.concat([none.assign(**{name: 0.0}), rows])
