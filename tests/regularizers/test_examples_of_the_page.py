"""The examples of `docs/own-regularizer.md` that are no files: short, and equal to the techniques that they show."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.distributions import Beta
from torch.nn.utils import parametrize

from regbench.models import MLP
from regbench.regularizers import Regularizer
from regbench.regularizers.dropconnect import DropConnect
from regbench.regularizers.max_norm import MaxNorm
from regbench.regularizers.sam import SAM
from regbench.runs.parts import build
from regbench.runs.run import run
from tests.bits import final_bits
from tests.conftest import ROOT

Composed = Callable[..., dict[str, Any]]
PAGE = (ROOT / "docs/own-regularizer.md").read_text()
EXAMPLES = {
    found: block
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for found in re.findall(r"^class (\w+)\(Regularizer\)", block, re.MULTILINE)
}


def example(name: str) -> Any:
    names = {"Beta": Beta, "Callable": Callable, "Regularizer": Regularizer, "Tensor": Tensor, "nn": nn}
    content: dict[str, Any] = {**names, "parametrize": parametrize, "torch": torch}
    exec(EXAMPLES[name], content)
    return content[name]


@pytest.mark.parametrize("name", ["GradientNoise", "MaxNorm", "DropConnect", "SAM", "ManifoldMixup"])
def test_an_example_is_at_most_twenty_lines_long(name: str) -> None:
    assert len([line for line in EXAMPLES[name].splitlines() if line.strip()]) <= 20


def network() -> MLP:
    torch.manual_seed(3)
    return MLP(8, [12, 6], "relu", 10, 0.5, 0.5)


def test_max_norm_of_the_page_is_that_of_the_house() -> None:
    nets = network(), network()
    with torch.no_grad():
        for net, technique in zip(nets, (example("MaxNorm")(0.5), MaxNorm(0.5)), strict=True):
            technique.after_step(net)
    for ours, theirs, before in zip(*(net.parameters() for net in (*nets, network())), strict=True):
        assert torch.equal(ours, theirs)
        assert torch.equal(ours, before) is (before.ndim < 2)


def test_dropconnect_of_the_page_is_that_of_the_house() -> None:
    nets = network(), network()
    images, found = torch.rand(5, 1, 8, 8), []
    for net, technique in zip(nets, (example("DropConnect")(0.4), DropConnect(0.4)), strict=True):
        technique.prepare(net)
        torch.manual_seed(0)
        found.append(net(images))
    assert torch.equal(*found)
    assert not torch.equal(found[0], network()(images))
    assert torch.equal(nets[0].eval()(images), network().eval()(images))


def test_sam_of_the_page_is_that_of_the_house() -> None:
    nets = network(), network()
    images = torch.rand(5, 1, 8, 8)
    for net, technique in zip(nets, (example("SAM")(0.4), SAM(0.4)), strict=True):

        def compute(net: nn.Module = net) -> None:
            net.zero_grad()
            with torch.enable_grad():
                net(images).square().mean().backward()

        compute()
        with torch.no_grad():
            technique.on_gradients(net, compute)
    for ours, theirs, before in zip(*(net.parameters() for net in (*nets, network())), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
        assert torch.equal(ours, before)


def test_hooks_that_share_a_draw_blend_a_hidden_layer_and_the_targets_alike() -> None:
    technique = example("ManifoldMixup")(1.0)
    torch.manual_seed(3)
    net = MLP(8, [12, 6], "relu", 10, 0.5, 0.5, technique)
    # What lies before the slot after the first activation, between the two, and after the second.
    layers = list(net)
    first, second, third = (nn.Sequential(*part) for part in (layers[:4], layers[5:7], layers[8:]))
    images, targets = torch.rand(7, 1, 8, 8), torch.eye(10)[:7]
    seen = set()
    for seed in range(8):
        torch.manual_seed(seed)
        same, mixed = technique.on_batch(images, targets)
        assert same is images
        torch.manual_seed(seed)
        share, partner = Beta(1.0, 1.0).sample(), torch.randperm(7)
        torch.testing.assert_close(mixed, share * targets + (1 - share) * targets[partner])
        with torch.no_grad():
            place = int(torch.randint(2, ()))

            def blend(values: Tensor, here: bool, share: Tensor = share, partner: Tensor = partner) -> Tensor:
                return share * values + (1 - share) * values[partner] if here else values

            expected = third(blend(second(blend(first(images), place == 0)), place == 1))
            torch.testing.assert_close(net(images), expected)
            plain = third(second(first(images)))
            assert not torch.allclose(expected, plain)
            assert torch.equal(net.eval()(images), plain)
            net.train()
        seen.add(place)
    assert seen == {0, 1}


class Mixing(example("ManifoldMixup")):  # type: ignore[misc]  # made at run time
    """The page's example under a name by which a configuration finds it."""


class Stop(pl.Callback):
    """Interrupts a run when its second epoch begins."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_hooks_that_share_a_draw_train_and_resume_with_other_techniques(
    compiled: bool, composed: Composed, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = composed("model=mlp_small", "trainer.max_epochs=3", "regularizer=[dropout,sam]", f"compile={compiled}")
    config["regularizer"]["mixing"] = {"_target_": f"{__name__}.Mixing", "alpha": 1.0}
    assert run(tmp_path / "whole", config).acted == {"dropout": True, "mixing": True, "sam": True}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", config, callbacks=[Stop()])
    assert run(tmp_path / "broken", config).provenance["resumed_after"] == 1
    assert final_bits(tmp_path / "broken") == final_bits(tmp_path / "whole")
    assert "the training step was compiled" not in capfd.readouterr().err
    assert build(config).classifier.preview((torch.rand(4, 1, 28, 28), torch.arange(4))) is not None
