"""Runs that differ in code alone are never averaged."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from regbench.study import load
from regbench.study.comparisons import comparisons
from regbench.study.report import write_report

from .synthetic import rehash, write_study


def set_code(
    study: Path,
    setting: str,
    seeds: range,
    counted: dict[str, str] | None,
    target: str | None = "mine.Own",
    key: str = "regularizer",
) -> None:
    """Let runs be of a code: what counts of it, and a class of one's own that the configuration names."""
    for seed in seeds:
        (folder,) = study.glob(f"*/{setting}-*/seed{seed}")
        stored = yaml.safe_load((folder / "config.yaml").read_text())
        if target is not None:
            node = stored["config"]["regularizer"][setting] if key == "regularizer" else stored["config"][key]
            node["_target_"] = target
        if counted is not None:
            stored["code"] = counted
            results = json.loads((folder / "results.json").read_text())
            results["provenance"]["code"] = {**counted, "torch.optim.Adam": f"torch=={seed}"}
            (folder / "results.json").write_text(json.dumps(results))
        (folder / "config.yaml").write_text(yaml.safe_dump(stored))
        rehash(folder)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "study", {"none": 0.89, "dropout": 0.90}, range(6), epochs=2)


def test_runs_of_two_codes_are_two_rows_and_no_verdict_pools_them(study: Path, tmp_path: Path) -> None:
    set_code(study, "dropout", range(4), {"mine.Own": "aaaaaaaaaaaa"})
    set_code(study, "dropout", range(4, 6), {"mine.Own": "bbbbbbbbbbbb"})
    loaded = load(study)
    counts = loaded.runs["label"].value_counts().to_dict()
    assert counts == {"none": 6, "dropout [code aaaaaaaaaaaa]": 4, "dropout [code bbbbbbbbbbbb]": 2}
    assert set(loaded.history["label"]) == set(counts)
    (family,) = comparisons(loaded)
    assert family.baseline == "none"
    assert len(family.labels) == 3
    page, report = write_report(loaded, tmp_path / "report")
    codes = "mine.Own aaaaaaaaaaaa (4 runs), mine.Own bbbbbbbbbbbb (2 runs)"
    told = f"dropout: runs of different code are not averaged: {codes}."
    assert report.notes[0] == told
    assert told in page.read_text()
    again = load(tmp_path / "report" / "results.csv")
    assert again.runs["label"].value_counts().to_dict() == counts


def test_somebody_elses_class_without_a_recorded_code_is_a_code_of_its_own(study: Path) -> None:
    set_code(study, "dropout", range(3), {"mine.Own": "aaaaaaaaaaaa"})
    set_code(study, "dropout", range(3, 6), None)
    assert set(load(study).runs["label"]) == {"none", "dropout [code aaaaaaaaaaaa]", "dropout [code not recorded]"}


def test_runs_of_regbenchs_own_classes_from_before_count_as_known_code(study: Path) -> None:
    own = "regbench.regularizers.dropout.Dropout"
    set_code(study, "dropout", range(3), {}, own)
    set_code(study, "dropout", range(3, 6), None, own)
    loaded = load(study)
    assert set(loaded.runs["label"]) == {"none", "dropout"}
    assert not [name for name in loaded.runs if name.startswith("code/")]


def test_an_edited_class_of_regbench_is_told_from_the_known_one(study: Path) -> None:
    own = "regbench.regularizers.dropout.Dropout"
    set_code(study, "dropout", range(3), {own: "cccccccccccc"}, own)
    set_code(study, "dropout", range(3, 6), {}, own)
    assert set(load(study).runs["label"]) == {"none", "dropout [code cccccccccccc]", "dropout [code known]"}


def test_a_technique_of_ones_own_at_zero_is_no_baseline_and_its_codes_are_told_apart(tmp_path: Path) -> None:
    study = write_study(tmp_path / "off", {"none": 0.89, "dropout p=0": 0.89}, range(4), epochs=2)
    set_code(study, "dropout", range(2), {"mine.Own": "aaaaaaaaaaaa"})
    set_code(study, "dropout", range(2, 4), {"mine.Own": "bbbbbbbbbbbb"})
    assert set(load(study).runs["label"]) == {"none", "dropout [code aaaaaaaaaaaa]", "dropout [code bbbbbbbbbbbb]"}


def test_a_model_of_two_codes_makes_two_families_that_are_not_compared(study: Path, tmp_path: Path) -> None:
    for setting in ("none", "dropout"):
        set_code(study, setting, range(3), {"mine.Net": "aaaaaaaaaaaa"}, "mine.Net", key="model")
        set_code(study, setting, range(3, 6), {"mine.Net": "bbbbbbbbbbbb"}, "mine.Net", key="model")
    loaded = load(study)
    families = comparisons(loaded)
    assert [sorted(set(each.runs["seed"])) for each in families] == [[0, 1, 2], [3, 4, 5]]
    assert [each.baseline for each in families] == ["none", "none"]
    assert ["mine.Net aaaaaaaaaaaa" in families[0].title, "mine.Net bbbbbbbbbbbb" in families[1].title] == [True, True]
    assert [sorted(set(each.history["seed"])) for each in families] == [[0, 1, 2], [3, 4, 5]]
    _, report = write_report(loaded, tmp_path / "report")
    assert report.notes[0].startswith(
        "Runs of different code are not compared: mine.Net aaaaaaaaaaaa (6 runs), mine.Net bbb"
    )


def test_runs_of_a_lone_setting_are_not_compared_by_their_code(tmp_path: Path) -> None:
    study = write_study(tmp_path / "lone", {"none": 0.89}, range(4), epochs=2)
    set_code(study, "none", range(2), {"mine.Net": "aaaaaaaaaaaa"}, "mine.Net", key="model")
    set_code(study, "none", range(2, 4), {"mine.Net": "bbbbbbbbbbbb"}, "mine.Net", key="model")
    assert [each.labels for each in comparisons(load(study))] == [("none",), ("none",)]


def test_models_whose_code_differs_because_they_are_others_are_compared_as_before(tmp_path: Path) -> None:
    study = write_study(tmp_path / "models", {"none": 0.89}, range(3), epochs=2)
    write_study(tmp_path / "models", {"none": 0.89}, range(3), epochs=2, model="own")
    for folder in (study / "fashion_mnist-own").glob("*/seed*"):
        stored = yaml.safe_load((folder / "config.yaml").read_text())
        stored["config"]["model"]["_target_"] = "mine.Net"
        (folder / "config.yaml").write_text(yaml.safe_dump({**stored, "code": {"mine.Net": "aaaaaaaaaaaa"}}))
        rehash(folder)
    (family,) = comparisons(load(study))
    assert family.labels == ("lenet5", "own")


def test_an_unreadable_code_is_named(study: Path) -> None:
    (folder,) = study.glob("*/none-*/seed0")
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text + "code: 3\n")
    (row,) = load(study).unfinished.to_dict("records")
    assert row["reason"] == "config.yaml: code: expected fingerprints by class, received 3"


def test_a_finished_run_without_names_gets_those_of_its_classes(study: Path) -> None:
    for folder in study.glob("*/*/seed*"):
        results = json.loads((folder / "results.json").read_text())
        (folder / "results.json").write_text(json.dumps({**results, "optimizer": None, "scheduler": None}))
        stored = yaml.safe_load((folder / "config.yaml").read_text())
        stored["config"]["optimizer"] = {"_target_": "torch.optim.Adam"}
        stored["config"]["scheduler"] = {"_target_": "torch.optim.lr_scheduler.ConstantLR"}
        (folder / "config.yaml").write_text(yaml.safe_dump(stored))
        rehash(folder)
    loaded = load(study)
    assert loaded.unfinished.empty
    assert set(loaded.runs["optimizer"]) == {"Adam"}
    assert set(loaded.runs["scheduler"]) == {"ConstantLR"}
    shutil.rmtree(study)
