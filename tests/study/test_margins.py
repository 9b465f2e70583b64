"""The smallest difference that matters comes from the data set, whether its runs state it or are from before."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from regbench.cli import app
from regbench.config import compose
from regbench.study import load
from regbench.study.comparisons import comparisons
from regbench.study.margins import margins
from regbench.study.report.tables import write_tables
from tests.conftest import ROOT
from tests.study.synthetic import judged, write_study


@pytest.mark.parametrize("name", ["fashion_mnist", "mnist", "digits"])  # younger sets have always stated theirs
def test_runs_from_before_have_the_margin_that_their_data_set_states_today(name: str) -> None:
    stated = compose([f"dataset={name}"])["dataset"]["margin"]
    assert margins(pd.DataFrame({"dataset": [name]})).tolist() == [stated]


def test_a_data_set_that_is_not_known_and_states_none_has_three_tenths_of_a_point(tmp_path: Path) -> None:
    study = load(write_study(tmp_path / "study", {"none": 0.9}, [0], epochs=1, overrides={"dataset.name": "kuzushiji"}))
    assert study.runs["margin"].tolist() == [0.003]


def test_a_stated_margin_is_a_column_that_survives_the_reports_table(tmp_path: Path) -> None:
    stated = {"dataset.margin": 0.02}
    study = load(write_study(tmp_path / "study", {"none": 0.9}, range(2), epochs=1, dataset="digits", overrides=stated))
    assert study.runs["margin"].tolist() == [0.02, 0.02]
    write_tables(study, judged(study), tmp_path / "report")
    assert pd.read_csv(tmp_path / "report/results.csv")["margin"].tolist() == [0.02, 0.02]
    assert load(tmp_path / "report").runs["margin"].tolist() == [0.02, 0.02]


@pytest.mark.parametrize(("name", "margin"), [("r1_lenet5_fashion_mnist", 0.003), ("r5_mlp_mnist", 0.001)])
def test_a_table_without_the_column_has_its_data_sets_margin(name: str, margin: float) -> None:
    path = ROOT / "docs/published" / name / "results.csv"
    study = load(path)
    assert set(study.runs["margin"]) == {margin}
    assert {family.margin for family in comparisons(study)} == {margin}


@pytest.mark.parametrize("value", [0, 1, -0.01, "wide", True, None, [0.1], float("nan")])
def test_what_is_no_margin_counts_as_none_and_spoils_no_other_run(value: Any, tmp_path: Path) -> None:
    write_study(tmp_path / "study", {"none": 0.9}, [0], epochs=1, dataset="digits", overrides={"dataset.margin": value})
    stated = {"dataset.margin": "2e-2"}  # as YAML takes it for text
    study = load(write_study(tmp_path / "study", {"none": 0.9}, [1], epochs=1, dataset="digits", overrides=stated))
    assert study.runs.set_index("seed")["margin"].to_dict() == {0: 0.01, 1: 0.02}


def test_runs_of_different_margins_are_one_family_which_has_the_larger(tmp_path: Path) -> None:
    for seeds, margin in ((range(2), 0.002), (range(2, 4), 0.005)):
        stated = {"dataset.margin": margin}
        write_study(tmp_path / "study", {"none": 0.9, "dropout": 0.9}, seeds, epochs=1, overrides=stated)
    (family,) = comparisons(load(tmp_path / "study"))
    assert family.margin == 0.005


def test_each_family_has_its_data_sets_margin(tmp_path: Path) -> None:
    for dataset in ("fashion_mnist", "digits"):
        write_study(tmp_path / "study", {"none": 0.9, "dropout": 0.9}, range(2), epochs=1, dataset=dataset)
    families = comparisons(load(tmp_path / "study"))
    assert {str(family.where["dataset"]): family.margin for family in families} == {
        "fashion_mnist": 0.003,
        "digits": 0.01,
    }


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize(("options", "used"), [([], {0.003, 0.01}), (["--margin", "2.5"], {0.025})])
def test_a_report_judges_by_each_data_sets_margin_unless_one_is_given(
    options: list[str], used: set[float], tmp_path: Path
) -> None:
    study = tmp_path / "study"
    for dataset in ("fashion_mnist", "digits"):
        write_study(study, {"none": 0.9, "dropout": 0.9}, range(2), epochs=1, dataset=dataset)
    result = CliRunner().invoke(app, ["report", str(study), *options])
    assert result.exit_code == 0, result.output
    assert set(pd.read_csv(study / "report/comparison.csv")["margin"].dropna()) == used
    page = (study / "report/report.html").read_text(encoding="utf-8")
    assert ("--margin 2.5" in page) is bool(options)


def test_a_margin_of_nothing_is_refused_and_not_taken_for_none_given(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", {"none": 0.9, "dropout": 0.9}, range(2), epochs=1)
    result = CliRunner().invoke(app, ["report", str(study), "--margin", "0"])
    assert result.exit_code == 1
    assert "error: margin: expected a difference above 0, got 0" in result.output
