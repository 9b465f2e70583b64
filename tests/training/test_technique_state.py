"""What techniques and layers keep beside weights: it is part of a checkpoint, or refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from regbench.runs.run import run
from regbench.training.attributes import Attributes
from regbench.training.compiling import Compiled
from tests.bits import final_bits
from tests.inert import Annealed, Recorder

Composed = Callable[..., dict[str, Any]]


class Stop(pl.Callback):
    """Interrupts a run in the middle of its third epoch."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 2:
            raise KeyboardInterrupt


def with_technique(composed: Composed, name: str, **arguments: Any) -> dict[str, Any]:
    config = composed("model=mlp_small", "trainer.max_epochs=4")
    config["regularizer"] = {"own": {"_target_": f"tests.inert.{name}", **arguments}}
    return config


@pytest.mark.parametrize("technique", ["Annealed", "Remembering", "Keeping"])
def test_a_techniques_state_resumes_with_its_run(technique: str, composed: Composed, tmp_path: Path) -> None:
    config = with_technique(composed, technique)
    run(tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", config, callbacks=[Stop()])
    assert run(tmp_path / "broken", config).provenance["resumed_after"] == 2
    assert final_bits(tmp_path / "broken") == final_bits(tmp_path / "whole")


def test_each_checkpoint_has_the_state_of_its_epoch(composed: Composed, tmp_path: Path) -> None:
    config = with_technique(composed, "Annealed", strength=1.0, factor=0.5)
    config["optimizer"]["lr"] = 0.0  # the first epoch stays the best
    run(tmp_path, config)
    for name, epochs in (("best", 1), ("last", 4)):
        state = torch.load(tmp_path / f"checkpoints/{name}.ckpt", weights_only=True)["techniques"]
        assert state["attributes"] == {"regularizer.own": {"strength": 0.5 ** (4 * epochs)}}


def test_what_had_not_changed_by_a_checkpoint_is_as_it_was_at_first() -> None:
    technique, net = Annealed(strength=1.0), Recorder()
    attributes = Attributes(technique, net)
    early = attributes.changed()
    assert early == {}
    technique.strength, technique.seen, net.noise = 0.5, [1, 2], 0.1
    late = attributes.changed()
    assert late == {"regularizer.": {"strength": 0.5, "seen": [1, 2]}, "net.": {"noise": 0.1}}
    attributes.restore(early, torch.device("cpu"))
    assert (technique.strength, technique.seen, net.noise) == (1.0, [], 0.5)
    attributes.restore(late, torch.device("cpu"))
    assert (technique.strength, technique.seen, net.noise) == (0.5, [1, 2], 0.1)


def test_the_networks_own_layers_and_weights_are_not_taken_for_state() -> None:
    technique, net = Annealed(), nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    attributes = Attributes(technique, net)
    vars(technique).update(net=net, layers=[*net], weight=net[0].weight)
    net(torch.rand(4, 2)).sum().backward()
    assert attributes.changed() == {}


def test_a_state_that_no_checkpoint_can_hold_is_refused_in_one_line(composed: Composed, tmp_path: Path) -> None:
    config = with_technique(composed, "Drawing")
    expected = (
        r"^regularizer\.own: expected state that a checkpoint can hold; its attribute generator changes while training "
        r"and is a Generator; .* override state_dict and load_state_dict$"
    )
    with pytest.raises(ValueError, match=expected):
        run(tmp_path, config)
    assert not (tmp_path / "checkpoints/last.ckpt").exists()


def test_a_number_that_makes_the_compiler_work_at_each_step_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    weight = 1.0

    def loss(images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (images * weight).sum() + targets.sum()

    step = Compiled(loss, lambda: ["regularizer.own.weight"], backend="eager")
    for size in (3, 4, 5, 6, 3, 4):
        assert step(torch.ones(size), torch.ones(size)) == 2 * size
    assert not capsys.readouterr().err
    for _ in range(6):
        weight *= 0.5
        assert step(torch.ones(2), torch.zeros(2)) == 2 * weight
    told = capsys.readouterr().err
    assert told.count("the training step was compiled") == 1
    assert "(regularizer.own.weight)" in told
    assert "compile=false" in told
