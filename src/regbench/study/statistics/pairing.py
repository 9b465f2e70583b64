"""When two settings are compared seed by seed, and when as groups."""

import pandas as pd


def is_paired(shared: int, ours: int, theirs: int) -> bool:
    """Whether enough seeds are shared: two at least, unless there are fewer, and half of the smaller group.

    Args:
        shared: Seeds that both settings have.
        ours: Seeds of the setting.
        theirs: Seeds of the baseline.
    """
    smaller = min(ours, theirs)
    return shared >= min(2, smaller) and 2 * shared >= smaller and shared > 0


def values_by_seed(table: pd.DataFrame, metric: str, more: list[str] | None = None) -> dict[str, pd.Series]:
    """Return each label's values by seed and split, several runs of one seed as their mean.

    Args:
        table: Runs or rows of a history with `label`, `seed` and `split_seed`.
        metric: The column that is wanted; rows without a value are left out.
        more: Further columns to keep apart, such as the epoch.
    """
    keys = ["seed", "split_seed", *(more or [])]
    rows = table[["label", *keys, metric]].dropna(subset=[metric]).fillna({"split_seed": -1})
    means = rows.groupby(["label", *keys])[metric].mean()
    empty = means.iloc[:0].droplevel("label")
    known = set(rows["label"])
    return {label: means.loc[label] if label in known else empty for label in table["label"].unique()}
