"""The residual network: with batch norm it is the published one, without it is the same network."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

from regbench.config import compose
from regbench.models import ResNet, initialize
from regbench.regularizers.batchnorm import BatchNorm
from regbench.regularizers.dropout import Dropout
from regbench.regularizers.layernorm import LayerNorm
from regbench.runs.parts import build

PUBLISHED = 269_722  # weights, γ, β and the last layer of ResNet-20 in colour, of which the paper says 0.27 M


def resnet(regularizer: Any = None, **changes: Any) -> ResNet:
    arguments: dict[str, Any] = {
        "image_size": 32, "blocks": 3, "width": 16, "activation": "relu", "num_classes": 10, "mean": [0.4, 0.5, 0.6],
        "std": [0.1, 0.2, 0.3], "channels": 3,
    }  # fmt: skip
    net = ResNet(**{**arguments, **changes}, regularizer=regularizer)
    initialize(net, 0)
    return net


class OptionA(nn.Module):
    """The paper's shortcut without parameters, written anew."""

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([F.avg_pool2d(maps, 1, 2), torch.zeros_like(maps[:, :, ::2, ::2])], 1)


def reference(net: ResNet) -> nn.Sequential:
    """Return the network of torchvision's own blocks, with the weights of `net`."""
    blocks, inputs = [], 16
    for features in (16, 32, 64):
        for number in range(3):
            shrinks = features > inputs and number == 0
            blocks.append(BasicBlock(inputs, features, 2 if shrinks else 1, OptionA() if shrinks else None))
            inputs = features
    first = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    whole = nn.Sequential(*first, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    ours = [module for module in net.modules() if isinstance(module, (nn.Conv2d, nn.BatchNorm2d, nn.Linear))]
    theirs = [module for module in whole.modules() if isinstance(module, (nn.Conv2d, nn.BatchNorm2d, nn.Linear))]
    # Torchvision's blocks register both convolutions in turn with their norms, as ours do.
    for mine, other in zip(ours, theirs, strict=True):
        other.load_state_dict(mine.state_dict(), strict=not isinstance(mine, nn.Conv2d))
    return whole


def test_with_batch_norm_it_is_the_published_network() -> None:
    net = resnet(BatchNorm())
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) + 1 == 20
    biases = sum(module.bias.numel() for module in convolutions if module.bias is not None)
    assert sum(parameter.numel() for parameter in net.parameters()) == PUBLISHED + biases == 270_410
    for module in convolutions:
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # there is one
    images = torch.rand(8, 3, 32, 32)
    normalized = (images - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)) / torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    theirs = reference(net)
    torch.testing.assert_close(net(images), theirs(normalized), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(net.eval()(images), theirs.eval()(normalized), atol=1e-4, rtol=1e-4)


def test_none_is_the_same_network_without_a_norm_from_the_same_weights() -> None:
    plain, normed = resnet(), resnet(BatchNorm())
    norms = (nn.BatchNorm2d, nn.BatchNorm1d, nn.GroupNorm)
    assert not [module for module in plain.modules() if isinstance(module, norms)]
    assert sum(isinstance(module, nn.BatchNorm2d) for module in normed.modules()) == 19
    weights = plain.state_dict()
    assert weights.keys() < normed.state_dict().keys()
    assert all(torch.equal(normed.state_dict()[name], value) for name, value in weights.items())


@pytest.mark.parametrize(
    ("technique", "kind", "count", "last"),
    [
        (BatchNorm(), nn.BatchNorm2d, 19, False),
        (LayerNorm(), nn.GroupNorm, 19, False),
        (Dropout(0.5), nn.Dropout, 1, True),
        (Dropout(0.5, "all"), nn.Dropout, 20, True),
    ],
)
def test_techniques_act_around_every_activation_and_on_the_mean_over_positions(
    technique: Any, kind: type, count: int, last: bool
) -> None:
    net = resnet(technique)
    assert sum(isinstance(module, kind) for module in net.modules()) == count
    children = dict(net.named_children())
    assert ("flatten_after" in children) is last
    assert list(children)[-1] == "output"


@pytest.mark.parametrize("side", [4, 7, 28, 33])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_it_takes_images_of_any_side_and_every_weight_gets_a_gradient(side: int, activation: str) -> None:
    net = resnet(image_size=side, activation=activation, blocks=1, width=5)
    net(torch.rand(2, 3, side, side)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in net.parameters())


def test_a_block_whose_branch_is_silent_passes_its_input_on() -> None:
    net = resnet()
    block = net.stage1_block2
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    maps = torch.rand(2, 16, 8, 8)
    assert torch.equal(block(maps), maps)


def test_weights_and_kernels_alone_decay() -> None:
    parts = build(compose(["model=resnet20", "regularizer=[batchnorm,weight_decay]"]))
    decayed = {
        name for name, each in parts.classifier.net.named_parameters() if parts.classifier.regularizer.decay(name, each)
    }
    assert len(decayed) == 20
    assert all(name.endswith("weight") and "_before" not in name for name in decayed)
