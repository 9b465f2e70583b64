import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from regbench.study import load
from regbench.study.comparisons import comparisons
from regbench.study.report import write_report
from regbench.study.statistics import compare

from .synthetic import rehash, write_run, write_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "four_way", seeds=range(3), epochs=4)


def run_folder(study: Path, setting: str, seed: int) -> Path:
    (folder,) = study.glob(f"*/{setting}-*/seed{seed}")
    return folder


def test_every_finished_run_is_a_row_with_what_its_files_say(study: Path) -> None:
    loaded = load(study)
    assert loaded.name == "four_way"
    assert len(loaded.runs) == 4 * 3
    folder = run_folder(study, "dropout", 2)
    row = loaded.runs.set_index("folder").loc[str(folder)]
    results = json.loads((folder / "results.json").read_text())
    for key in ("study", "dataset", "model", "setting", "optimizer", "seed", "config_hash", "epochs", "parameters"):
        assert row[key] == results[key]
    for key, value in results["metrics"].items():
        assert row[key] == value
    assert row["seconds/train"] == results["seconds"]["train"]
    assert row["label"] == "dropout"
    assert loaded.unfinished.empty


def test_the_history_is_every_runs_csv(study: Path) -> None:
    history = load(study).history
    folder = run_folder(study, "batchnorm", 1)
    expected = pd.read_csv(folder / "history.csv")
    part = history[(history["label"] == "batchnorm") & (history["seed"] == 1)].reset_index(drop=True)
    for name in expected:
        assert part[name].tolist() == pytest.approx(expected[name].tolist())
    assert len(history) == 4 * 3 * 4


def test_configurations_commands_and_provenance_are_kept_once(study: Path) -> None:
    loaded = load(study)
    assert len(loaded.configs) == 4
    (config,) = [config for config in loaded.configs.values() if "dropout" in config["regularizer"]]
    assert config["regularizer"]["dropout"]["p"] == 0.5
    assert "seed" not in config
    assert len(loaded.provenance) == 1
    assert "started" not in loaded.provenance[0]
    assert len(loaded.commands) == 1
    assert loaded.commands[0].startswith("python train.py -m study=four_way")


def to_schema_1(folder: Path) -> None:
    """Turn a run folder into what was written before the subset's curves had a name of their own."""
    replace(folder / "results.json", '"schema": 2', '"schema": 1')
    replace(folder / "history.csv", "probe/loss,probe/acc", "train/loss,train/acc")


def test_a_folder_of_schema_1_reads_as_one_of_today(study: Path, tmp_path: Path) -> None:
    before = load(study)
    for folder in study.glob("*/*/seed*"):
        to_schema_1(folder)
    after = load(study)
    assert after.unfinished.empty
    pd.testing.assert_frame_equal(after.history, before.history)
    assert {"probe/loss", "probe/acc"} <= set(after.history)
    assert "train/acc" not in after.history


def test_runs_of_a_seed_above_nine_come_in_their_order(tmp_path: Path) -> None:
    loaded = load(write_study(tmp_path / "study", {"none": 0.9}, seeds=range(12), epochs=1))
    assert loaded.runs["seed"].tolist() == list(range(12))


@pytest.mark.parametrize(
    ("status", "listed", "reason"),
    [
        ("failed", "failed", "RuntimeError: out of memory"),
        ("diverged", "diverged", "nan at epoch 2"),
        ("interrupted", "interrupted", "interrupted before its last epoch"),
        ("running", "interrupted", "still running, or killed"),
        ("missing", "missing", "planned"),
    ],
)
def test_unfinished_runs_are_listed_and_not_averaged(tmp_path: Path, status: str, listed: str, reason: str) -> None:
    settings = {"none": 0.89, "dropout": 0.88}
    loaded = load(write_study(tmp_path / "study", settings, seeds=range(3), status={("dropout", 1): status}))
    assert len(loaded.runs) == 5
    (row,) = loaded.unfinished.to_dict("records")
    assert (row["setting"], row["label"], row["seed"], row["status"]) == ("dropout", "dropout", 1, listed)
    assert reason in row["reason"]
    assert row["folder"].endswith("/seed1")


def test_a_planned_run_of_a_new_setting_is_named_by_its_folder(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", {"none": 0.89, "cutout": 0.88}, range(1), status={("cutout", 0): "missing"})
    (row,) = load(study).unfinished.to_dict("records")
    assert (row["label"], row["seed"], row["status"]) == ("cutout", 0, "missing")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def edit_results(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        results = json.loads((folder / "results.json").read_text())
        change(results)
        (folder / "results.json").write_text(json.dumps(results))

    return damage


DAMAGES = {
    "cut off": (lambda folder: (folder / "results.json").write_text('{"schema": 2, "sta'), "results.json: not JSON"),
    "empty": (lambda folder: (folder / "results.json").write_text(""), "results.json: not JSON"),
    "binary": (lambda folder: (folder / "results.json").write_bytes(b"\xff\xfe\x00"), "results.json: "),
    "a list": (
        lambda folder: (folder / "results.json").write_text("[]"),
        "expected an object, received []",
    ),
    "newer": (edit_results(lambda results: results.update(schema=3)), "schema: expected 1 or 2, received 3"),
    "odd status": (edit_results(lambda results: results.update(status="done")), "status: expected 'finished'"),
    "no seed": (edit_results(lambda results: results.pop("seed")), "seed: a finished run has it, received null"),
    "no metrics": (edit_results(lambda results: results.pop("metrics")), "metrics: train/acc: expected a fraction"),
    "percent": (
        edit_results(lambda results: results["metrics"].update({"test/acc": 89.3})),
        "metrics: test/acc: expected a fraction from 0 to 1, received 89.3",
    ),
    "NaN": (
        edit_results(lambda results: results["metrics"].update({"test/loss": math.nan})),
        "metrics: test/loss: expected a finite number, received nan",
    ),
    "no test": (edit_results(lambda results: results["metrics"].update({"test/acc": None})), "test/acc"),
    "text": (
        edit_results(lambda results: results.update(setting=None)),
        "setting: a finished run has it, received null",
    ),
    "no history": (lambda folder: (folder / "history.csv").unlink(), "history.csv: expected beside results.json"),
    "no rows": (lambda folder: replace(folder / "history.csv", "\n0,", "\n7,"), "history.csv: epoch: expected 0, 1"),
    "no column": (lambda folder: replace(folder / "history.csv", "val/loss", "valloss"), "the column val/loss"),
    "words": (lambda folder: replace(folder / "history.csv", "0.001", "slow"), "history.csv: expected numbers"),
    "short line": (
        lambda folder: (folder / "history.csv").write_text((folder / "history.csv").read_text()[:-30] + "\n"),
        "history.csv: line 5: expected 10 values, got",
    ),
    "lost epochs": (
        lambda folder: (folder / "history.csv").write_text(
            "\n".join((folder / "history.csv").read_text().splitlines()[:3])
        ),
        "history.csv: expected a row for the best epoch 3 (0-based), got 2 rows",
    ),
    "no config": (lambda folder: (folder / "config.yaml").unlink(), "config.yaml: missing"),
    "odd config": (lambda folder: (folder / "config.yaml").write_text("{["), "config.yaml: not YAML"),
    "bare config": (lambda folder: (folder / "config.yaml").write_text("[]"), "expected overrides and config"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_run_is_named_and_left_out(study: Path, damage: Callable[[Path], object], reason: str) -> None:
    folder = run_folder(study, "dropout", 1)
    damage(folder)
    loaded = load(study)
    assert len(loaded.runs) == 11
    assert str(folder) not in set(loaded.runs["folder"])
    (row,) = loaded.unfinished.to_dict("records")
    assert (row["status"], row["label"], row["seed"]) == ("damaged", "dropout", 1)
    assert reason in row["reason"]
    assert "\n" not in row["reason"]
    assert len(loaded.history) == 11 * 4


def test_a_damaged_sweep_file_is_named(study: Path) -> None:
    (study / "sweep.json").write_text('{"runs": "all"}')
    loaded = load(study)
    assert len(loaded.runs) == 12
    (row,) = loaded.unfinished.to_dict("records")
    assert (row["folder"], row["status"]) == ("sweep.json", "rebuilt")
    assert "expected an object with commands and runs" in row["reason"]
    assert "rebuilt from the run folders" in row["reason"]


def test_a_study_without_a_finished_run_is_only_unfinished_ones(tmp_path: Path) -> None:
    loaded = load(
        write_study(tmp_path / "study", {"none": 0.9}, range(2), status={("none", 0): "failed", ("none", 1): "missing"})
    )
    assert loaded.runs.empty
    assert loaded.history.empty
    assert loaded.unfinished["status"].tolist() == ["failed", "missing"]
    assert {"label", "test/acc"} <= set(loaded.runs.columns)


def test_runs_collected_in_a_folder_need_no_sweep_file(study: Path) -> None:
    (study / "sweep.json").unlink()
    loaded = load(study)
    assert (loaded.name, len(loaded.runs), loaded.commands) == ("four_way", 12, [])


def test_one_run_is_a_study_of_its_own(study: Path) -> None:
    folder = run_folder(study, "dropout", 1)
    loaded = load(folder)
    assert (len(loaded.runs), loaded.runs["label"].tolist()) == (1, ["dropout"])
    assert loaded.commands == ["python train.py regularizer=dropout seed=1 study=four_way"]


def test_a_run_named_by_a_relative_path_is_found(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run_folder(study, "dropout", 1))
    assert len(load(".").runs) == 1


def test_single_runs_of_many_names_are_called_by_their_folder(tmp_path: Path) -> None:
    for seed in range(3):
        folder = write_run(tmp_path / "runs", "none", seed=seed)
        replace(folder / "results.json", '"study": "runs"', f'"study": "2026-01-01_00-00-0{seed}"')
    assert load(tmp_path / "runs").name == "runs"


def test_several_studies_are_set_beside_each_other(tmp_path: Path) -> None:
    first = write_study(tmp_path / "first", {"none": 0.89}, range(2), epochs=2)
    second = write_study(tmp_path / "second", {"dropout": 0.88}, range(2), epochs=2)
    loaded = load(first, second, first)
    assert loaded.name == "first + second"
    assert len(loaded.runs) == 4
    assert loaded.runs["study"].unique().tolist() == ["first", "second"]


def test_values_that_differ_have_columns_and_others_have_none(tmp_path: Path) -> None:
    write_study(tmp_path / "study", {"none": 0.89, "dropout p=0.3": 0.88}, range(1), epochs=1)
    overrides = {"optimizer.lr": 1e-4, "dataset.root": "elsewhere"}
    runs = load(write_study(tmp_path / "study", {"none": 0.87}, range(1), epochs=1, overrides=overrides)).runs
    columns = {name for name in runs if name.startswith("config/")}
    assert columns == {"config/optimizer.lr", "config/regularizer.dropout.p"}
    assert sorted(runs["config/optimizer.lr"]) == [1e-4, 1e-3, 1e-3]
    assert runs["config/regularizer.dropout.p"].isna().sum() == 2


def test_numbers_that_yaml_takes_for_text_are_numbers(study: Path) -> None:
    for folder in study.glob("*/weight_decay-*/seed*"):
        replace(folder / "config.yaml", "coefficient: 0.001", 'coefficient: "1e-3"')
        rehash(folder)
    column = load(study).runs["config/regularizer.weight_decay.coefficient"]
    assert column.dropna().unique().tolist() == [0.001]


def test_a_path_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere: expected a folder of runs or a results"):
        load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="found neither"):
        load(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match="expected a folder or a results"):
        load(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match="got none"):
        load()


def test_a_strange_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("status,accuracy\nfinished,0.9\n")
    with pytest.raises(ValueError, match="expected the column study"):
        load(tmp_path)
    (tmp_path / "results.csv").write_text("")
    with pytest.raises(ValueError, match="not a CSV"):
        load(tmp_path / "results.csv")


def test_markup_in_a_configuration_stays_the_text_that_it_is(tmp_path: Path) -> None:
    text = "<script>alert(1)</script>"
    loaded = load(write_study(tmp_path / "study", {"none": 0.9}, range(1), overrides={"model.activation": text}))
    (config,) = loaded.configs.values()
    assert config["model"]["activation"] == text


def test_four_hundred_runs_are_read_in_seconds(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", seeds=range(2), epochs=60)
    for folder in study.glob("*/*/seed0"):
        config = (folder / "config.yaml").read_text()
        results = (folder / "results.json").read_text()
        for seed in range(2, 100):
            copy = folder.with_name(f"seed{seed}")
            copy.mkdir()
            shutil.copy(folder / "history.csv", copy)
            (copy / "config.yaml").write_text(config.replace("  seed: 0", f"  seed: {seed}"))
            (copy / "results.json").write_text(results.replace('"seed": 0', f'"seed": {seed}'))
    start = time.process_time()
    loaded = load(study)
    assert len(loaded.runs) == 400
    assert len(loaded.history) == 400 * 60
    assert time.process_time() - start < 10


def test_the_synthetic_studies_keep_the_contract(study: Path) -> None:
    folder = run_folder(study, "batchnorm", 0)
    results = json.loads((folder / "results.json").read_text())
    config = yaml.safe_load((folder / "config.yaml").read_text())["config"]
    with np.load(folder / "predictions.npz") as stored:
        logits, labels, worst = stored["logits"], stored["labels"], stored["mistake_indices"]
    assert (logits.argmax(1) == labels).mean() == results["metrics"]["test/acc"]
    assert logits.shape == (1000, len(config["dataset"]["classes"]))
    assert (logits[worst].argmax(1) != labels[worst]).all()
    assert folder.parts[-3:] == ("fashion_mnist-lenet5", f"batchnorm-{results['config_hash']}", "seed0")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("stages", "5, 10", "stages: expected a list of numbers of seeds, got '5, 10'"),
        ("stages", [5, "10"], "stages: expected a list of numbers of seeds, got [5, '10']"),
        ("metric", 3, "metric: expected a text, got 3"),
        ("added", ["seed5"], "added: expected a number for each run, got ['seed5']"),
        ("added", {"seed5": None}, "added: expected a number for each run, got {'seed5': None}"),
    ],
)
def test_a_design_that_no_sweep_writes_is_named(study: Path, key: str, value: object, message: str) -> None:
    plan = json.loads((study / "sweep.json").read_text())
    (study / "sweep.json").write_text(json.dumps(plan | {key: value}))
    (row,) = load(study).unfinished.to_dict("records")
    assert row["reason"].startswith(f"sweep.json: {message}")


def test_stages_and_added_seeds_are_columns_that_a_report_keeps(study: Path, tmp_path: Path, unrendered: None) -> None:
    plan = json.loads((study / "sweep.json").read_text())
    added = {name: 2 for name in plan["runs"] if name.endswith("seed2")}
    (study / "sweep.json").write_text(json.dumps(plan | {"stages": [2, 3], "metric": "test/acc", "added": added}))
    loaded = load(study)
    assert loaded.runs["stages"].tolist() == ["2, 3"] * len(loaded.runs)
    assert loaded.runs["added_after"].dropna().tolist() == [2] * len(added)
    write_report(loaded, tmp_path / "report", "none", command="regbench report")
    again = load(tmp_path / "report/results.csv")
    for one, other in zip(comparisons(loaded), comparisons(again), strict=True):
        assert [each.stages for each in compare(one)] == [2] * (len(one.labels) - 1)
        assert [each.sentence for each in compare(other)] == [each.sentence for each in compare(one)]


def test_a_family_knows_which_of_its_runs_ended_without_results(tmp_path: Path) -> None:
    status = {("dropout", 1): "failed", ("dropout", 2): "missing", ("none", 0): "diverged", ("none", 2): "running"}
    study = write_study(tmp_path / "study", {"none": 0.9, "dropout": 0.91}, range(4), status=status)
    (family,) = comparisons(load(study))
    assert family.ended == {("dropout", 1), ("none", 0)}
