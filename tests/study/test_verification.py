"""Recorded numbers against what the stored predictions and the history give."""

import csv
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from regbench.cli import app
from regbench.data.module import PROBE_SIZE
from regbench.study import contradictions, load
from regbench.study.comparisons import comparisons
from regbench.study.report import list_left_out, write_report
from regbench.study.verification import score
from regbench.training.scoring import scores

from .synthetic import write_run, write_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "four_way", {"none": 0.89, "dropout": 0.88}, seeds=range(3), epochs=4)


def run_folder(study: Path, setting: str = "dropout", seed: int = 1) -> Path:
    (folder,) = study.glob(f"*/{setting}-*/seed{seed}")
    return folder


def record(folder: Path, **changes: object) -> None:
    """Overwrite values of `results.json`; a metric is called `test_acc` here."""
    results = json.loads((folder / "results.json").read_text())
    for name, value in changes.items():
        metric = name.replace("_", "/")
        (results["metrics"] if metric in results["metrics"] else results)[
            metric if metric in results["metrics"] else name
        ] = value
    (folder / "results.json").write_text(json.dumps(results))


def recorded(folder: Path) -> dict[str, float]:
    return json.loads((folder / "results.json").read_text())["metrics"]


def test_the_scores_of_stored_predictions_are_those_that_a_run_records() -> None:
    random = np.random.default_rng(0)
    for images, scale in ((297, 1), (1000, 0.01), (10_000, 3), (10_000, 30)):
        labels = random.integers(0, 10, images)
        logits = (scale * random.normal(size=(images, 10))).astype(np.float32)
        logits[np.arange(images), labels] += 2 * scale
        expected = scores(torch.tensor(logits), torch.tensor(labels))
        found = score(logits, labels)
        assert found.acc == expected["acc"]
        assert found.loss == pytest.approx(expected["loss"], rel=1e-5, abs=1e-6)
        assert abs(found.ece - expected["ece"]) <= found.ece_tolerance
        assert found.ece_tolerance < (0.01 if scale < 30 else 1)


def test_the_tolerance_of_the_calibration_error_is_small_where_no_confidence_is_at_an_edge() -> None:
    logits = np.array([[0.0, 1.0, 0.3], [0.2, 0.0, 2.0]], dtype=np.float32)
    assert score(logits, np.array([1, 0])).ece_tolerance == pytest.approx(1e-5, rel=1e-3)


WRONG = {
    "accuracy": ({"test_acc": 0.123, "gap": None}, "test/acc is 0.123, but predictions.npz gives 0.8"),
    "loss": ({"test_loss": 0.5}, "test/loss is 0.5, but predictions.npz gives "),
    "calibration": ({"test_ece": 0.5}, "test/ece is 0.5, but predictions.npz gives "),
    "no loss": ({"test_loss": None}, "test/loss is None"),
    "gap": ({"gap": 0.5}, "gap is 0.5, but train/acc − test/acc is 0.02"),
    "validation accuracy": ({"val_acc": 0.99}, "val/acc is 0.99, but history.csv has "),
    "validation loss": ({"val_loss": 0.01}, "val/loss is 0.01, but history.csv has "),
    "no validation": ({"val_acc": None}, "val/acc is None, but history.csv has "),
    "another epoch": ({"best_epoch": 0}, "in the best epoch 0 (0-based)"),
    "validation calibration": ({"val_ece": 0.9}, "val/ece is 0.9, but history.csv has "),
    "training accuracy": ({"train_acc": 0.1}, "train/acc is 0.1 of 59000 images, but history.csv has probe/acc 0."),
    "setting": ({"setting": "none"}, "setting is none, but config.yaml says dropout"),
    "budget": ({"epochs": 20}, "epochs is 20, but config.yaml says 4"),
    "data set": ({"dataset": "mnist"}, "dataset is mnist, but config.yaml says fashion_mnist"),
    "epochs": ({"epochs_trained": 7}, "epochs_trained is 7, but history.csv has 4 rows"),
}


@pytest.mark.parametrize(("changes", "reason"), WRONG.values(), ids=WRONG)
def test_a_run_whose_numbers_contradict_each_other_is_named_and_left_out(
    study: Path, changes: dict[str, object], reason: str
) -> None:
    folder = run_folder(study)
    if "test_acc" in changes:
        changes = changes | {"gap": recorded(folder)["train/acc"] - changes["test_acc"]}
    if "train_acc" in changes:
        changes = changes | {"gap": changes["train_acc"] - recorded(folder)["test/acc"]}
    record(folder, **changes)
    loaded = load(study)
    assert str(folder) not in set(loaded.runs["folder"])
    assert len(loaded.history) == 5 * 4
    (row,) = loaded.unfinished.to_dict("records")
    assert (row["status"], row["label"], row["seed"]) == ("mismatch", "dropout", 1)
    assert row["reason"].startswith("results.json: ")
    assert reason in row["reason"]


def test_a_run_from_before_a_metric_was_added_is_kept_without_its_value(study: Path) -> None:
    folder = run_folder(study)
    results = json.loads((folder / "results.json").read_text())
    del results["metrics"]["test/ece"]
    (folder / "results.json").write_text(json.dumps(results))
    loaded = load(study)
    assert loaded.unfinished.empty
    assert loaded.runs.loc[loaded.runs["test/ece"].isna(), "folder"].tolist() == [str(folder)]


def test_one_image_more_or_less_is_a_mismatch(study: Path) -> None:
    folder = run_folder(study)
    metrics = recorded(folder)
    record(folder, test_acc=metrics["test/acc"] + 0.001, gap=metrics["gap"] - 0.001)
    assert load(study).unfinished["status"].tolist() == ["mismatch"]


def test_rounding_to_single_precision_is_none(study: Path) -> None:
    folder = run_folder(study)
    metrics = recorded(folder)
    record(folder, **{f"{split}_loss": float(np.float32(metrics[f"{split}/loss"])) for split in ("test", "val")})
    assert load(study).unfinished.empty


UNREADABLE = {
    "cut off": lambda file: file.write_bytes(file.read_bytes()[:300]),
    "empty": lambda file: file.write_bytes(b""),
    "no logits": lambda file: np.savez(file, labels=np.arange(3)),
    "whole numbers": lambda file: np.savez(file, logits=np.eye(3, dtype=int), labels=np.arange(3)),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "a pipe": lambda file: (file.unlink(), os.mkfifo(file)),
}


@pytest.mark.parametrize("damage", UNREADABLE.values(), ids=UNREADABLE)
def test_a_run_with_unreadable_predictions_is_named_and_left_out(study: Path, damage: Callable[[Path], object]) -> None:
    damage(run_folder(study) / "predictions.npz")
    loaded = load(study)
    assert len(loaded.runs) == 5
    (row,) = loaded.unfinished.to_dict("records")
    assert row["status"] == "damaged"
    assert row["reason"].startswith("predictions.npz: expected a run's predictions, got ")


def test_a_run_without_predictions_is_kept_and_named(study: Path) -> None:
    (run_folder(study) / "predictions.npz").unlink()
    loaded = load(study)
    assert len(loaded.runs) == 6
    (place,) = loaded.unverified
    assert study / place == run_folder(study)
    ended = CliRunner().invoke(app, ["report", str(study)])
    assert ended.exit_code == 0, ended.output
    said = "1 run has no predictions.npz, so the recorded test metrics could not be verified"
    assert said in ended.stderr
    assert said in (study / "report/report.html").read_text()


def test_the_report_lists_what_it_leaves_out_and_ends_with_status_1(study: Path) -> None:
    record(run_folder(study), test_loss=0.4)
    ended = CliRunner().invoke(app, ["report", str(study)])
    assert ended.exit_code == 1
    (line,) = [line for line in ended.stderr.splitlines() if "left out" in line]
    assert line.startswith("left out (mismatch) fashion_mnist-lenet5/dropout-")
    assert "/seed1: results.json: test/loss is 0.4, but predictions.npz gives" in line
    assert "1 mismatch" in (study / "report/report.html").read_text()


def test_the_report_on_a_single_run_with_wrong_numbers_ends_with_status_1(study: Path) -> None:
    folder = run_folder(study)
    record(folder, test_loss=0.4)
    ended = CliRunner().invoke(app, ["report", str(folder)])
    assert ended.exit_code == 1
    assert "left out (mismatch) seed1: results.json: test/loss is 0.4" in ended.stderr
    assert "This run cannot be relied on, its status is mismatch" in (folder / "report/report.html").read_text()


@pytest.mark.parametrize(
    ("status", "expected"), [("failed", 1), ("diverged", 1), ("interrupted", 0), ("running", 0), ("missing", 0)]
)
def test_a_half_finished_study_is_no_error_and_a_failed_run_is(tmp_path: Path, status: str, expected: int) -> None:
    study = write_study(tmp_path / "study", {"none": 0.9, "dropout": 0.9}, range(2), status={("dropout", 1): status})
    ended = CliRunner().invoke(app, ["report", str(study)])
    assert ended.exit_code == expected
    assert ended.stderr.count("left out") == 1


def test_of_many_runs_left_out_five_failed_ones_are_listed_and_the_rest_counted(tmp_path: Path) -> None:
    states = {("none", seed): "interrupted" for seed in range(12)} | {
        ("none", seed): "failed" for seed in range(12, 20)
    }
    study = write_study(tmp_path / "study", {"none": 0.9}, range(21), epochs=1, status=states)
    ended = CliRunner().invoke(app, ["report", str(study)])
    *listed, more, waiting = ended.stderr.splitlines()
    assert len(listed) == 5
    assert all(line.startswith("left out (failed) ") for line in listed)
    assert more == "… and 3 more; results.csv and the page list all"
    assert waiting == "left out: 12 interrupted"


def test_a_run_without_validation_has_none_to_compare(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "study", val_size=0)
    assert load(tmp_path / "study").unfinished.empty
    record(folder, val_acc=0.9)
    assert load(tmp_path / "study").unfinished["status"].tolist() == ["mismatch"]


def reason(study: Path, folder: Path) -> str:
    """Return why a run is left out."""
    table = load(study).unfinished.set_index("folder")
    return str(table.loc[folder.relative_to(study).as_posix(), "reason"])


def change_predictions(folder: Path, **arrays: np.ndarray) -> None:
    """Overwrite arrays, and record what they give, as somebody would who knows how."""
    with np.load(folder / "predictions.npz") as archive:
        stored = {**archive, **arrays}
    np.savez(folder / "predictions.npz", **stored)
    found, train = score(stored["logits"], stored["labels"]), recorded(folder)["train/acc"]
    record(folder, test_acc=found.acc, test_loss=found.loss, test_ece=found.ece, gap=train - found.acc)


def test_another_seed_than_that_of_the_configuration_is_named(study: Path) -> None:
    folder = run_folder(study)
    record(folder, seed=7)
    assert reason(study, folder) == "results.json: seed is 7, but config.yaml says 1"


def test_a_best_epoch_that_validation_did_not_choose_is_named(study: Path) -> None:
    folder = run_folder(study)
    with (folder / "history.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    record(folder, best_epoch=0, **{f"val_{name}": float(first[f"val/{name}"]) for name in ("acc", "loss", "ece")})
    assert reason(study, folder) == "results.json: best_epoch is 0 (0-based), but by history.csv the best is 3"


def test_a_small_training_split_is_the_probe_itself(tmp_path: Path) -> None:
    study = write_study(tmp_path / "small", {"none": 0.9}, range(2), overrides={"dataset.train_size": 1000})
    assert load(study).unfinished.empty
    folder = run_folder(study, "none")
    accuracy = recorded(folder)["train/acc"] + 0.003
    record(folder, train_acc=accuracy, gap=accuracy - recorded(folder)["test/acc"])
    assert "train/acc is 0." in reason(study, folder)


def test_one_runs_answers_under_two_seeds_count_under_neither(study: Path) -> None:
    copied, original = run_folder(study, seed=1), run_folder(study, seed=0)
    with np.load(original / "predictions.npz") as archive:
        change_predictions(copied, logits=archive["logits"], labels=archive["labels"])
    assert "its logits are to the last bit those of seed 0" in reason(study, copied)
    assert "its logits are to the last bit those of seed 1" in reason(study, original)
    loaded = load(study)
    assert sorted(loaded.runs["seed"]) == [0, 1, 2, 2]
    assert len(loaded.history) == 4 * 4


def test_a_network_that_answers_all_images_alike_may_do_so_under_every_seed(study: Path) -> None:
    for seed in range(3):
        change_predictions(run_folder(study, seed=seed), logits=np.zeros((1000, 10), dtype=np.float32))
    assert load(study).unfinished.empty


def test_other_test_labels_than_those_of_the_other_runs_are_named(study: Path) -> None:
    relabelled, shortened = run_folder(study, seed=0), run_folder(study, seed=1)
    with np.load(relabelled / "predictions.npz") as archive:
        change_predictions(relabelled, labels=archive["logits"].argmax(1))
    with np.load(shortened / "predictions.npz") as archive:
        right = archive["logits"].argmax(1) == archive["labels"]
        change_predictions(shortened, logits=archive["logits"][right], labels=archive["labels"][right])
    for folder in (relabelled, shortened):
        assert reason(study, folder).startswith("predictions.npz: its test labels are not those of the other runs")
    assert len(load(study).runs) == 4


def test_runs_on_different_data_are_neither_averaged_nor_compared(study: Path, tmp_path: Path) -> None:
    for setting in ("none", "dropout"):
        folder = run_folder(study, setting, seed=0)
        results = json.loads((folder / "results.json").read_text())
        results["provenance"]["dataset_sha256"] = "ffff0000" * 8
        (folder / "results.json").write_text(json.dumps(results))
    found = CliRunner().invoke(app, ["report", str(study), "--out", str(tmp_path / "report")])
    assert "Runs on different data are not compared: 5ac0, ffff0000ffff (the data's SHA-256)" in found.output
    for loaded in (load(study), load(tmp_path / "report")):
        assert [len(each.runs) for each in comparisons(loaded)] == [4, 2]
        assert comparisons(loaded)[1].title.endswith("data ffff0000ffff")


def test_one_run_with_two_results_is_named(study: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    shutil.copytree(study, other)
    assert load(study, other).unfinished.empty
    folder = run_folder(other)
    record(folder, train_loss=0.5)
    (row,) = load(study, other).unfinished.to_dict("records")
    assert row["status"] == "mismatch"
    assert row["reason"].startswith("train/loss is 0.5, but 0.")
    assert row["reason"].endswith(f"for the same run in {run_folder(study)}")


def test_a_table_with_another_result_of_a_run_than_its_folder_is_named(study: Path, tmp_path: Path) -> None:
    CliRunner().invoke(app, ["report", str(study), "--out", str(tmp_path / "report")])
    table = tmp_path / "report/results.csv"
    assert load(study, table).unfinished.empty
    runs = pd.read_csv(table)
    runs.loc[0, "test/acc"] = 0.99
    runs.loc[0, "gap"] = runs.loc[0, "train/acc"] - 0.99
    runs.to_csv(table, index=False)
    (row,) = load(study, table).unfinished.to_dict("records")
    assert row["status"] == "mismatch"
    assert row["reason"].startswith(f"{table}: test/acc is 0.99, but 0.")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("test/acc", 0.99, "gap is "), ("test/acc", 1.2, "test/acc: expected a fraction from 0 to 1, received 1.2")],
)
def test_a_row_of_a_table_that_cannot_be_true_is_left_out(
    column: str, value: float, message: str, study: Path, tmp_path: Path, unrendered: None
) -> None:
    write_report(load(study), tmp_path / "report")
    table = tmp_path / "report/results.csv"
    runs = pd.read_csv(table)
    runs.loc[0, column] = value
    runs.to_csv(table, index=False)
    loaded = load(table)
    (row,) = loaded.unfinished.to_dict("records")
    assert row["status"] == "mismatch"
    assert row["reason"].startswith(f"{table}: {message}")
    assert len(loaded.runs) == len(runs) - 1


def test_runs_of_a_table_are_told_to_be_unverified(study: Path, tmp_path: Path, unrendered: None) -> None:
    page, _ = write_report(load(study), tmp_path / "report")
    assert "as it stands" not in page.read_text()
    table = tmp_path / "report/results.csv"
    loaded = load(table)
    assert loaded.tables == {str(table): len(loaded.runs)}
    told = f"{len(loaded.runs)} runs are taken from {table} as it stands: without the run folders, nothing confirms"
    page, _ = write_report(loaded, tmp_path / "again")
    assert told in page.read_text()
    assert list_left_out(loaded)[-1].startswith(told)


@pytest.mark.parametrize("key", ["dropout:p", "optimizer:lr", "monitor"])
def test_a_configuration_that_was_edited_is_left_out(key: str, tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", {"none": 0.89, "dropout": 0.9}, range(2), epochs=2)
    (folder,) = study.glob("*/dropout-*/seed0")
    text = (folder / "config.yaml").read_text()
    edits = {"dropout:p": ("p: 0.5", "p: 0.05"), "optimizer:lr": ("lr: 0.001", "lr: 0.01"), "monitor": ("acc", "loss")}
    old, new = edits[key]
    (folder / "config.yaml").write_text(text.replace(old, new, 1))
    (row,) = load(study).unfinished.to_dict("records")
    assert row["status"] == "mismatch"
    assert re.match(r"config\.yaml: gives the hash [0-9a-f]{6}, but results\.json has config_hash ", row["reason"])


def test_the_probes_size_is_that_of_the_training() -> None:
    assert contradictions.PROBE_SIZE == PROBE_SIZE


def test_a_technique_called_none_is_left_out_and_never_averaged_into_the_baseline(study: Path) -> None:
    named = {"regularizer.none._target_": "regbench.regularizers.dropout.Dropout", "regularizer.none.p": 0.5}
    write_study(study, {"none": 0.95}, seeds=range(3), overrides=named)
    loaded = load(study)
    baseline = loaded.runs[loaded.runs["label"] == "none"]
    assert len(baseline) == 3
    assert baseline["test/acc"].max() < 0.92
    assert len(loaded.unfinished) == 3
    assert set(loaded.unfinished["reason"]) == {
        "config.yaml: regularizer: expected names that are not read as others, received 'none', which reads as no "
        "technique; train it again under another name to compare it"
    }
