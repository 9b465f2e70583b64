"""What the runs of a study are called: each setting's label, and the configuration values in which runs differ."""

import re
from collections.abc import Collection
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd

from regbench.storage.code import KNOWN
from regbench.storage.naming import is_strength, write_strengths
from regbench.study.formatting import config_value

NONE = "none"
REGULARIZER = "config/regularizer."
# Which code a run's regularizers are, and which the rest: two are never averaged, see `storage.code.told_apart`.
REGULARIZER_CODE, OTHER_CODE = CODES = ("code/regularizer", "code/rest")

_CODE_MARK = " [code "

# What a fair comparison keeps the same, apart from whatever else differs in the configurations.
KEPT_THE_SAME = ("dataset", "model", "optimizer", "scheduler", "train_size", "epochs")
# Configuration values that no comparison needs: they have columns of their own, or change no result.
NOT_COMPARED = {
    *("seed", "study", "threads", "compile", "track_test", "histograms", "force", "keep", "regularizer"),
    *("dataset.root", "dataset.margin", "dataset.split_seed", "dataset.train_size", "trainer.max_epochs"),
    "dataset.light_on_dark",
}
# A technique whose parameter of one of these names is zero does nothing.
STRENGTHS = frozenset({"p", "coefficient"})


def label_settings(runs: pd.DataFrame, tuned: "pd.Series[bool] | None" = None) -> pd.Series:
    """Name every run's setting: its techniques, and those of their parameters that differ within the study.

    A setting whose techniques are all switched off by their strength (`p=0`, `coefficient=0`, or every number zero) is
    the baseline and called `none`. Runs of one setting whose regularizers are of different code are told apart by it.

    Args:
        runs: As `Study.runs`, with all columns of the configuration.
        tuned: Which runs' values a search has chosen: none of these, unless given.
    """
    labels = runs["setting"].astype(object).copy()
    for setting, rows in runs.groupby("setting"):
        techniques = [] if setting == NONE else str(setting).split("+")
        columns = parameter_columns(runs, techniques)
        off = _all_off(rows, techniques, columns)
        if tuned is not None:  # a search that chose a strength of nothing has chosen other values beside it
            off &= ~tuned[rows.index].to_numpy()
        labels[rows.index[off]] = NONE
        on = rows[~off]
        varied = [name for name in columns if on[name].nunique(dropna=False) > 1 and not _follows_dataset(on, name)]
        short = [name.rpartition(".")[2] for name in varied]
        if len(set(short)) < len(short):
            short = [name.removeprefix(REGULARIZER) for name in varied]
        distinct, which = _distinct(on, varied)
        named = np.empty(len(distinct), dtype=object)
        for place, values in enumerate(distinct):
            shown = [f"{name}={config_value(value)}" for name, value in zip(short, values, strict=True)]
            named[place] = " ".join([str(setting), *shown])
        labels[on.index] = named[which]
    return _told_apart_by_code(runs, labels).astype("str")


def with_strength(runs: pd.DataFrame, label: str) -> str:
    """Name a setting with the strengths of its techniques, which its label has only where they differ in the study.

    `dropout (p = 0.5)`; the label alone where nothing more is known.
    """
    shown = _constant_strengths(runs, label)
    several = len(_techniques(runs, label)) > 1
    texts = [
        f"{f'{technique} ' if several else ''}{parameter} = {config_value(value)}"
        for technique, parameter, value in shown
    ]
    return f"{label} ({', '.join(texts)})" if texts else label


def short_with_strength(runs: pd.DataFrame, label: str) -> str:
    """Name a setting as `with_strength` does, in the form of labels: `dropout p=0.5`."""
    return " ".join([label, *write_strengths(_constant_strengths(runs, label))])


def drop_known_code(runs: pd.DataFrame) -> pd.DataFrame:
    """Drop the columns of code where all of it is RegBench's known code; runs of old tables count as that."""
    filled = runs.assign(**{name: runs[name].fillna(KNOWN) if name in runs else KNOWN for name in CODES})
    return filled.drop(columns=[name for name in CODES if (filled[name] == KNOWN).all()])


def base_label(label: str) -> str:
    """Return a label without the code that tells it from others."""
    return label.partition(_CODE_MARK)[0]


def switched_off(rows: pd.DataFrame, technique: str) -> np.ndarray:
    """Return for each run whether a technique's strength (`p=0`, `coefficient=0`, or every number zero) is nothing."""
    return _all_off(rows, [technique], parameter_columns(rows, [technique]))


def drop_constant_values(runs: pd.DataFrame, searched: Collection[str] = ()) -> pd.DataFrame:
    """Drop the columns of configuration values that do not differ, or that follow from the columns before them.

    What a technique's parameters are is always kept. Another value follows from dataset, model, optimizer, scheduler,
    train size and epochs where it is the same for all runs that agree in these: momentum for SGD alone says no more
    than `optimizer` does. What a search has chosen for each setting is no difference between their recipes.

    Args:
        runs: As `Study.runs`.
        searched: The keys that a search has chosen.
    """
    groups = runs.groupby(list(KEPT_THE_SAME), dropna=False)
    parameters = set(parameter_columns(runs))
    kept = []
    for name in map(str, runs.columns):
        if not name.startswith("config/") or name in parameters:
            kept.append(name)
        elif name.startswith(REGULARIZER) or name.removeprefix("config/") in {*NOT_COMPARED, *searched}:
            continue
        elif (groups[name].nunique(dropna=False) > 1).any():
            kept.append(name)
    return runs[kept]


def parameter_columns(runs: pd.DataFrame, techniques: list[str] | None = None) -> list[str]:
    """Return the columns of these techniques' parameters; of all techniques where none are named."""
    names = [name for name in map(str, runs) if name.startswith(REGULARIZER) and not name.endswith("_target_")]
    return names if techniques is None else [name for name in names if technique_of(name) in techniques]


def technique_of(column: str) -> str:
    """Return the technique whose parameter a column holds."""
    return column.removeprefix(REGULARIZER).split(".")[0]


def readable_name(column: str) -> str:
    """Return a column's name for readers: `dropout p` for a technique's parameter, else the dotted key."""
    if column.startswith(REGULARIZER):
        return column.removeprefix(REGULARIZER).replace(".", " ")
    return column.removeprefix("config/")


def natural_order(label: str) -> tuple[tuple[bool, str | float], ...]:
    """Return a label's sort key, which puts p=0.05 before p=0.5 and 1e-05 before 0.001."""
    parts = re.split(r"(?<![\w.])(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", label)
    return tuple(
        (number, float(part) if number else part) for number, part in zip(cycle([False, True]), parts, strict=False)
    )


def _techniques(runs: pd.DataFrame, label: str) -> list[str]:
    """Return the techniques of a setting; none of the baseline, whatever it was made with."""
    rows = runs[runs["label"] == label]
    setting = str(rows["setting"].iloc[0]) if "setting" in rows and len(rows) else NONE
    return [] if NONE in {setting, label} else setting.split("+")


def _constant_strengths(runs: pd.DataFrame, label: str) -> list[tuple[str, str, float]]:
    """Return technique, parameter and value of the strengths that a label does not have and all its runs share."""
    rows = runs[runs["label"] == label]
    shown = []
    for name in parameter_columns(rows, _techniques(runs, label)):
        technique, _, parameter = name.removeprefix(REGULARIZER).partition(".")
        value = rows[name].iloc[0]
        number = value.item() if isinstance(value, np.generic) else value
        if is_strength(parameter, number) and f"{parameter}=" not in label and rows[name].nunique() == 1:
            shown.append((technique, parameter, number))
    return shown


def _told_apart_by_code(runs: pd.DataFrame, labels: pd.Series) -> pd.Series:
    if REGULARIZER_CODE not in runs:
        return labels
    told = labels.copy()
    for (label, _), rows in runs.groupby([labels, runs["setting"]]):
        if rows[REGULARIZER_CODE].nunique() > 1:
            told[rows.index] = [f"{label}{_CODE_MARK}{_short_code(code)}]" for code in rows[REGULARIZER_CODE]]
    return told


def _short_code(text: Any) -> str:
    """Shorten what tells a code, `mine.Own 3f9a1c0b2d4e; …`, to its fingerprints."""
    return " ".join(each.partition(" ")[2] or each for each in str(text).split("; "))


def _all_off(rows: pd.DataFrame, techniques: list[str], columns: list[str]) -> np.ndarray:
    """For each run, whether every technique of its setting is switched off."""
    off = np.ones(len(rows), dtype=bool)
    for technique in techniques:
        own = [name for name in columns if technique_of(name) == technique]
        target = f"{REGULARIZER}{technique}._target_"
        own += [target] if target in rows else []
        names = [name.rpartition(".")[2] for name in own]
        distinct, which = _distinct(rows, own)
        off &= np.array([is_off(dict(zip(names, values, strict=True))) for values in distinct], dtype=bool)[which]
    return off


def _distinct(rows: pd.DataFrame, columns: list[str]) -> tuple[list[tuple[Any, ...]], np.ndarray]:
    """Return the combinations of values in these columns, and for each row the place of its own among them."""
    if not columns or rows.empty:
        return [()] * min(len(rows), 1), np.zeros(len(rows), dtype=int)
    which = rows.groupby(columns, dropna=False, sort=False).ngroup().to_numpy()
    _, first = np.unique(which, return_index=True)
    return list(rows[columns].iloc[first].itertuples(index=False, name=None)), which


def is_off(parameters: dict[str, Any]) -> bool:
    """Whether the parameters of one of RegBench's own techniques switch it off; what others do at 0 nobody knows.

    Args:
        parameters: By name, with `_target_` where it is known.
    """
    given = {name: value for name, value in parameters.items() if pd.api.types.is_scalar(value) and not pd.isna(value)}
    if not str(given.pop("_target_", "regbench.")).startswith("regbench."):
        return False
    if any(given.get(name) == 0 for name in STRENGTHS):
        return True
    numbers = [value for value in given.values() if isinstance(value, int | float) and not isinstance(value, bool)]
    return bool(numbers) and not any(numbers) and True not in [value is True for value in given.values()]


def _follows_dataset(rows: pd.DataFrame, name: str) -> bool:
    """Whether a choice that is no number is the same for all runs of a data set, as flips that digits forbid."""
    if pd.api.types.is_numeric_dtype(rows[name]) and not pd.api.types.is_bool_dtype(rows[name]):
        return False
    return bool((rows.groupby("dataset")[name].nunique(dropna=False) == 1).all())
