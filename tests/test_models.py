from typing import Any

import pytest
import torch
from torch import nn

from regbench.config import compose
from regbench.models import LeNet5, WholeMapConv2d, initialize
from regbench.runs.parts import build
from regbench.runs.summary import summarize

COUNTS = {"lenet5": 61_706, "lenet5_relu": 61_706, "lenet5_compact": 44_426, "mlp": 61_450, "mlp_small": 15_910,
          "resnet20": 268_746}  # fmt: skip
# γ and β: twice the features of all hidden layers, 6 + 16 + 120 + 84 in LeNet-5.
ADDED_BY_BATCH_NORM = {"lenet5": 452, "lenet5_relu": 452, "lenet5_compact": 452, "mlp": 2 * 6 * 48, "mlp_small": 40,
                       "resnet20": 1_376}  # fmt: skip
LENET5_SHAPES = {
    "lenet5": [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120,), (84,), (10,)],
    "lenet5_relu": [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120,), (84,), (10,)],
    "lenet5_compact": [(6, 24, 24), (6, 12, 12), (16, 8, 8), (16, 4, 4), (120,), (84,), (10,)],
}


def network(*overrides: str) -> tuple[nn.Module, int]:
    experiment = build(compose(["dataset=digits", *overrides]))
    return experiment.classifier.net, experiment.data.image_size


@pytest.mark.parametrize("model", COUNTS)
@pytest.mark.parametrize("setting", ["none", "batchnorm"])
def test_parameter_counts_are_the_published_ones(model: str, setting: str) -> None:
    net, _ = network(f"model={model}", f"regularizer={setting}")
    expected = COUNTS[model] + (ADDED_BY_BATCH_NORM[model] if setting == "batchnorm" else 0)
    assert sum(parameter.numel() for parameter in net.parameters()) == expected


def test_lenet5_with_batch_norm_has_62158_parameters() -> None:
    net, _ = network("regularizer=batchnorm")
    assert sum(parameter.numel() for parameter in net.parameters()) == 62_158


@pytest.mark.parametrize("model", LENET5_SHAPES)
@pytest.mark.parametrize("setting", ["none", "batchnorm"])
def test_lenet5_layers_have_the_published_output_shapes(model: str, setting: str) -> None:
    net, size = network(f"model={model}", f"regularizer={setting}")
    layers = {layer.name: layer.shape for layer in summarize(net, size)}
    assert [layers[name] for name in ("c1", "s2", "c3", "s4", "c5", "f6", "output")] == LENET5_SHAPES[model]
    if setting == "batchnorm":
        assert [layers[f"{name}_before.0"] for name in ("c1", "c3", "c5", "f6")] == [
            layers[name] for name in ("c1", "c3", "c5", "f6")
        ]


@pytest.mark.parametrize(("model", "widths"), [("mlp", [48] * 6), ("mlp_small", [20])])
def test_mlp_layers_have_the_published_widths(model: str, widths: list[int]) -> None:
    net, size = network(f"model={model}")
    layers = {layer.name: layer.shape for layer in summarize(net, size)}
    assert layers["flatten"] == ({"mlp": 1024, "mlp_small": 784}[model],)
    assert [layers[f"h{number}"] for number in range(1, len(widths) + 1)] == [(width,) for width in widths]


def test_c5_is_the_convolution_over_all_that_is_left() -> None:
    layer = WholeMapConv2d(16, 120, 5)
    plain = nn.Conv2d(16, 120, 5)
    plain.load_state_dict(layer.state_dict())
    maps = torch.randn(3, 16, 5, 5)
    torch.testing.assert_close(layer(maps), plain(maps).flatten(1))
    channels_last = maps.to(memory_format=torch.channels_last)
    torch.testing.assert_close(layer(channels_last), plain(maps).flatten(1))


def test_normalization_is_the_first_layer_so_images_stay_in_the_unit_interval() -> None:
    net, _ = network("dataset.mean=0.25", "dataset.std=0.5")
    first = next(iter(net.children()))
    assert first(torch.tensor([0.0, 0.25, 1.0])).tolist() == [-0.5, 0.0, 1.5]


def lenet5(**changes: Any) -> LeNet5:
    arguments: dict[str, Any] = {
        "image_size": 28, "padding": 2, "activation": "tanh", "pooling": "average", "num_classes": 10,
        "mean": 0.0, "std": 1.0,
    }  # fmt: skip
    return LeNet5(**{**arguments, **changes})


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "silu", "gelu"])
@pytest.mark.parametrize("pooling", ["average", "max"])
def test_every_activation_and_pooling_gives_logits_and_gradients(activation: str, pooling: str) -> None:
    net = lenet5(activation=activation, pooling=pooling)
    net(torch.rand(2, 1, 28, 28)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_lenet5_refuses_an_image_that_leaves_no_map() -> None:
    with pytest.raises(ValueError, match="image_size=10 with padding=0 leaves no map for C5; expected 16 or more"):
        lenet5(image_size=10, padding=0)


def test_initialization_keeps_pytorchs_distribution_and_the_global_stream() -> None:
    net = lenet5()
    before = torch.random.get_rng_state()
    initialize(net, 0)
    assert torch.equal(torch.random.get_rng_state(), before)
    weight = dict(net.named_parameters())["f6.weight"]
    bound = 120**-0.5  # Kaiming-uniform with a=√5 over 120 inputs
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


def test_summary_spells_out_each_count() -> None:
    net, size = network("regularizer=batchnorm")
    layers = {layer.name: layer for layer in summarize(net, size)}
    assert layers["c1"].arithmetic == "5·5·1·6 + 6"
    assert layers["c5"].arithmetic == "5·5·16·120 + 120"
    assert layers["f6"].arithmetic == "120·84 + 84"
    assert layers["c3_before.0"].arithmetic == "2·16"
    for layer in layers.values():
        spelled = layer.arithmetic.replace("·", "*") or "0"
        assert eval(spelled) == layer.parameters
    assert sum(layer.parameters for layer in layers.values()) == 62_158
    assert net.training
