import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml

from regbench.data import Batches, ImageData
from regbench.runs.evaluation import predict_splits, score_splits
from regbench.runs.loading import load_run
from regbench.runs.parts import build
from regbench.runs.run import run
from regbench.storage.configs import read_config
from regbench.storage.files import write_json
from regbench.storage.results import is_finished, read_results
from regbench.storage.schema import HISTORY, METRICS
from regbench.training.history import DivergedError

Composed = Callable[..., dict[str, Any]]
KEYS = {
    "schema", "status", "error", "study", "dataset", "model", "setting", "optimizer", "scheduler", "seed", "split_seed",
    "config_hash", "threads", "compile", "epochs", "epochs_trained",
    "best_epoch", "checkpoint", "parameters", "train_size", "acted", "metrics", "measured",
    "seconds", "images_per_second", "provenance",
}  # fmt: skip
COLUMNS = [
    "epoch", "lr", "seconds", "train/objective", "train/acc_online", "probe/loss", "probe/acc",
    "val/loss", "val/acc", "val/ece",
]  # fmt: skip


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / HISTORY).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One finished run of four epochs with batch norm."""
    from regbench.config import compose

    config = compose(
        ["dataset=digits", "regularizer=batchnorm", "trainer.max_epochs=4", "threads=1", "scheduler=cosine"]
    )
    folder = tmp_path_factory.mktemp("run")
    run(folder, config, ["regularizer=batchnorm"])
    return folder, config


def test_a_finished_run_keeps_the_contract_of_its_folder(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, config = finished
    results = json.loads((folder / "results.json").read_text())
    assert set(results) == KEYS
    assert set(results["metrics"]) == set(METRICS)
    assert results["status"] == "finished"
    assert results["setting"] == "batchnorm"
    assert results["parameters"] == 62_158
    assert results["train_size"] == 1200
    assert results["epochs"] == results["epochs_trained"] == 4
    assert results["metrics"]["gap"] == results["metrics"]["train/acc"] - results["metrics"]["test/acc"]
    assert results["provenance"]["dataset_sha256"] is not None
    written = yaml.safe_load((folder / "config.yaml").read_text())
    assert written == {"overrides": ["regularizer=batchnorm"], "config": config, "code": {}}
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"checkpoints/best.ckpt", "checkpoints/last.ckpt", "checkpoints/weights.pt"} <= names
    assert not [name for name in names if name.endswith(".tmp")]
    assert "error.txt" not in names


def test_the_history_has_a_row_an_epoch_and_the_best_epoch_is_its_first_best(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    folder, _ = finished
    rows = history(folder)
    results = read_results(folder)
    assert results is not None
    assert list(rows[0]) == COLUMNS
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2, 3]
    accuracies = [float(row["val/acc"]) for row in rows]
    assert results.best_epoch == accuracies.index(max(accuracies))
    assert results.metrics["val/acc"] == pytest.approx(max(accuracies), abs=1e-6)
    cosine = [0.001 * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)]
    assert [float(row["lr"]) for row in rows] == pytest.approx(cosine)


def test_the_predictions_give_the_reported_test_accuracy_and_the_mistakes(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    folder, _ = finished
    results = read_results(folder)
    assert results is not None
    with np.load(folder / "predictions.npz") as kept:
        logits, labels = kept["logits"], kept["labels"]
        assert (logits.argmax(1) == labels).mean() == pytest.approx(results.metrics["test/acc"], abs=1e-12)
        assert kept["sample_images"].shape == (40, 28, 28)
        assert kept["sample_labels"].tolist() == [label for label in range(10) for _ in range(4)]
        mistakes = kept["mistake_indices"]
        assert len(kept["mistake_images"]) == len(mistakes) == min(24, (logits.argmax(1) != labels).sum())
        assert all(logits[index].argmax() != labels[index] for index in mistakes)


def test_the_weights_are_a_plain_state_dict_of_the_chosen_epoch(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, config = finished
    state = torch.load(folder / "checkpoints/weights.pt", weights_only=True)
    net = build(config).classifier.net
    net.load_state_dict(state)
    best = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(best[f"net.{name}"], value) for name, value in state.items())


def test_a_loaded_run_scores_to_the_same_numbers(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = finished
    trained = load_run(folder)
    found = score_splits(predict_splits(trained.net, trained.data))
    assert found == pytest.approx(trained.results.metrics, abs=1e-7)


def test_a_finished_run_is_returned_and_not_trained_again(
    finished: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, config = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name[0] != "."}
    monkeypatch.setattr(ImageData, "setup", lambda *_: pytest.fail("trained again"))
    results = run(folder, config, [])
    assert results.reused
    assert results.model_copy(update={"reused": False}) == read_results(folder)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_lean_run_is_the_same_run_and_keeps_its_results_alone(composed: Composed, tmp_path: Path) -> None:
    whole, lean = run(tmp_path / "whole", composed()), run(tmp_path / "lean", composed("keep=results"))
    assert (lean.metrics, lean.config_hash) == (whole.metrics, whole.config_hash)
    kept = {path.relative_to(tmp_path / "lean").as_posix() for path in (tmp_path / "lean").rglob("*")}
    assert kept - {".lock"} == {"config.yaml", "history.csv", "predictions.npz", "results.json"}
    assert run(tmp_path / "lean", composed("keep=results")).reused
    with pytest.raises(ValueError, match=r"lean: its weights were not kept \(keep=results\); keep=all force=true"):
        load_run(tmp_path / "lean")


@pytest.mark.parametrize(("split_seed", "used"), [("null", 4), ("1", 1)])
def test_the_results_name_the_seed_of_the_split_that_was_used(
    split_seed: str, used: int, composed: Composed, tmp_path: Path
) -> None:
    config = composed("seed=4", f"dataset.split_seed={split_seed}")
    assert run(tmp_path, config, []).split_seed == used
    assert read_config(tmp_path).config["dataset"]["split_seed"] == yaml.safe_load(split_seed)
    data, fixed = load_run(tmp_path).data, build(composed(f"dataset.split_seed={used}")).data
    data.setup()
    fixed.setup()
    assert torch.equal(data.splits["val"].images, fixed.splits["val"].images)


def test_a_run_that_does_not_finish_names_the_seed_of_its_split_too(composed: Composed, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="train_images"):
        run(tmp_path, composed("seed=4", "dataset.train_images=1500"), [])
    results = read_results(tmp_path)
    assert results is not None
    assert (results.status, results.split_seed) == ("failed", 4)


def test_a_finished_run_from_before_splits_followed_the_seed_is_returned_and_loads(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = composed("seed=4", "dataset.split_seed=0")
    del before["dataset"]["margin"]
    finished = run(tmp_path, before, [])
    trained = load_run(tmp_path)
    assert score_splits(predict_splits(trained.net, trained.data)) == pytest.approx(finished.metrics, abs=1e-7)
    assert finished.split_seed == 0
    monkeypatch.setattr(ImageData, "setup", lambda *_: pytest.fail("trained again"))
    assert run(tmp_path, composed("seed=4", "dataset.split_seed=0"), []).reused
    with pytest.raises(ValueError, match="holds the run of another configuration"):
        run(tmp_path, composed("seed=4"), [])


def test_a_folder_of_another_configuration_is_refused_and_left_as_it_was(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, config = finished
    before = (folder / "results.json").read_bytes()
    with pytest.raises(ValueError, match=r"hydra\.run\.dir=.*holds the run of another configuration \(batchnorm-"):
        run(folder, {**config, "seed": 1}, [])
    assert (folder / "results.json").read_bytes() == before


def test_an_unfinished_folder_is_begun_anew(composed: Composed, tmp_path: Path) -> None:
    config = composed()
    run(tmp_path, config, [])
    expected = torch.load(tmp_path / "checkpoints/weights.pt", weights_only=True)
    (tmp_path / "results.json").unlink()
    (tmp_path / "checkpoints/last.ckpt").write_bytes(b"half")
    assert run(tmp_path, config, []).status == "finished"
    again = torch.load(tmp_path / "checkpoints/weights.pt", weights_only=True)
    assert all(torch.equal(expected[name], again[name]) for name in expected)


def test_without_validation_the_last_checkpoint_is_used_and_said_so(composed: Composed, tmp_path: Path) -> None:
    results = run(tmp_path, composed("dataset.val_size=0", "trainer.max_epochs=3"), [])
    assert results.checkpoint == "last"
    assert results.best_epoch == 2
    assert results.metrics["val/acc"] is None
    assert list(history(tmp_path)[0]) == COLUMNS
    assert history(tmp_path)[0]["val/acc"] == ""
    trained = load_run(tmp_path)
    assert score_splits(predict_splits(trained.net, trained.data)) == pytest.approx(results.metrics, abs=1e-7)


def test_the_checkpoint_can_be_chosen_by_validation_loss(composed: Composed, tmp_path: Path) -> None:
    results = run(tmp_path, composed("monitor=val/loss", "trainer.max_epochs=4"), [])
    losses = [float(row["val/loss"]) for row in history(tmp_path)]
    assert results.best_epoch == losses.index(min(losses))


def test_the_curve_by_epoch_is_measured_in_evaluation_mode_on_the_probe(composed: Composed, tmp_path: Path) -> None:
    results = run(tmp_path, composed("regularizer=dropout"), [])
    row = history(tmp_path)[0]
    # 200 training images are all in the probe, so the curve's only epoch is the chosen checkpoint's whole score.
    assert float(row["probe/acc"]) == pytest.approx(results.metrics["train/acc"], abs=1e-6)
    assert float(row["probe/loss"]) == pytest.approx(results.metrics["train/loss"], rel=1e-5)
    assert float(row["train/objective"]) > float(row["probe/loss"])


def test_the_test_split_is_scored_once(composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    batches = ImageData.evaluation_batches

    def recording(self: ImageData, split: str) -> Batches:
        asked.append(split)
        return batches(self, split)

    monkeypatch.setattr(ImageData, "evaluation_batches", recording)
    run(tmp_path, composed("trainer.max_epochs=3"), [])
    assert asked.count("test") == 1
    assert asked.count("train") == 1


def test_a_diverged_run_says_where(composed: Composed, tmp_path: Path) -> None:
    config = composed("model=lenet5_relu", "optimizer=sgd", "optimizer.lr=1e30")
    with pytest.raises(DivergedError, match="in epoch 1"):
        run(tmp_path, config, [])
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results) == KEYS
    assert results["status"] == "diverged"
    assert "epoch 1" in results["error"]
    assert not is_finished(tmp_path)


def test_a_failed_run_leaves_its_reason_and_its_traceback(composed: Composed, tmp_path: Path) -> None:
    config = composed("regularizer=dropout", "regularizer.dropout.p=2")
    with pytest.raises(ValueError, match=r"regularizer\.dropout\.p: expected a number in \[0, 1\); received 2"):
        run(tmp_path, config, [])
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results) == KEYS
    assert (results["status"], results["setting"], results["seed"]) == ("failed", "dropout", 0)
    assert "received 2" in results["error"]
    assert "Traceback" in (tmp_path / "error.txt").read_text()


def test_an_interrupted_run_is_recorded_and_run_anew(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from regbench.training.classifier import Classifier

    def interrupt(self: Classifier) -> None:
        raise KeyboardInterrupt

    config = composed()
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "on_validation_epoch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, config, [])
    assert json.loads((tmp_path / "results.json").read_text())["status"] == "interrupted"
    assert run(tmp_path, config, []).status == "finished"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "^seed: expected an integer of at least 0; received -1"),
        ({"seed": "one"}, "^seed: expected an integer of at least 0"),
        ({"threads": 0}, "^threads: expected an integer above 0; received 0"),
        ({"compile": "maybe"}, "^compile: expected a valid boolean"),
        ({"monitor": "test/acc"}, "^monitor: expected 'val/acc' or 'val/loss'; received 'test/acc'"),
        ({"surprise": 1}, "^surprise: no such key; expected dataset, model"),
        ({"dataset": None}, "^dataset: expected a valid dictionary"),
    ],
)
def test_top_level_keys_are_refused_by_name(changes: dict[str, Any], message: str, composed: Composed) -> None:
    with pytest.raises(ValueError, match=message):
        build({**composed(), **changes})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset.batch_size=0"], r"^dataset\.batch_size: expected an integer above 0; received 0"),
        (["dataset.batch_size=many"], r"^dataset\.batch_size: expected an integer above 0; received 'many'"),
        (["dataset.val_size=1437"], "^dataset: val_size must be from 0 to 1436"),
        (["dataset.train_size=1201"], "^dataset: train_size must be from 10"),
        (["trainer.max_epochs=0"], r"^trainer\.max_epochs: expected 1 or more, received 0"),
        (["trainer.max_epochs=-1"], r"^trainer\.max_epochs: expected 1 or more, received -1"),
        (["trainer.max_epochs=few"], r"^trainer\.max_epochs: expected a valid integer"),
        (["+trainer.fast=1"], r"^trainer\.fast: no such key"),
        (["+optimizer.weight_decay=0.1"], r"^optimizer\.weight_decay: .*regularizer=weight_decay"),
        (["optimizer.lr=-1"], "^optimizer: Invalid learning rate: -1"),
        (["optimizer.lr=fast"], r"^optimizer\.lr: expected"),
        (["model.activation=relo"], r"^model\.activation: expected 'tanh'"),
        (["model=[lenet5,mlp]"], r"^model\.padding: no such key"),
        (["regularizer=batchnorm", "regularizer.batchnorm.momentum=2"], r"^regularizer\.batchnorm\.momentum: expected"),
        (["scheduler.total_iters=x"], r"^scheduler\.total_iters: expected a valid integer"),
    ],
)
def test_wrong_values_are_refused_before_anything_is_read(
    overrides: list[str], message: str, composed: Composed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageData, "setup", lambda *_: pytest.fail("read the data"))
    with pytest.raises(ValueError, match=message) as caught:
        build(composed(*overrides))
    assert "\n" not in str(caught.value)


def test_compilation_without_a_compiler_is_refused(composed: Composed, monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed("compile=true")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ValueError, match=r"^compile: expected false, since no C\+\+ compiler"):
        build(config)


@pytest.mark.parametrize("status", [None, "failed", "running"])
def test_only_finished_runs_are_loaded(status: str | None, tmp_path: Path) -> None:
    if status:
        write_json(tmp_path / "results.json", {"status": status})
    with pytest.raises(ValueError, match="expected the folder of a finished run"):
        load_run(tmp_path)


@pytest.mark.parametrize("place", ["checkpoints", "tensorboard"])
def test_files_of_something_else_are_never_cleared(place: str, tmp_path: Path, composed: Composed) -> None:
    mine = tmp_path / place / "mine.ckpt"
    mine.parent.mkdir()
    mine.write_text("precious")
    for force in (False, True):
        with pytest.raises(ValueError, match=rf"holds {place} of something else \(there is no config.yaml\)"):
            run(tmp_path, {**composed("dataset=digits"), "force": force})
    assert mine.read_text() == "precious"
    assert not (tmp_path / "config.yaml").exists()


def test_a_folder_that_holds_runs_never_becomes_a_run_itself(tmp_path: Path, composed: Composed) -> None:
    run_folder = tmp_path / "digits-lenet5/none-123456/seed0"
    run_folder.mkdir(parents=True)
    (run_folder / "config.yaml").write_text("config: {}")
    with pytest.raises(ValueError, match=r"holds other runs \(.*seed0\); give another folder"):
        run(tmp_path, composed("dataset=digits"))
    assert not (tmp_path / "config.yaml").exists()


class Stop(pl.Callback):
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = True


def test_a_given_callback_that_stops_a_training_makes_no_finished_run(tmp_path: Path, composed: Composed) -> None:
    config = composed("dataset=digits", "dataset.train_size=100", "model=mlp_small", "trainer.max_epochs=2")
    with pytest.raises(ValueError, match=r"^callbacks: expected 2 epochs, .* received 1: what is given to .* may w"):
        run(tmp_path, config, callbacks=[Stop()])
    assert not is_finished(tmp_path)


def test_a_time_limit_is_no_callback_of_a_run(composed: Composed) -> None:
    node = {"_target_": "pytorch_lightning.callbacks.Timer", "duration": "00:00:00:05"}
    with pytest.raises(ValueError, match=r"^callbacks.limit: how far a run comes with Timer depends on the machine's"):
        build({**composed("dataset=digits"), "callbacks": {"limit": node}})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("BatchSizeFinder", "expected a batch size that .*; received BatchSizeFinder, .*; use dataset.batch_size=…"),
        ("LearningRateFinder", "expected a learning rate that .*; received LearningRateFinder, .*; use optimizer.lr=…"),
        ("ModelCheckpoint", "expected a callback that writes no checkpoints; received ModelCheckpoint, .* monitor=…"),
        ("OnExceptionCheckpoint", "expected a callback that writes no checkpoints; received OnE.*; a run resumes by"),
    ],
)
@pytest.mark.parametrize("by", ["configuration", "call"])
def test_a_callback_that_would_tune_or_keep_unseen_is_refused_with_what_to_use(
    by: str, name: str, message: str, tmp_path: Path, composed: Composed
) -> None:
    config, given = composed("dataset=digits", "model=mlp_small"), []
    arguments = {"dirpath": str(tmp_path / "elsewhere")} if name == "OnExceptionCheckpoint" else {}
    if by == "call":
        given.append(getattr(pl.callbacks, name)(**arguments))
    else:
        config["callbacks"] = {"own": {"_target_": f"pytorch_lightning.callbacks.{name}", **arguments}}
    with pytest.raises(ValueError, match=rf"^callbacks(\.own|\[0\]): {message}[^\n]*$"):
        run(tmp_path, config, callbacks=given)
    assert not (tmp_path / "history.csv").exists()
