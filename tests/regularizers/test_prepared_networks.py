"""Networks that techniques change once they are initialized: fair, saved, loaded, resumed and counted as others."""

import copy
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from regbench.cli import app
from regbench.regularizers import Combined, Regularizer
from regbench.runs.loading import load_run
from regbench.runs.parts import build
from regbench.runs.run import run
from regbench.runs.summary import summarize
from tests.bits import final_bits

Composed = Callable[..., dict[str, Any]]
PREPARED = {"dropconnect": "regbench.regularizers.dropconnect.DropConnect", "spectral": "tests.inert.Spectral"}


def with_technique(name: str, composed: Composed, *overrides: str) -> dict[str, Any]:
    config = composed("regularizer=batchnorm", *overrides)
    config["regularizer"][name] = {"_target_": PREPARED[name]}
    return config


def own_weights(net: nn.Module) -> dict[str, Tensor]:
    """The parameters by their names without any parametrization."""
    return {
        name.replace("parametrizations.", "").replace(".original", ""): each for name, each in net.named_parameters()
    }


@pytest.mark.parametrize("technique", PREPARED)
@pytest.mark.parametrize("model", ["lenet5", "mlp"])
def test_a_prepared_network_starts_from_the_weights_of_none(technique: str, model: str, composed: Composed) -> None:
    baseline = own_weights(build(composed(f"model={model}")).classifier.net)
    other = own_weights(build(with_technique(technique, composed, f"model={model}")).classifier.net)
    assert set(baseline) <= set(other)
    assert all(torch.equal(baseline[name], other[name]) for name in baseline)


class Drawing(Regularizer):
    """Draws numbers when the network is prepared, and keeps them."""

    def prepare(self, net: nn.Module) -> None:
        self.drawn = torch.rand(3)


def drawn(config: dict[str, Any], *names: str) -> list[Tensor]:
    """What the techniques of these names drew, from where torch's own stream is put."""
    config = copy.deepcopy(config)
    config["regularizer"] = {name: {"_target_": f"{__name__}.Drawing"} for name in names}
    torch.manual_seed(5)
    techniques = build(config).classifier.regularizer
    assert isinstance(techniques, Combined)
    return [vars(each)["drawn"] for each in techniques.techniques.values()]


def test_each_technique_draws_by_itself_when_it_prepares_the_network_and_no_other_stream_moves(
    composed: Composed,
) -> None:
    drawn(composed())
    before = torch.get_rng_state()  # layers draw weights when they are made, which initialization replaces
    together = drawn(composed(), "a", "b")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn(composed(), "b")[0], together[1])
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(together[1], drawn(composed("seed=1"), "b")[0])


@pytest.mark.parametrize("technique", PREPARED)
def test_a_prepared_network_is_scored_saved_and_loaded_with_the_same_answers(
    technique: str, composed: Composed, tmp_path: Path
) -> None:
    run(tmp_path, with_technique(technique, composed, "trainer.max_epochs=2"))
    trained = load_run(tmp_path, trust=["tests"])
    trained.data.setup()
    with torch.inference_mode():
        logits = trained.net.eval()(trained.data.splits["test"].images)
    stored = np.load(tmp_path / "predictions.npz")["logits"]
    torch.testing.assert_close(logits, torch.from_numpy(stored), rtol=1e-4, atol=1e-4)
    kept = torch.load(tmp_path / "checkpoints/weights.pt", weights_only=True)
    assert "f6.parametrizations.weight.original" in kept
    ended = CliRunner().invoke(app, ["evaluate", str(tmp_path), "--trust", "tests"])
    assert ended.exit_code == 0, ended.output


def test_weights_of_a_prepared_network_alone_are_scored_where_the_technique_is_named(
    composed: Composed, tmp_path: Path
) -> None:
    run(tmp_path, composed("regularizer=dropconnect"))
    call = ["evaluate", "--weights", str(tmp_path / "checkpoints/weights.pt"), "dataset=digits"]
    ended = CliRunner().invoke(app, [*call, "regularizer=dropconnect"])
    assert ended.exit_code == 0, ended.output
    refused = CliRunner().invoke(app, call)
    assert refused.exit_code == 1
    assert "weights of another architecture: for c5." in refused.output
    assert "give its model= and regularizer=" in refused.output


class Stop(pl.Callback):
    """Interrupts a run when its third epoch begins."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("technique", PREPARED)
def test_a_run_of_a_prepared_network_resumes_to_the_same_bits(
    technique: str, compiled: bool, composed: Composed, tmp_path: Path
) -> None:
    config = with_technique(technique, composed, "model=mlp_small", "trainer.max_epochs=4", f"compile={compiled}")
    run(tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", config, callbacks=[Stop()])
    assert run(tmp_path / "broken", config).provenance["resumed_after"] == 2
    assert final_bits(tmp_path / "broken") == final_bits(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="needs onnxruntime")
@pytest.mark.parametrize("technique", PREPARED)
def test_a_prepared_network_is_exported_with_its_answers(technique: str, composed: Composed, tmp_path: Path) -> None:
    import onnxruntime

    run(tmp_path, with_technique(technique, composed))
    ended = CliRunner().invoke(app, ["export", str(tmp_path), "--trust", "tests"])
    assert ended.exit_code == 0, ended.output
    trained = load_run(tmp_path, trust=["tests"])
    images = torch.rand(5, 1, 28, 28)
    with torch.inference_mode():
        logits = trained.net.eval()(images)
    program = torch.export.load(str(tmp_path / "export/model.pt2"))
    torch.testing.assert_close(program.module()(images), logits, atol=1e-5, rtol=1e-4)
    session = onnxruntime.InferenceSession(tmp_path / "export/model.onnx")
    (found,) = session.run(None, {"images": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), logits, atol=1e-4, rtol=1e-4)


def test_a_prepared_networks_summary_has_the_layers_and_counts_of_the_plain_one(composed: Composed) -> None:
    plain, prepared = (
        summarize(build(config).classifier.net, 28)
        for config in (composed("regularizer=batchnorm"), with_technique("dropconnect", composed))
    )
    for expected, found in zip(plain, prepared, strict=True):
        assert found._replace(kind=expected.kind) == expected
    assert {layer.kind for layer in prepared} - {layer.kind for layer in plain} == {
        "ParametrizedLinear",
        "ParametrizedWholeMapConv2d",
    }
