"""Techniques on weights, gradients, maps and answers, each against an independent value."""

import math
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

from regbench.models import LeNet5
from regbench.regularizers import Combined, Regularizer
from regbench.regularizers.confidence_penalty import ConfidencePenalty
from regbench.regularizers.dropconnect import DropConnect, DropWeights
from regbench.regularizers.elastic_net import ElasticNet
from regbench.regularizers.gradient_clipping import GradientClipping
from regbench.regularizers.l1 import L1
from regbench.regularizers.max_norm import MaxNorm
from regbench.regularizers.orthogonality import Orthogonality
from regbench.regularizers.sam import SAM
from regbench.regularizers.spatial_dropout import SpatialDropout
from regbench.regularizers.weight_decay import WeightDecay
from regbench.training.classifier import parameter_groups


def lenet5(regularizer: Regularizer | None = None) -> LeNet5:
    return LeNet5(28, 2, "tanh", "average", 10, 0.0, 1.0, regularizer)


def linear(*rows: list[float]) -> nn.Linear:
    """A layer with these weights and biases of 100, which nothing is to touch."""
    layer = nn.Linear(len(rows[0]), len(rows))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows))
        layer.bias.fill_(100)
    return layer


def value_of(penalty: Tensor | float) -> float:
    return penalty.item() if isinstance(penalty, Tensor) else penalty


@pytest.mark.parametrize(
    "technique",
    [DropConnect(0.0, "all"), SpatialDropout(0), ElasticNet(0), Orthogonality(0), ConfidencePenalty(0), SAM(0)],
    ids=lambda each: type(each).__name__,
)
def test_strength_zero_is_none(technique: Regularizer) -> None:
    net, logits = lenet5(technique), torch.randn(3, 10)
    technique.prepare(net)
    technique.on_gradients(net, lambda: pytest.fail("computed anew"))
    assert [type(each) for each in net.modules()] == [type(each) for each in lenet5().modules()]
    assert (technique.penalty(net), technique.penalty_on_logits(logits, logits)) == (0, 0)


def parametrized(net: nn.Module) -> list[str]:
    return [name for name, module in net.named_children() if hasattr(module, "parametrizations")]


def test_dropconnect_acts_on_dense_layers_by_default_and_on_all_by_option() -> None:
    for layers, expected in (("dense", ["c5", "f6", "output"]), ("all", ["c1", "c3", "c5", "f6", "output"])):
        net = lenet5()
        DropConnect(0.5, layers).prepare(net)  # type: ignore[arg-type]  # a plain str in the loop
        assert parametrized(net) == expected


def test_dropconnect_drops_weights_and_keeps_their_expectation_and_the_biases() -> None:
    net = nn.Sequential(linear([1.0] * 50_000, [2.0] * 50_000))
    DropConnect(0.3).prepare(net)
    torch.manual_seed(0)
    weight = net[0].weight
    assert weight[0].unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert weight.mean(1).tolist() == pytest.approx([1, 2], abs=0.02)
    assert (weight == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    inputs = torch.zeros(3, 50_000)
    inputs[:, 0] = 1
    first, second = (torch.stack([net(inputs)[:, 0] for _ in range(20)]) for _ in range(2))
    # A batch shares its mask, and each batch has another.
    assert torch.equal(first, first[:, :1].expand_as(first))
    assert (first - 100).unique().tolist() == pytest.approx([0, 1 / 0.7], rel=1e-4)
    assert not torch.equal(first, second)


def test_dropconnect_is_the_plain_network_in_evaluation_and_its_gradient_is_masked_in_training() -> None:
    plain, net = lenet5(), lenet5()
    net.load_state_dict(plain.state_dict())
    DropConnect(0.4, "all").prepare(net)
    images = torch.rand(4, 1, 28, 28)
    assert torch.equal(net.eval()(images), plain.eval()(images))
    layer = DropWeights(0.4)
    weight = torch.ones(1000, requires_grad=True)
    dropped = layer(weight)
    dropped.sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, dropped.detach())


def test_max_norm_shortens_the_rows_that_are_too_long_and_those_alone() -> None:
    net = nn.Sequential(linear([3.0, 4.0], [0.6, 0.8]), nn.Conv2d(1, 2, 2))
    kernel = torch.tensor([[[[2.0, 2.0], [2.0, 2.0]]], [[[0.5, 0.5], [0.5, 0.5]]]])
    with torch.no_grad():
        net[1].weight.copy_(kernel)
        MaxNorm(2.0).after_step(net)
    torch.testing.assert_close(net[0].weight.detach(), torch.tensor([[1.2, 1.6], [0.6, 0.8]]))
    torch.testing.assert_close(net[1].weight.detach(), torch.stack([kernel[0] / 2, kernel[1]]))
    assert net[0].bias.tolist() == [100, 100]


@pytest.mark.parametrize("bound", [0.3, 1.7, 3.0])
def test_max_norm_is_pytorchs_own_to_the_last_bit(bound: float) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(400, 120), nn.Conv2d(6, 16, 5))
    with torch.no_grad():
        for layer, scale in zip(net, (0.15, 0.3), strict=True):
            layer.weight.normal_(0, scale)
        expected = [layer.weight.renorm(2, 0, bound) for layer in net]
        before = [layer.weight.clone() for layer in net]
        MaxNorm(bound).after_step(net)
    for layer, theirs, old in zip(net, expected, before, strict=True):
        assert torch.equal(layer.weight, theirs)
        assert not torch.equal(layer.weight, old)


def test_orthogonality_is_zero_for_orthogonal_weights_and_else_what_singular_values_say() -> None:
    torch.manual_seed(0)
    for shape in ((3, 5), (5, 3), (4, 4)):
        layer = nn.Linear(shape[1], shape[0])
        nn.init.orthogonal_(layer.weight)
        assert value_of(Orthogonality(2.0).penalty(layer)) == pytest.approx(0, abs=1e-10)
        nn.init.normal_(layer.weight)
        singular = torch.linalg.svdvals(layer.weight.detach().double())
        expected = 2.0 * (singular.square() - 1).square().sum().item()
        assert value_of(Orthogonality(2.0).penalty(layer)) == pytest.approx(expected, rel=1e-5)


def test_orthogonality_adds_up_over_layers_and_takes_a_kernel_as_a_row() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 2), linear([2.0, 0.0]))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]], [[[1.0, 1.0], [0.0, 0.0]]]]))
    # Gram of the kernels [[1, 1], [1, 2]]: off by 1 twice beside the diagonal and once on it. Of the row: 4 − 1.
    assert value_of(Orthogonality(0.5).penalty(net)) == pytest.approx(0.5 * (3 + 9))


def test_orthogonalitys_gradient_is_four_w_times_the_difference() -> None:
    torch.manual_seed(0)
    for shape in ((3, 5), (5, 3)):
        layer = nn.Linear(shape[1], shape[0])
        penalty = Orthogonality(0.5).penalty(layer)
        assert isinstance(penalty, Tensor)
        penalty.backward()
        weight = layer.weight.detach()
        torch.testing.assert_close(layer.weight.grad, 0.5 * 4 * (weight @ weight.T @ weight - weight))


def test_spatial_dropout_drops_whole_maps_of_single_images_after_convolutions_alone() -> None:
    names = [name for name, each in lenet5(SpatialDropout(0.3)).named_modules() if isinstance(each, nn.Dropout2d)]
    assert names == ["c1_after.0", "c3_after.0"]
    (layer,) = SpatialDropout(0.3).after_activation(6, 2)
    torch.manual_seed(0)
    maps = torch.rand(200, 50, 3, 3) + 1
    ratio = (layer(maps) / maps).flatten(2)
    torch.testing.assert_close(ratio, ratio[:, :, :1].expand_as(ratio))
    assert ratio.unique().tolist() == pytest.approx([0, *[1 / 0.7] * (len(ratio.unique()) - 1)], abs=1e-5)
    assert ratio.mean().item() == pytest.approx(1, abs=0.03)
    layer.eval()
    assert torch.equal(layer(maps), maps)


@pytest.mark.parametrize("ratio", [0.0, 0.25, 1.0])
def test_the_elastic_net_is_l1_and_weight_decay_under_sgd_and_a_hand_computed_sum(ratio: float) -> None:
    stepped = []
    together = Combined({"l1": L1(0.2 * ratio), "weight_decay": WeightDecay(0.2 * (1 - ratio))})
    for technique in (ElasticNet(0.2, ratio), together):
        layer = linear([3.0, -2.0])
        optimizer = torch.optim.SGD(parameter_groups(layer, technique), lr=0.1)
        loss = layer(torch.ones(1, 2)).sum() + technique.penalty(layer)
        loss.backward()
        optimizer.step()
        stepped.append(layer.weight.detach())
    torch.testing.assert_close(*stepped)
    expected = 0.2 * (ratio * 5 + (1 - ratio) / 2 * 13)
    assert value_of(ElasticNet(0.2, ratio).penalty(linear([3.0, -2.0]))) == pytest.approx(expected)


def test_gradient_clipping_shortens_all_gradients_by_one_factor() -> None:
    net = nn.Sequential(linear([0.0]), linear([0.0]))
    gradients: Any = [torch.tensor([[2.0]]), torch.tensor([1.0]), torch.tensor([[4.0]]), torch.tensor([2.0])]
    for bound, factor in ((2.5, 0.5), (6.0, 1.0)):
        for parameter, gradient in zip(net.parameters(), gradients, strict=True):
            parameter.grad = gradient.clone()
        GradientClipping(bound).on_gradients(net, lambda: pytest.fail("computed anew"))
        found = [parameter.grad.item() for parameter in net.parameters() if parameter.grad is not None]
        assert found == pytest.approx([factor * each.item() for each in gradients], rel=1e-5)  # their length is 5


def test_sam_leaves_weights_where_they_are_when_the_gradient_is_zero() -> None:
    layer = linear([3.0, 4.0])
    for each in layer.parameters():
        each.grad = torch.zeros_like(each)
    with torch.no_grad():
        SAM(0.5).on_gradients(layer, lambda: None)
    assert layer.weight.flatten().tolist() == [3.0, 4.0]


def test_the_confidence_penalty_is_the_mean_entropy_of_the_answers_below_zero() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(6, 10) * 3, torch.eye(10)[:6]
    expected = -0.3 * stats.entropy(logits.double().softmax(1).numpy(), axis=1).mean()
    assert value_of(ConfidencePenalty(0.3).penalty_on_logits(logits, targets)) == pytest.approx(expected, rel=1e-5)
    assert value_of(ConfidencePenalty(1.0).penalty_on_logits(torch.zeros(2, 10), targets)) == pytest.approx(
        -math.log(10)
    )
    sure = torch.tensor([[500.0, 0.0, -500.0]])
    assert value_of(ConfidencePenalty(1.0).penalty_on_logits(sure, targets)) == pytest.approx(0, abs=1e-6)


def test_the_confidence_penalty_is_the_divergence_from_uniform_up_to_a_constant() -> None:
    """Pereyra et al. (2017): label smoothing adds KL(u ‖ p), the confidence penalty KL(p ‖ u)."""
    torch.manual_seed(0)
    logits = torch.randn(6, 10)
    uniform = torch.full((6, 10), 0.1).log()
    divergence = F.kl_div(uniform, logits.softmax(1), reduction="batchmean").item()
    found = value_of(ConfidencePenalty(1.0).penalty_on_logits(logits, logits))
    assert found == pytest.approx(divergence - math.log(10), rel=1e-5)
