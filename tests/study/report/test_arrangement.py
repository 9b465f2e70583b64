"""What stands first in a table, what it counts, and which figures stand side by side."""

from dataclasses import replace

import pytest

from regbench.drawing.style import figure_style, new_figure, setting_styles
from regbench.study import load
from regbench.study.comparisons import Comparison, comparisons
from regbench.study.figures.rendering import DrawnFigure
from regbench.study.report.arranged import gather_tall
from regbench.study.report.comparison_section import settings_table
from regbench.study.report.page import Block, Table, Verdict, Verdicts
from regbench.study.statistics import compare
from tests.study.synthetic import write_study


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("sweeps") / "study"
    write_study(folder, {"none": 0.89, "dropout": 0.88}, range(4), epochs=2, test_size=100)
    (found,) = comparisons(load(folder))
    return found


def row_of(comparison: Comparison) -> dict[str, str]:
    table = settings_table(comparison, compare(comparison), setting_styles(comparison.labels))
    (row,) = (row for row in table.rows if row[0].series == "dropout")
    return dict(zip(table.heads, (cell.text for cell in row), strict=True))


def with_accuracies(family: Comparison, none: list[float], dropout: list[float]) -> Comparison:
    runs = family.runs.sort_values(["label", "seed"]).reset_index(drop=True)
    return replace(family, runs=runs.assign(**{"test/acc": [*dropout, *none]}))


def test_difference_and_verdict_stand_before_all_other_columns(family: Comparison) -> None:
    assert list(row_of(family))[:4] == ["setting", "difference, 95 % interval", "verdict", "test accuracy"]


@pytest.mark.parametrize(
    ("dropout", "told"),
    [
        ([0.90, 0.91, 0.88, 0.89], "2 of 4, 1 tie"),  # against 0.89, 0.90, 0.89, 0.89: higher, higher, lower, level
        ([0.89, 0.90, 0.90, 0.89], "1 of 4, 3 ties"),
        ([0.90, 0.91, 0.92, 0.93], "4 of 4"),
    ],
)
def test_wins_are_counted_and_ties_told(family: Comparison, dropout: list[float], told: str) -> None:
    assert row_of(with_accuracies(family, [0.89, 0.90, 0.89, 0.89], dropout))["beats baseline"] == told


def test_of_settings_without_shared_seeds_all_pairs_of_runs_are_counted(family: Comparison) -> None:
    apart = with_accuracies(family, [0.89, 0.90, 0.89, 0.89], [0.90, 0.91, 0.88, 0.89])
    seeds = apart.runs["seed"] + 10 * (apart.runs["label"] == "dropout")
    # 0.90 beats three and ties one, 0.91 beats four, 0.88 none, 0.89 ties three and loses one.
    told = row_of(replace(apart, runs=apart.runs.assign(seed=seeds)))["beats baseline"]
    assert told == "7 of 16 pairs, 4 ties"


def drawn(name: str, height: float) -> DrawnFigure:
    with figure_style():
        return DrawnFigure(name, f"{name}.", new_figure(height=height)[0])


def test_tall_figures_that_stood_alone_stand_beside_each_other() -> None:
    pairs = Block("Pairs", figures=[drawn("pairs", 9), drawn("power", 9)])
    short = Block("Seeds", figures=[drawn("seeds", 3)])
    ahead = Block("Advantage at each budget", ["so it is"], [drawn("advantage", 9)])
    beside = Block("Data", figures=[drawn("samples", 9)], tables=[Table("", ["a"], [])])
    found = gather_tall([short, pairs, ahead, beside])
    assert [each.title for each in found] == ["Seeds", "Pairs, advantage at each budget", "Data"]
    assert [figure.name for figure in found[1].figures] == ["pairs", "power", "advantage"]
    assert list(found[1].texts) == ["so it is"]
    assert gather_tall([short, ahead]) == [short, ahead]


def test_the_fewest_places_stay_empty() -> None:
    figures = [drawn(str(number), 3) for number in range(9)]
    assert [Block(figures=figures[:number]).columns for number in (1, 2, 3, 4, 5, 6, 9)] == [2, 2, 3, 2, 3, 3, 3]


def test_verdicts_stand_under_their_groups_in_order() -> None:
    verdicts = [Verdict("better", "▲", "a", "", group="better"), Verdict("worse", "▼", "b", "", group="worse")]
    told = Verdicts("", [verdicts[0], verdicts[0], verdicts[1]])
    assert told.groups == [("better", [verdicts[0]] * 2), ("worse", [verdicts[1]])]
