"""Options of Lightning's Trainer: each is decided on, and what makes no comparison is refused by name."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from regbench.config.budget import training_steps
from regbench.config.trainer_options import ALLOWED, ONE_DEVICE, REFUSED, check_device_count, check_trainer
from regbench.runs.run import run

Composed = Callable[..., dict[str, Any]]
OWN = "pytorch_lightning.Trainer"
PARAMETERS = {name: each.default for name, each in inspect.signature(pl.Trainer).parameters.items()}


def test_every_option_of_the_trainer_is_decided_on_once() -> None:
    assert sorted([*ALLOWED, *ONE_DEVICE, *REFUSED]) == sorted(PARAMETERS)


@pytest.mark.parametrize("name", REFUSED)
def test_an_option_that_makes_no_comparison_is_refused_by_name_with_the_reason(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^trainer\.{name}: not taken: \w[^\n]{{10,}}$"):
        check_trainer({"_target_": OWN, name: PARAMETERS[name]})


@pytest.mark.parametrize("name", ALLOWED)
def test_null_leaves_an_option_to_lightning(name: str) -> None:
    check_trainer({"_target_": OWN, name: None})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("gradient_clip_val", -1, "expected a finite number above 0; received -1"),
        ("gradient_clip_val", 0, "expected a finite number above 0; received 0"),
        ("gradient_clip_val", float("nan"), "expected a finite number above 0; received nan"),
        ("gradient_clip_val", True, "expected a finite number above 0; received True"),
        ("gradient_clip_algorithm", "most", "expected 'norm' or 'value'; received 'most'"),
        ("accumulate_grad_batches", 0, "expected an integer above 0; received 0"),
        ("deterministic", "perhaps", "expected .*'warn'.*; received 'perhaps'"),
    ],
)
def test_an_allowed_option_takes_only_what_makes_sense(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^trainer\.{name}: {message}"):
        check_trainer({"_target_": OWN, name: value})


@pytest.mark.parametrize(("target", "prefix"), [(OWN, "PL_TRAINER"), ("mine.Slow", "PL_SLOW")])
def test_options_that_lightning_would_take_from_the_environment_are_refused(
    target: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{prefix}_MAX_TIME", "")  # as Lightning, which takes an empty one for none
    check_trainer({"_target_": target})
    monkeypatch.setenv(f"{prefix}_LIMIT_TRAIN_BATCHES", "0.1")
    with pytest.raises(ValueError, match=rf"^{prefix}_LIMIT_TRAIN_BATCHES=0.1: .* use trainer.limit_train_batches=…"):
        check_trainer({"_target_": target})


def test_an_option_that_nobody_decided_on_is_refused_but_for_ones_own_trainer() -> None:
    with pytest.raises(ValueError, match=r"^trainer\.max_epoch: no such key \(did you mean max_epochs\?\); expected"):
        check_trainer({"_target_": OWN, "max_epoch": 1})
    check_trainer({"_target_": "mine.Trainer", "novel": 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("devices", value) for value in (2, 0, "2", "0,1", [0, 1], [], True)),
        *(("strategy", value) for value in ("ddp", "ddp_fork", "ddp_spawn", "fsdp", {"_target_": "mine.Strategy"})),
        *(("num_nodes", value) for value in (2, 0, "2", True)),
    ],
)
def test_several_devices_are_refused_with_what_to_do_instead(name: str, value: Any) -> None:
    with pytest.raises(
        ValueError, match=rf"^trainer\.{name}: expected (1|auto); received .*one run trains on one devi"
    ):
        check_trainer({"_target_": OWN, name: value})


@pytest.mark.parametrize("devices", [1, "1", "auto", -1, "-1", [1], [0], "1,", None])
def test_one_device_may_be_named_in_any_way(devices: Any) -> None:
    check_trainer({"_target_": OWN, "devices": devices, "strategy": "auto", "num_nodes": 1})


def test_auto_is_refused_where_it_stands_for_several_devices(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_device_count(1, 1)
    monkeypatch.setattr(pl.Trainer, "num_devices", 4)
    monkeypatch.setattr(pl.Trainer, "fit", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(ValueError, match=r"^trainer\.devices: expected 1.* 4 devices here: one run trains on one dev"):
        run(tmp_path, composed("trainer.devices=auto"), [])


class Counted(pl.Callback):
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.steps = trainer.global_step
        self.deterministic = torch.are_deterministic_algorithms_enabled()


def test_accumulated_batches_count_as_one_step_and_no_switch_stays_on_for_the_next_run(
    composed: Composed, tmp_path: Path
) -> None:
    config = composed(
        "+trainer.accumulate_grad_batches=3", "+trainer.deterministic=true", "scheduler=one_cycle",
        "trainer.max_epochs=2", "threads=1",
    )  # fmt: skip
    counted = Counted()
    run(tmp_path, config, [], callbacks=[counted])
    assert config["scheduler"]["total_steps"] == training_steps(config) == counted.steps == 2 * 2
    assert counted.deterministic
    assert not torch.are_deterministic_algorithms_enabled()
