"""Settings that did not act are named and get no verdict."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from regbench.study import load
from regbench.study.acting import idle_techniques, not_acting
from regbench.study.comparisons import comparisons
from regbench.study.report import write_report
from regbench.study.statistics import compare
from tests.study.synthetic import write_study

SETTINGS = {"none": 0.890, "batchnorm": 0.902, "dropout p=0.5": 0.885}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_study(tmp_path / "study", SETTINGS, range(4))


def runs_of(folder: Path, setting: str) -> list[Path]:
    return sorted(path.parent for path in folder.rglob(f"{setting}-*/seed*/results.json"))


def say(folder: Path, setting: str, **acted: bool) -> None:
    """Let the runs of a setting record which techniques acted."""
    for run in runs_of(folder, setting):
        results = json.loads((run / "results.json").read_text())
        (run / "results.json").write_text(json.dumps(results | {"acted": acted}))


def answer_alike(folder: Path, setting: str, seeds: int) -> None:
    """Give runs of a setting the test answers of the baseline."""
    for ours, theirs in list(zip(runs_of(folder, setting), runs_of(folder, "none"), strict=True))[:seeds]:
        for name in ("predictions.npz", "history.csv"):
            shutil.copy(theirs / name, ours / name)
        baseline = json.loads((theirs / "results.json").read_text())
        alike = {key: baseline[key] for key in ("metrics", "best_epoch")}
        results = json.loads((ours / "results.json").read_text())
        (ours / "results.json").write_text(json.dumps(results | alike))


def test_a_setting_whose_techniques_did_nothing_gets_no_verdict(folder: Path, tmp_path: Path) -> None:
    say(folder, "batchnorm", batchnorm=True)
    (before,) = comparisons(load(folder))
    alone = {each.label: each for each in compare(before)}
    say(folder, "dropout", dropout=False)
    study = load(folder)
    (family,) = comparisons(study)
    found = {each.label: each for each in compare(family)}
    assert found["dropout"].verdict == "did not act"
    assert found["dropout"].sentence.startswith("dropout did not act, so there is nothing to compare: ")
    assert found["dropout"].mean == alone["dropout"].mean
    # The family is the settings that are compared.
    assert found["batchnorm"].p_adjusted == found["batchnorm"].p == alone["batchnorm"].p
    page, told = write_report(study, tmp_path / "report")
    assert [each.verdict for found in told.differences for each in found if each.label == "dropout"] == ["did not act"]
    assert "dropout did not act" in page.read_text()
    table = pd.read_csv(tmp_path / "report/comparison.csv").set_index("label")["verdict"]
    assert table["dropout"] == "did not act"
    assert "did not act" in (tmp_path / "report/comparison.md").read_text()
    (again,) = comparisons(load(tmp_path / "report/results.csv"))
    assert list(not_acting(again)) == ["dropout"]


def test_a_setting_that_acted_on_some_seeds_is_compared(folder: Path) -> None:
    say(folder, "dropout", dropout=False)
    say(runs_of(folder, "dropout")[0].parent.parent, "dropout", dropout=True)
    one = runs_of(folder, "dropout")[2]
    results = json.loads((one / "results.json").read_text())
    (one / "results.json").write_text(json.dumps(results | {"acted": {"dropout": True}}))
    (family,) = comparisons(load(folder))
    assert not_acting(family) == {}


def test_answers_that_are_the_baselines_to_the_last_bit_are_named(folder: Path) -> None:
    answer_alike(folder, "dropout", seeds=3)
    (family,) = comparisons(load(folder))
    assert not_acting(family) == {}
    answer_alike(folder, "dropout", seeds=4)
    (family,) = comparisons(load(folder))
    assert not_acting(family) == {"dropout": "its test logits are those of none to the last bit on all 4 shared seeds"}
    for run in runs_of(folder, "dropout"):
        (run / "predictions.npz").unlink()
    assert not_acting(family) == {}


def test_a_technique_that_does_nothing_beside_others_is_named_and_a_strength_of_zero_is_not(tmp_path: Path) -> None:
    settings = {
        "none": 0.89,
        "dropout p=0": 0.89,
        "batchnorm+dropout dropout.p=0": 0.9,
        "batchnorm+dropout dropout.p=0.5": 0.9,
    }
    folder = write_study(tmp_path / "study", settings, range(2))
    say(folder, "dropout", dropout=False)
    say(folder, "batchnorm+dropout", dropout=False, batchnorm=True)
    study = load(folder)
    (family,) = comparisons(study)
    assert not_acting(family) == {}
    assert idle_techniques(study.runs) == [("batchnorm+dropout p=0.5", "dropout")]
    _, told = write_report(study, tmp_path / "report")
    assert told.notes[-1].startswith("dropout did nothing in batchnorm+dropout p=0.5: ")
