import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from regbench.runs.parts import build
from regbench.runs.run import run
from regbench.storage.schema import HISTORY, WEIGHTS
from regbench.training.classifier import Classifier
from regbench.training.schedules import WarmupCosine

Composed = Callable[..., dict[str, Any]]


def rates(total_steps: int, warmup: float, floor: float) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = WarmupCosine(optimizer, total_steps, warmup, floor)
    found = []
    for _ in range(total_steps + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_the_rate_rises_in_a_line_and_falls_along_a_cosine_to_its_floor() -> None:
    cosine = [2 * (0.1 + 0.9 * (1 + math.cos(math.pi * step / 6)) / 2) for step in range(7)]
    assert rates(10, 0.4, 0.1) == pytest.approx([0.5, 1.0, 1.5, 2.0, *cosine])


def test_without_warmup_it_is_torchs_cosine() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8)
    expected = []
    for _ in range(9):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cosine.step()
    assert rates(8, 0.0, 0.0) == pytest.approx(expected)


def follow(config: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Train, and return the rate of each step."""
    seen: list[float] = []
    loss = Classifier.batch_loss

    def recording(self: Classifier, *arguments: Any) -> Any:
        seen.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        return loss(self, *arguments)

    monkeypatch.setattr(Classifier, "batch_loss", recording)
    run(folder, config, [])
    return seen


@pytest.mark.parametrize("scheduler", ["one_cycle", "warmup_cosine"])
# 201 images in batches of 10: the last one joins the batch before it, so an epoch has 20 steps.
@pytest.mark.parametrize("images", [200, 201, 210])
def test_schedules_by_step_span_the_whole_training_and_the_history_tells_each_epochs_first_rate(
    scheduler: str, images: int, composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = composed(
        f"scheduler={scheduler}", f"dataset.train_size={images}", "dataset.batch_size=10", "trainer.max_epochs=3"
    )
    seen = follow(config, tmp_path, monkeypatch)
    assert config["scheduler"]["total_steps"] == len(seen)
    assert max(seen) == pytest.approx(config["optimizer"]["lr"], rel=0.05)
    assert seen[0] < max(seen) / 1.9
    assert seen[-1] < max(seen) / 5
    with (tmp_path / HISTORY).open(newline="") as file:
        logged = [float(row["lr"]) for row in csv.DictReader(file)]
    assert logged == pytest.approx(seen[:: len(seen) // 3])


@pytest.mark.parametrize("scheduler", ["constant", "cosine"])
def test_schedules_by_epoch_keep_their_rate_within_an_epoch(
    scheduler: str, composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = follow(composed(f"scheduler={scheduler}", "trainer.max_epochs=2"), tmp_path, monkeypatch)
    assert len(seen) == 8
    assert len(set(seen[:4])) == len(set(seen[4:])) == 1


def test_an_interval_that_is_neither_epoch_nor_step_is_refused(composed: Composed) -> None:
    with pytest.raises(ValueError, match=r"^scheduler\.interval: expected epoch or step, received 'week'"):
        build(composed("scheduler=one_cycle", "scheduler.interval=week"))


def test_gradients_are_clipped_to_the_norm_that_the_trainer_is_given(composed: Composed, tmp_path: Path) -> None:
    """With plain SGD and one step, the weights move by rate · norm at most, and by just that where clipped."""
    config = composed(
        "optimizer=sgd", "optimizer.momentum=0", "optimizer.nesterov=false", "optimizer.lr=0.5",
        "trainer.gradient_clip_val=0.01", "dataset.batch_size=200", "model=mlp_small",
    )  # fmt: skip
    before = [each.detach().clone() for each in build(config).classifier.net.parameters()]
    run(tmp_path, config, [])
    after = torch.load(tmp_path / WEIGHTS, weights_only=True)
    moved = torch.cat(
        [(after[name] - old).flatten() for (name, _), old in zip(_parameters(config), before, strict=True)]
    )
    assert moved.norm().item() == pytest.approx(0.5 * 0.01, rel=1e-3)


def _parameters(config: dict[str, Any]) -> list[tuple[str, nn.Parameter]]:
    return list(build(config).classifier.net.named_parameters())
