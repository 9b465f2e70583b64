import pytest
from tools.simulations.assumptions import SCENARIOS, coverage_table, detection_table, seeds_table, simulate


def test_normal_studies_keep_the_level_and_collapses_counted_in_the_mean_do_not() -> None:
    normal = simulate(SCENARIOS["normal"], 3, 5, 2000)
    assert normal.false == pytest.approx(0.05, abs=0.015)
    assert normal.held == pytest.approx(1 - 0.05 / 3, abs=0.005)
    assert max(normal.outlying, normal.skewed) < 0.07
    collapsed = simulate(SCENARIOS["the same, equal to the baseline in the mean over collapses"], 3, 10, 2000)
    assert collapsed.false == pytest.approx(0.18, abs=0.03)


def test_the_tables_are_whole_markdown() -> None:
    coverage = list(coverage_table(studies=20))
    assert len(coverage) == 2 + 6 * len(SCENARIOS)
    for table in (coverage, list(detection_table(studies=20)), list(seeds_table(studies=20))):
        assert len({line.count("|") for line in table}) == 1
        assert table[1].replace("|", "").replace(" ", "").strip("-:") == ""
