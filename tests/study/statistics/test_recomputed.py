"""Every committed comparison.csv is computed again from its results.csv with statsmodels."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from tests.conftest import ROOT

TABLES = sorted((ROOT / "docs").glob("*/*/comparison.csv"))


def differences(folder: Path) -> tuple[pd.DataFrame, int]:
    """The paired differences of a study with one family, seeds by settings, and how often it was looked at."""
    runs = pd.read_csv(folder / "results.csv")
    runs = runs[runs["status"] == "finished"]
    table = pd.read_csv(folder / "comparison.csv", dtype={"label": str})
    baseline = table.loc[table["difference"].isna(), "label"].iloc[0]
    # Where one setting was trained at several rates, the rates are what is compared.
    named = runs["label"] if baseline in set(runs["label"]) else runs["config/optimizer.lr"].map("{:g}".format)
    values = runs.assign(label=named).pivot_table(index="seed", columns="label", values="test/acc")
    looks = len(str(runs["stages"].iloc[0]).split(",")) if "stages" in runs else 1
    found = values.drop(columns=baseline).sub(values[baseline], axis=0)
    return found.apply(with_search, searched=search_sd(runs), baseline=baseline), looks


def search_sd(runs: pd.DataFrame) -> pd.Series:
    """By setting, how much what a search chooses varies; 0 where nothing was searched."""
    return runs.groupby("label")["search_sd"].first() if "search_sd" in runs else pd.Series(dtype=float)


def with_search(differences: pd.Series, searched: pd.Series, baseline: str) -> pd.Series:
    """Spread the differences about their mean until its standard error counts two searches as well."""
    search = np.hypot(*(searched.get(label, 0.0) for label in (differences.name, baseline)))
    error = differences.sem()
    return differences.mean() + (differences - differences.mean()) * np.hypot(error, search) / error


def test_there_are_tables() -> None:
    assert len(TABLES) >= 5


@pytest.mark.parametrize("path", TABLES, ids=[path.parent.name for path in TABLES])
def test_a_committed_table_is_what_statsmodels_computes(path: Path) -> None:
    table = pd.read_csv(path, dtype={"label": str})
    compared = table[table["difference"].notna()].set_index("label")
    if compared.empty:
        return
    found, looks = differences(path.parent)
    # In stages a setting is judged by the seeds of the stage that decided it: the first ones.
    seeds = {label: found[label].dropna().to_numpy()[: int(row["pairs"])] for label, row in compared.iterrows()}
    tests = {label: DescrStatsW(values) for label, values in seeds.items()}
    m = len(tests) * looks
    raw = [each.ttest_mean(0)[1] for each in tests.values()]
    # Each look is a test of its own; those that are not shown have p-values of at most 1.
    adjusted = multipletests([*raw, *[1.0] * (m - len(raw))], method="bonferroni")[1][: len(raw)]
    for (label, each), p, p_adjusted in zip(tests.items(), raw, adjusted, strict=True):
        row = compared.loc[label]
        low, high = each.tconfint_mean(alpha=0.05 / m)
        assert row["difference"] == pytest.approx(each.mean, abs=1e-12)
        assert (row["low"], row["high"]) == pytest.approx((low, high), abs=1e-9)
        assert (row["p"], row["p_adjusted"]) == pytest.approx((p, p_adjusted), rel=1e-6)
        smaller_p = min(each.ttest_mean(0, alternative=side)[1] for side in ("larger", "smaller"))
        excluded = smaller_p < 0.05 / m / 2
        inside = each.ttost_mean(-row["margin"], row["margin"])[0] < 0.05 / m / 2
        expected = ("better" if each.mean > 0 else "worse") if excluded else "equivalent" if inside else "undecided"
        assert row["verdict"] == expected
        assert np.sign(low) == np.sign(high) or not excluded
