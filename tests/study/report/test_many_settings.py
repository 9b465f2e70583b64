"""A report on more settings, seeds or families than a page has room for says so, and its tables have all."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from regbench.cli import app
from regbench.study import load
from regbench.study.comparisons import Comparison, comparisons
from regbench.study.figures.differences import some_seeds
from regbench.study.report.shown import (
    CARDS,
    FAMILIES,
    FIGURE_SETTINGS,
    PLAIN_CARDS,
    TABLE_ROWS,
    shown_cards,
    shown_settings,
)
from regbench.study.statistics import compare
from tests.study.synthetic import write_study

SETTINGS = {"none": 0.89} | {f"dropout p={step / 1000}": 0.86 + step / 2000 for step in range(1, 60)}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweeps") / "many"
    return write_study(folder, SETTINGS, range(2), epochs=1, test_size=200)


@pytest.fixture
def family(study: Path) -> Comparison:
    (found,) = comparisons(load(study))
    return found


def test_the_page_shows_some_of_many_settings_and_says_so(study: Path, tmp_path: Path, unrendered: None) -> None:
    ended = CliRunner().invoke(app, ["report", str(study), "--out", str(tmp_path)])
    assert ended.exit_code == 0, ended.output
    page = (tmp_path / "report.html").read_text()
    assert page.count('<span class="badge">') == CARDS + 1  # one says what validation picks
    more = f"{59 - CARDS} more verdicts are in comparison.csv"
    assert more in page
    assert "and 20 more settings" in ended.output
    told = "Shown are none and the settings of the highest mean test accuracy; the other 36 are in comparison.csv."
    captions = re.findall("<figcaption>(.*?)</figcaption>", page)
    assert sum(told in caption for caption in captions) >= 4
    assert "Shown are the first 6 settings; 54 more are left out." in page
    assert set(pd.read_csv(tmp_path / "comparison.csv")["label"]) == set(SETTINGS)
    assert len(pd.read_csv(tmp_path / "results.csv")) == 120


def test_figures_show_the_baseline_and_the_best_settings(family: Comparison) -> None:
    shown = shown_settings(family, FIGURE_SETTINGS)
    means = {label: family.runs.loc[family.runs["label"] == label, "test/acc"].mean() for label in SETTINGS}
    assert shown[0] == "none"
    assert len(shown) == FIGURE_SETTINGS
    others = [means[label] for label in SETTINGS if label not in shown]
    assert min(means[label] for label in shown[1:]) >= max(others)
    assert shown_settings(family, 60) == list(family.labels)


def test_cards_are_sorted_by_verdict_and_size_where_there_are_many(family: Comparison) -> None:
    differences = compare(family)
    assert shown_cards(differences[:PLAIN_CARDS]) == differences[:PLAIN_CARDS]
    shown = shown_cards(differences)
    assert len(shown) == CARDS
    order = [
        ["better", "worse", "equivalent", "undecided", "too few seeds", "did not act"].index(each.verdict)
        for each in shown
    ]
    assert order == sorted(order)
    for verdict in {each.verdict for each in shown}:
        sizes = [abs(each.mean) for each in shown if each.verdict == verdict]
        assert sizes == sorted(sizes, reverse=True)


def test_figures_draw_seeds_evenly_taken_from_many() -> None:
    few, told = some_seeds(pd.DataFrame({"seed": [3, 1, 2, 3]}))
    assert (list(few), told) == ([1, 2, 3], "")
    some, told = some_seeds(pd.DataFrame({"seed": np.arange(1000)}))
    assert len(set(some)) == 100
    assert (some[0], some[-1]) == (0, 999)
    assert np.diff(some).max() <= 11
    assert told == " Drawn are 100 of the 1,000 seeds; numbers and means are of all."


def test_of_many_runs_without_a_result_the_page_lists_some_and_the_table_all(tmp_path: Path, unrendered: None) -> None:
    number = TABLE_ROWS + 20
    status = {("none", seed): "interrupted" for seed in range(1, number)} | {("none", number): "failed"}
    study = write_study(tmp_path / "study", {"none": 0.9}, range(number + 1), epochs=1, status=status)
    ended = CliRunner().invoke(app, ["report", str(study)])
    page = (study / "report/report.html").read_text()
    assert f"Listed are {TABLE_ROWS} of {number} runs; results.csv has all." in page
    assert page.count("<td>failed</td>") == 1
    assert page.count("<td>interrupted</td>") == TABLE_ROWS - 1
    assert f"left out: {number - 1} interrupted\n" in ended.output
    assert len(pd.read_csv(study / "report/results.csv")) == number + 1


def test_of_many_families_the_page_shows_some_and_the_table_has_all(tmp_path: Path, unrendered: None) -> None:
    study = tmp_path / "study"
    for step in range(FAMILIES + 3):
        overrides = {"optimizer.lr": 0.001 * (step + 1)}
        write_study(study, {"none": 0.9, "dropout": 0.91}, range(2), epochs=1, test_size=100, overrides=overrides)
    ended = CliRunner().invoke(app, ["report", str(study)])
    assert ended.exit_code == 0, ended.output
    assert "and 3 more families of settings" in ended.output
    assert "3 more families of settings are in comparison.csv." in (study / "report/report.html").read_text()
    assert pd.read_csv(study / "report/comparison.csv")["comparison"].nunique() == FAMILIES + 3
