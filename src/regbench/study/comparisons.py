"""Families of settings that may fairly be compared, because all else in their configurations is the same."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pandas as pd

from regbench.storage.schema import Kind
from regbench.study import run_tables
from regbench.study.formatting import config_value
from regbench.study.margins import margins
from regbench.study.measured import TEST_ACCURACY, Quantity, is_accuracy
from regbench.study.results import LEFT_OUT, Study
from regbench.study.settings import (
    KEPT_THE_SAME,
    NONE,
    OTHER_CODE,
    REGULARIZER,
    natural_order,
    readable_name,
    short_with_strength,
    with_strength,
)


@dataclass(frozen=True)
class Comparison:
    """A family of settings that may fairly be compared: all else in their configurations is the same.

    Attributes:
        title: What the runs share: `"fashion_mnist, lenet5, 5 epochs"`, with whatever tells this family from others.
        baseline: The label that the others are compared with; None where no run of this family has it.
        labels: In the order of display, the baseline first.
        runs: The family's rows of `Study.runs`.
        history: The family's rows of `Study.history`.
        where: The other values that tell this family from the study's others, by column of `runs`.
        margin: The smallest difference in accuracy that matters, a fraction: the data set's, or the largest where the
            family's runs state several.
        training: How all of them are trained: `"adam at 0.001"`; empty where that differs or is not known.
        ended: Label and seed of runs that ended without results that could be used, as failed ones.
        search_sd: Of a tuned study, by label, how much the accuracy of what is chosen varies from search to search.
        kinds: What the metrics of the group `metrics` are, by name.
        metric: What reports judge by, a column of `runs`; the margin is in its unit, NaN where it has none.
    """

    title: str
    baseline: str | None
    labels: tuple[str, ...]
    runs: pd.DataFrame
    history: pd.DataFrame
    where: dict[str, Any] = field(default_factory=dict)
    margin: float = 0.003
    training: str = ""
    ended: frozenset[tuple[str, int]] = frozenset()
    search_sd: dict[str, float] = field(default_factory=dict)
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    metric: str = TEST_ACCURACY

    @property
    def quantity(self) -> Quantity:
        """What reports judge by, in words and in its unit."""
        return Quantity.of(self.metric, self.kinds)

    def judged_by(self, metric: str, margin: float | None) -> "Comparison":
        """Return the family as it is judged by a metric.

        Args:
            metric: A column of `runs`.
            margin: The smallest difference that matters, in its unit; without it, accuracies keep the family's own, and
                other metrics have none.
        """
        kept = self.margin if is_accuracy(metric) else math.nan
        return replace(self, metric=metric, margin=kept if margin is None else margin)

    def runs_of(self, label: str) -> pd.DataFrame:
        """Return a setting's rows of `runs`; none where it has no run."""
        found = self._by_label.get(label)
        return self.runs.iloc[:0] if found is None else found

    def search_variance(self, label: str) -> float:
        """Return the variance of a setting's difference from the baseline that comes from searching both."""
        return sum(self.search_sd.get(name, 0.0) ** 2 for name in (label, str(self.baseline)))

    def described(self, label: str) -> str:
        """Name a setting with the strengths of its techniques."""
        return with_strength(self.runs_of(label), label)

    def named(self, label: str) -> str:
        """Name a setting with the strengths of its techniques in the form of labels, `dropout p=0.5`."""
        return short_with_strength(self.runs_of(label), label)

    @cached_property
    def _by_label(self) -> dict[str, pd.DataFrame]:
        return {str(label): rows for label, rows in self.runs.groupby("label", sort=False)}


def comparisons(study: Study, baseline: str = NONE) -> list[Comparison]:
    """Split a study into families of settings, one for each combination of the values that are not a regularizer's.

    Where all runs have one and the same setting, whatever differs is compared itself (the optimizer, say): its values
    become the labels, and the first of them the baseline unless `baseline` names another.

    Raises:
        ValueError: No run has the baseline's label.
    """
    runs, history = study.runs, study.history
    if runs.empty:
        return []
    fixed = fixed_columns(runs)
    compared = _lone_difference(runs, fixed)
    if compared is not None:
        fixed.remove(compared)
        runs = runs.assign(label=runs[compared].map(config_value).astype("str"))
        history = history.assign(label=run_tables.by_run(history, runs, "label"))
    known = sorted(set(runs["label"]), key=natural_order)
    if baseline not in known and baseline != NONE:
        raise ValueError(f"baseline: expected one of {', '.join(known)}, got {baseline}")
    families = []
    parts = list(split_by(runs, fixed))
    histories = _histories(history, [rows for _, rows in parts])
    ended = _ended_without_results(study.unfinished)
    for (where, rows), part in zip(parts, histories, strict=True):
        labels = sorted(set(rows["label"]), key=natural_order)
        chosen = baseline if baseline in labels else labels[0] if compared is not None else None
        labels = [label for label in labels if label == chosen] + [label for label in labels if label != chosen]
        title = _title(rows, where, compared)
        margin = float(margins(rows).max())
        training = _training(study, rows)
        named = rows.drop_duplicates("config_hash")[["config_hash", "label"]].itertuples(index=False, name=None)
        own = frozenset((str(label), seed) for config_hash, label in named for seed in ended.get(config_hash, ()))
        families.append(
            Comparison(
                title, chosen, tuple(labels), rows, part, where, margin, training, own, _search_sd(rows), study.kinds
            )
        )
    return families


def _search_sd(runs: pd.DataFrame) -> dict[str, float]:
    """By setting, what a bootstrap over its trials gives; none for a study that was not tuned."""
    if run_tables.SEARCH_SD not in runs:
        return {}
    found = runs.groupby("label")[run_tables.SEARCH_SD].max().dropna()
    return {str(label): float(sd) for label, sd in found.items()}


def fixed_columns(runs: pd.DataFrame) -> list[str]:
    """Return the columns that a comparison keeps the same: all that differs in the study but the regularization."""
    configured = [name for name in map(str, runs) if name.startswith("config/")]
    fixed = [*KEPT_THE_SAME, *(name for name in configured if not name.startswith(REGULARIZER))]
    if OTHER_CODE in runs and (runs.groupby(list(KEPT_THE_SAME), dropna=False)[OTHER_CODE].nunique() > 1).any():
        fixed.append(OTHER_CODE)
    if run_tables.DATA in runs:
        fixed.append(run_tables.DATA)
    if run_tables.TUNED in runs and runs["study"].nunique() > 1:  # each search has chosen for its own study alone
        fixed.append("study")
    return fixed


def split_by(runs: pd.DataFrame, columns: list[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Split runs by what they must share; with each part come the values that tell it from the others."""
    varied = [name for name in columns if runs[name].nunique(dropna=False) > 1]
    for rows in groups(runs, varied):
        yield {name: rows[name].iloc[0] for name in varied}, rows


def groups(rows: pd.DataFrame, columns: list[str]) -> list[pd.DataFrame]:
    """Return the rows that agree in these columns together; all rows where there are no columns."""
    return [part for _, part in rows.groupby(columns, dropna=False)] if columns else [rows]


def _histories(history: pd.DataFrame, families: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Return the rows of the history that belong to each family's runs."""
    numbered = pd.concat([rows[run_tables.RUN].assign(family=number) for number, rows in enumerate(families)])
    if len(families) == 1 or numbered.duplicated(run_tables.RUN).any():
        return [history[run_tables.by_run(history, rows, "label").notna()] for rows in families]
    places = history.groupby(run_tables.by_run(history, numbered, "family")).indices
    return [history.iloc[places.get(number, [])] for number in range(len(families))]


def _ended_without_results(unfinished: pd.DataFrame) -> dict[str, list[int]]:
    """Return by configuration the seeds of runs that are left out though they ended."""
    ended = unfinished[unfinished["status"].isin(LEFT_OUT)].dropna(subset=["config_hash", "seed"])
    found: dict[str, list[int]] = {}
    for config_hash, seed in zip(ended["config_hash"], ended["seed"], strict=True):
        found.setdefault(config_hash, []).append(int(seed))
    return found


def _lone_difference(runs: pd.DataFrame, fixed: list[str]) -> str | None:
    """What to compare where there is but one setting: the first that differs; data sets and code are never compared."""
    if runs["label"].nunique() > 1:
        return None
    kept = {"dataset", "study", OTHER_CODE, run_tables.DATA}
    return next((name for name in fixed if name not in kept and runs[name].nunique(dropna=False) > 1), None)


def _training(study: Study, rows: pd.DataFrame) -> str:
    """The optimizer and its rate, where all runs share them."""
    found = set()
    for optimizer, config_hash in set(zip(rows["optimizer"], rows["config_hash"], strict=True)):
        node = study.configs.get(str(config_hash), {}).get("optimizer")
        rate = node.get("lr") if isinstance(node, dict) else None
        found.add(f"{optimizer} at {config_value(rate)}" if rate is not None else "")
    return found.pop() if len(found) == 1 else ""


def _title(rows: pd.DataFrame, where: dict[str, Any], compared: str | None) -> str:
    parts = {name: str(rows[name].iloc[0]) for name in ("dataset", "model")}
    epochs = int(rows["epochs"].iloc[0])
    parts["epochs"] = f"{epochs:,} epoch{'s' if epochs != 1 else ''}"
    for name, value in where.items():
        if name not in parts:
            shown = f"{value:,}" if name == "train_size" else config_value(value)
            parts[name] = shown if name in {"optimizer", "scheduler"} else f"{readable_name(name)} {shown}"
    return ", ".join(text for name, text in parts.items() if name != compared)
