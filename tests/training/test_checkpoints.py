"""Stopping in the middle of a run, and what is left of its files when the next call looks for them."""

import csv
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from regbench.config.composing import CONFIGS
from regbench.data.sources import Arrays, Digits
from regbench.runs.run import run
from regbench.training.checkpoints import AtomicCheckpointIO
from regbench.training.history import DivergedError
from regbench.training.interruption import Terminated, exit_status
from regbench.training.tensorboard import CHOSEN
from tests.bits import final_bits

Composed = Callable[..., dict[str, Any]]
EPOCHS = 5
REGULARIZERS = sorted(path.stem for path in (CONFIGS / "regularizer").glob("*.yaml"))
TECHNIQUES = [name for name in REGULARIZERS if name != "none"]
# Several at once: if what any one of them keeps is lost, the bits differ.
QUARTERS = [f"regularizer=[{','.join(TECHNIQUES[first::4])}]" for first in range(4)]
SETTINGS = [
    [QUARTERS[0], "optimizer=adamw"],
    [QUARTERS[1], "optimizer=sgd", "scheduler=cosine", "monitor=val/loss"],
    *([each] for each in QUARTERS[2:]),
    ["regularizer=none"],
    ["regularizer=dropout", "dataset.val_size=0"],
    ["regularizer=weight_decay", "optimizer=muon", "scheduler=one_cycle"],
]
assert len(SETTINGS) >= 7


class Stop(pl.Callback):
    """Interrupts the run in the middle of an epoch's training, or once its validation has begun."""

    def __init__(self, epoch: int, *, validating: bool) -> None:
        self.epoch, self.validating = epoch, validating

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not self.validating and trainer.current_epoch == self.epoch and batch_idx == 1:
            raise KeyboardInterrupt

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if self.validating and trainer.current_epoch == self.epoch:
            raise KeyboardInterrupt


def interrupted(folder: Path, config: dict[str, Any], stop: Stop) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(folder, config, callbacks=[stop])
    assert json.loads((folder / "results.json").read_text())["status"] == "interrupted"


@pytest.mark.parametrize("overrides", SETTINGS, ids=" ".join)
def test_a_run_stopped_twice_ends_in_the_same_bits_as_one_that_was_not(
    overrides: list[str], composed: Composed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = composed(f"trainer.max_epochs={EPOCHS}", *overrides)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(whole, config)
    interrupted(broken, config, Stop(1, validating=False))
    interrupted(broken, config, Stop(3, validating=True))
    capsys.readouterr()
    results = run(broken, config)
    assert "resumes after epoch 3" in capsys.readouterr().err
    assert results.provenance["resumed_after"] == 3
    assert final_bits(broken) == final_bits(whole)
    first = json.loads((whole / "results.json").read_text())
    assert {key: getattr(results, key) for key in ("best_epoch", "epochs", "metrics")} == {
        key: first[key] for key in ("best_epoch", "epochs", "metrics")
    }


def test_lightnings_own_callbacks_and_a_schedule_by_step_go_on_exactly(composed: Composed, tmp_path: Path) -> None:
    config = composed(
        f"trainer.max_epochs={EPOCHS}", "regularizer=[batchnorm,dropout]", "optimizer=adamw", "scheduler=one_cycle",
        "callbacks=[ema,early_stopping]", "callbacks.ema.decay=0.9", "callbacks.early_stopping.patience=10",
    )  # fmt: skip
    run(tmp_path / "whole", config)
    for epoch, validating in ((1, True), (2, False)):
        interrupted(tmp_path / "broken", config, Stop(epoch, validating=validating))
    run(tmp_path / "broken", config)
    assert final_bits(tmp_path / "broken") == final_bits(tmp_path / "whole")


class Terminate(pl.Callback):
    """Sends this process the signal that batch systems send."""

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_is_an_interruption_and_its_handler_is_given_back(composed: Composed, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated, match="stopped by SIGTERM"):
        run(tmp_path, composed("trainer.max_epochs=3"), callbacks=[Terminate()])
    assert signal.getsignal(signal.SIGTERM) == before
    assert json.loads((tmp_path / "results.json").read_text())["status"] == "interrupted"
    assert exit_status(Terminated()) == 143
    assert exit_status(KeyboardInterrupt()) == 130


class StopScoring(pl.Callback):
    """Interrupts a run after its training, before anything of its results is written."""

    def teardown(self, trainer: pl.Trainer, module: Any, stage: str) -> None:
        raise KeyboardInterrupt


def test_a_training_that_ended_early_stays_ended(composed: Composed, tmp_path: Path) -> None:
    stopping = ["callbacks=early_stopping", "monitor=val/loss", "callbacks.early_stopping.patience=2"]
    config = composed("trainer.max_epochs=50", "optimizer.lr=0", *stopping)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, config, callbacks=[StopScoring()])
    assert run(tmp_path, config).epochs_trained == 3


def stopped_after(epochs: int, folder: Path, config: dict[str, Any]) -> None:
    """Leave a folder as a killed process does."""
    interrupted(folder, config, Stop(epochs, validating=False))
    (folder / "results.json").unlink()


def test_a_run_does_not_resume_on_other_data(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = composed("model=mlp_small", "trainer.max_epochs=3")
    stopped_after(2, tmp_path, config)
    read = Digits.read

    def changed(self: Digits, root: Path) -> Arrays:
        arrays = read(self, root)
        return arrays._replace(train_labels=arrays.train_labels.flip(0))

    with monkeypatch.context() as patch:
        patch.setattr(Digits, "read", changed)
        with pytest.raises(ValueError, match=r"^dataset: expected the data with which this run began \(SHA-256 "):
            run(tmp_path, config)
    assert run(tmp_path, config).provenance["resumed_after"] == 2


def truncate(folder: Path) -> None:
    path = folder / "checkpoints/last.ckpt"
    path.write_bytes(path.read_bytes()[:-1000])


def empty(folder: Path) -> None:
    (folder / "checkpoints/last.ckpt").write_bytes(b"")


def flip_one_bit(folder: Path) -> None:
    path = folder / "checkpoints/last.ckpt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def replace_by_weights(folder: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), folder / "checkpoints/last.ckpt")


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


def replace_by_malice(folder: Path) -> None:
    torch.save({"state_dict": Payload(folder / "payload_ran")}, folder / "checkpoints/last.ckpt")


def replace_by_anothers(folder: Path) -> None:
    path = folder / "checkpoints/last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["run"]["identity"]["seed"] = 7
    torch.save(checkpoint, path)


def replace_by_other_versions(folder: Path) -> None:
    path = folder / "checkpoints/last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["run"]["identity"]["torch"] = "1.0"
    torch.save(checkpoint, path)


def remove(folder: Path) -> None:
    (folder / "checkpoints/last.ckpt").unlink()


DAMAGES = [
    (truncate, "last.ckpt: truncated or not a PyTorch file"),
    (empty, "last.ckpt: truncated or not a PyTorch file"),
    (flip_one_bit, "last.ckpt: truncated or not a PyTorch file"),
    (replace_by_weights, "last.ckpt: expected a checkpoint of a run"),
    (replace_by_malice, "last.ckpt: refused: it holds more than plain tensors"),
    (replace_by_anothers, "last.ckpt: belongs to another run: expected seed 0, received 7"),
    (replace_by_other_versions, "last.ckpt: belongs to another run: expected torch"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The unbroken run beside which the damaged ones are held."""
    from regbench.config import compose

    config = compose(["dataset=digits", "trainer.max_epochs=4", "dataset.train_size=200", "threads=1", "study=test"])
    folder = tmp_path_factory.mktemp("whole")
    run(folder, config)
    return folder, config


@pytest.mark.parametrize(("damage", "message"), DAMAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_an_unusable_last_checkpoint_is_set_aside_and_the_one_before_is_used(
    damage: Callable[[Path], None],
    message: str,
    whole: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    unbroken, config = whole
    stopped_after(3, tmp_path, config)
    damage(tmp_path)
    capsys.readouterr()
    run(tmp_path, config)
    told = capsys.readouterr().err
    assert message in told
    assert "set aside as last.ckpt.refused" in told
    assert "resumes after epoch 2" in told
    assert (tmp_path / "checkpoints/last.ckpt.refused").exists()
    assert not (tmp_path / "payload_ran").exists()
    assert final_bits(tmp_path) == final_bits(unbroken)


def test_a_kill_between_the_renames_leaves_the_checkpoint_before(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unbroken, config = whole
    stopped_after(3, tmp_path, config)
    remove(tmp_path)
    run(tmp_path, config)
    assert "resumes after epoch 2" in capsys.readouterr().err
    assert final_bits(tmp_path) == final_bits(unbroken)


@pytest.mark.parametrize("lost", [("last.ckpt", "previous.ckpt"), ("best.ckpt",)])
def test_without_a_usable_checkpoint_the_run_starts_from_scratch_and_says_so(
    lost: tuple[str, ...],
    whole: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    unbroken, config = whole
    stopped_after(2, tmp_path, config)
    for name in lost:
        (tmp_path / "checkpoints" / name).write_bytes(b"damaged")
    run(tmp_path, config)
    told = capsys.readouterr().err
    assert all(f"{name}: truncated" in told for name in lost)
    assert "no usable checkpoint is left, so the run starts from scratch" in told
    assert final_bits(tmp_path) == final_bits(unbroken)


def test_the_history_and_tensorboard_show_every_epoch_once(whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    _, config = whole
    stopped_after(3, tmp_path, config)
    truncate(tmp_path)  # so that an epoch is done again, of which history and TensorBoard tell already
    run(tmp_path, config)
    with (tmp_path / "history.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    for tag in ("train/objective", "val/acc"):
        assert [event.step for event in events.Scalars(tag)] == [1, 2, 3, 4]
    assert len(events.Scalars(f"{CHOSEN}/test/acc")) == 1


def test_the_seconds_of_all_calls_are_counted_and_those_between_them_are_not(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, config = whole
    stopped_after(2, tmp_path, config)
    checkpoint = tmp_path / "checkpoints/last.ckpt"
    state = torch.load(checkpoint, weights_only=True)
    assert 0 < sum(row["seconds"] for row in state["callbacks"]["History"]["rows"]) < state["run"]["seconds"]
    state["run"]["seconds"] += 1000
    torch.save(state, checkpoint)
    time.sleep(1)
    began = time.perf_counter()
    seconds = run(tmp_path, config).seconds
    took = time.perf_counter() - began
    assert 1000 < seconds.total < 1000 + took + state["run"]["seconds"] - 1000
    with (tmp_path / "history.csv").open(newline="") as file:
        assert seconds.train == pytest.approx(sum(float(row["seconds"]) for row in csv.DictReader(file)), abs=2e-3)


def test_litter_of_a_killed_process_is_removed(whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    _, config = whole
    stopped_after(1, tmp_path, config)
    for name in (".results.json.abc.tmp", "checkpoints/.next.ckpt.abc.tmp"):
        (tmp_path / name).write_text("half")
    run(tmp_path, config)
    assert not list(tmp_path.rglob("*.tmp"))
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt", "weights.pt"}


class Poison(pl.Callback):
    """Makes one weight infinite where no loss shows it: in an output's bias of a class that is always right."""

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.current_epoch == 2:
            module.net.output.bias.data[3] = float("inf")


def test_an_infinite_weight_is_a_diverged_run_and_the_last_good_checkpoint_stays(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    unbroken, config = whole
    with pytest.raises(DivergedError, match=r"^the weight net\.output\.bias is not finite in epoch 3$"):
        run(tmp_path, config, callbacks=[Poison()])
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["status"] == "diverged"
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["run"]["epochs"] == 2
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 3
    run(tmp_path, config)
    assert final_bits(tmp_path) == final_bits(unbroken)


def test_a_run_goes_on_from_another_place(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unbroken, config = whole
    stopped_after(2, tmp_path / "here", config)
    shutil.move(tmp_path / "here", tmp_path / "there")
    run(tmp_path / "there", config)
    assert "resumes after epoch 2" in capsys.readouterr().err
    assert final_bits(tmp_path / "there") == final_bits(unbroken)


def test_a_checkpoint_of_the_default_network_is_small_and_quickly_written(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = composed("trainer.max_epochs=6")
    spent: list[float] = []

    save = AtomicCheckpointIO.save_checkpoint

    def timed(self: AtomicCheckpointIO, *arguments: Any) -> None:
        began = time.perf_counter()
        save(self, *arguments)
        spent.append(time.perf_counter() - began)

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", lambda self, *a, **_: timed(self, *a))
    run(tmp_path, config)
    assert len(spent) == 6
    assert (tmp_path / "checkpoints/last.ckpt").stat().st_size < 2**20
    assert min(spent) < 0.1  # with fsync, on a busy machine


def test_nothing_but_tensors_is_read_whatever_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": Payload(tmp_path / "ran")}, path)
    with pytest.raises(ValueError, match=r"last\.ckpt: refused"):
        AtomicCheckpointIO().load_checkpoint(path, weights_only=False)
    assert not (tmp_path / "ran").exists()
