"""What stands beside a verdict, and the words that it uses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from regbench.study import Study, load
from regbench.study.comparisons import Comparison, comparisons
from regbench.study.report import write_report
from regbench.study.report.verdict_cards import SIGNS, glossary, verdict_group
from regbench.study.statistics import VERDICTS, compare
from regbench.study.statistics.new_images import with_new_images
from tests.study.synthetic import write_study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return load(write_study(tmp_path / "study", {"none": 0.89, "dropout": 0.85}, range(5), epochs=3, test_size=500))


def cards(comparison: Comparison) -> list[list[str]]:
    found = with_new_images(comparison, compare(comparison))
    return [list(each.details) for each in verdict_group(comparison, found, "", 500).verdicts]


def test_every_verdict_tells_both_intervals(study: Study) -> None:
    (family,) = comparisons(study)
    ((this_test_set, new_images, *_),) = cards(family)
    (difference,) = with_new_images(family, compare(family))
    assert f"{100 * difference.low:+.2f}".replace("-", "−") in this_test_set
    assert f"{100 * difference.low_new_images:+.2f}".replace("-", "−") in new_images
    assert this_test_set.startswith("On this test set: ")
    assert new_images.startswith("On new images: ")


def test_a_collapsed_run_is_named_with_its_seed_and_a_second_opinion_given(study: Study) -> None:
    (family,) = comparisons(study)
    collapsed = (family.runs["label"] == "dropout") & (family.runs["seed"] == 3)
    runs = family.runs.assign(**{"test/acc": np.where(collapsed, 0.1, family.runs["test/acc"])})
    details = " ".join(cards(replace(family, runs=runs))[0])
    assert "Seed 3 of dropout is unusual" in details
    assert "second opinion" in details
    assert "unusual" not in " ".join(cards(family)[0])


def test_runs_that_were_best_at_their_last_epoch_were_still_improving(study: Study) -> None:
    (family,) = comparisons(study)
    late = replace(family, runs=family.runs.assign(best_epoch=2))
    early = replace(family, runs=family.runs.assign(best_epoch=0))
    assert "still improving" in " ".join(cards(late)[0])
    assert "still improving" not in " ".join(cards(early)[0])


def test_the_page_explains_its_words_with_its_margins(study: Study, tmp_path: Path) -> None:
    page, _ = write_report(study, tmp_path / "report", margin=0.004)
    text = page.read_text(encoding="utf-8")
    assert "The smallest difference worth knowing, ±0.4 points here." in text
    words = {str(row[0].text) for block in glossary([0.003]).blocks for table in block.tables for row in table.rows}
    assert {"paired", "interval", "margin", "calibration error", "undecided"} <= words


def test_every_verdict_has_its_sign() -> None:
    assert set(SIGNS) == set(VERDICTS)
    assert len({symbol for _, symbol in SIGNS.values()}) == len(VERDICTS)
