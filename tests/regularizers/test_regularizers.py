from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regbench.models import MLP, LeNet5
from regbench.regularizers import Combined, Regularizer
from regbench.regularizers.batchnorm import BatchNorm
from regbench.regularizers.dropout import Dropout
from regbench.regularizers.weight_decay import WeightDecay
from regbench.runs.parts import Parts, build
from regbench.training.classifier import parameter_groups

Composed = Callable[..., dict[str, Any]]


def lenet5(regularizer: Regularizer) -> LeNet5:
    return LeNet5(28, 2, "tanh", "average", 10, 0.0, 1.0, regularizer)


def kinds(net: nn.Module, kind: type[nn.Module]) -> list[str]:
    return [name for name, module in net.named_modules() if isinstance(module, kind)]


def test_the_null_object_changes_nothing() -> None:
    nothing, parameter = Regularizer(), nn.Parameter(torch.ones(2, 2))
    images, targets = torch.rand(2, 1, 4, 4), torch.eye(2)
    assert nothing.before_activation(6, 2) == []
    assert nothing.after_activation(6, 2) == []
    assert nothing.decay("weight", parameter) == 0
    assert nothing.on_batch(images, targets) == (images, targets)
    assert nothing.penalty(nn.Linear(1, 1)) == 0
    assert nothing.penalty_on_logits(torch.ones(2, 2), targets) == 0
    net, same = nn.Linear(1, 1), nn.Linear(1, 1)
    same.load_state_dict(net.state_dict())
    nothing.prepare(net)
    nothing.on_gradients(net, lambda: pytest.fail("computed anew"))
    nothing.after_step(net)
    assert all(map(torch.equal, net.state_dict().values(), same.state_dict().values()))


class Recording(Regularizer):
    """A test technique that acts through the hooks that return something, in a way that shows the order."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def before_activation(self, features: int, dims: int) -> list[nn.Module]:
        return [nn.Threshold(-self.factor, 0.0)]

    def after_activation(self, features: int, dims: int) -> list[nn.Module]:
        return [nn.Hardtanh(-self.factor, self.factor)]

    def decay(self, name: str, parameter: nn.Parameter) -> float:
        return self.factor

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return images * self.factor + 1, targets

    def penalty(self, net: nn.Module) -> Tensor:
        return torch.tensor(self.factor)

    def penalty_on_logits(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.factor * logits.sum()


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_several_techniques_act_in_alphabetical_order_whatever_the_order_given(order: tuple[str, str]) -> None:
    factors = {"a": 2.0, "b": 3.0}
    both = Combined({key: Recording(factors[key]) for key in order})
    images, targets = torch.full((1, 1, 1, 1), 5.0), torch.ones(1, 1)
    assert both.on_batch(images, targets)[0].item() == (5 * 2 + 1) * 3 + 1
    assert [layer.threshold for layer in both.before_activation(1, 0)] == [-2.0, -3.0]
    assert [layer.max_val for layer in both.after_activation(1, 0)] == [2.0, 3.0]
    assert both.decay("weight", nn.Parameter(torch.ones(1))) == 5
    assert float(both.penalty(nn.Linear(1, 1))) == 5
    assert float(both.penalty_on_logits(torch.ones(1, 2), targets)) == 10


class Slots(Regularizer):
    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int]] = []

    def before_activation(self, features: int, dims: int) -> list[nn.Module]:
        self.seen.append(("before", features, dims))
        return [nn.Identity()]

    def after_activation(self, features: int, dims: int) -> list[nn.Module]:
        self.seen.append(("after", features, dims))
        return [nn.Identity()]


def test_lenet5_offers_each_hidden_layer_and_c5_counts_as_dense() -> None:
    slots = Slots()
    net = lenet5(slots)
    expected = [(6, 2), (16, 2), (120, 0), (84, 0)]
    assert slots.seen == [(side, *slot) for slot in expected for side in ("before", "after")]
    names = [name for name, _ in net.named_children()]
    assert names[1:5] == ["c1", "c1_before", "c1_activation", "c1_after"]


def test_mlp_offers_each_hidden_layer() -> None:
    slots = Slots()
    MLP(28, [20, 30], "relu", 10, 0.0, 1.0, slots)
    assert slots.seen == [(side, width, 0) for width in (20, 30) for side in ("before", "after")]


def one_step(experiment: Parts, images: Tensor, labels: Tensor) -> Tensor:
    classifier = experiment.classifier
    classifier.on_train_epoch_start()
    return classifier.batch_loss((images, labels))


class Everything(Recording):
    """Scales the images, and adds half the squared sum of the output biases to the loss."""

    def penalty(self, net: nn.Module) -> Tensor:
        return 0.5 * dict(net.named_parameters())["output.bias"].square().sum()


def test_batch_and_penalty_hooks_reach_the_training_loss(composed: Composed) -> None:
    config = composed("model=mlp_small")
    config["regularizer"] = {"everything": {"_target_": f"{__name__}.Everything", "factor": 0.5}}
    experiment = build(config)
    images, labels = torch.rand(4, 1, 28, 28), torch.tensor([1, 2, 3, 4])
    loss = one_step(experiment, images, labels)
    net = experiment.classifier.net
    bias = dict(net.named_parameters())["output.bias"]
    logits = net(images * 0.5 + 1)
    expected = F.cross_entropy(logits, labels) + 0.5 * bias.square().sum() + 0.5 * logits.sum()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert bias.grad is not None
    probabilities = net(images * 0.5 + 1).softmax(1)
    # The sum of 4 images' logits, times one half, has the gradient 2 in each class.
    by_hand = (probabilities - F.one_hot(labels, 10)).mean(0) + bias + 2
    torch.testing.assert_close(bias.grad, by_hand)


def test_dropout_follows_hidden_dense_layers_by_default_and_all_by_option() -> None:
    assert kinds(lenet5(Dropout(0.5, "dense")), nn.Dropout) == ["c5_after.0", "f6_after.0"]
    assert kinds(lenet5(Dropout(0.5, "f6")), nn.Dropout) == ["f6_after.0"]
    names = ["c1_after.0", "c3_after.0", "c5_after.0", "f6_after.0"]
    assert kinds(lenet5(Dropout(0.5, "all")), nn.Dropout) == names


def test_dropout_keeps_the_expectation_in_training_and_is_the_identity_in_evaluation() -> None:
    (layer,) = Dropout(0.3, "dense").after_activation(1, 0)
    torch.manual_seed(0)
    ones = torch.ones(100_000)
    dropped = layer(ones)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.7])
    layer.eval()
    assert torch.equal(layer(ones), ones)


def test_weight_decay_acts_on_weights_alone_by_default_and_on_everything_by_option() -> None:
    net = lenet5(BatchNorm(0.1, 1e-5, "all"))
    for parameters, undecayed in (("weights", {"bias"}), ("all", set())):
        technique = WeightDecay(0.1, parameters)  # type: ignore[arg-type]  # a plain str in the loop
        for name, parameter in net.named_parameters():
            acts = parameters == "all" or (parameter.ndim >= 2)
            assert technique.decay(name, parameter) == (0.1 if acts else 0.0)
        spared = {name for name, each in net.named_parameters() if technique.decay(name, each) == 0}
        assert all(any(part in name for part in (*undecayed, "_before")) for name in spared)


@pytest.mark.parametrize("parameters", ["weights", "all"])
def test_weight_decay_equals_a_manual_sgd_step(parameters: Any) -> None:
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    optimizer = torch.optim.SGD(parameter_groups(net, WeightDecay(0.1, parameters)), lr=0.5)
    inputs = torch.randn(4, 3)
    net(inputs).square().sum().backward()
    gradients = {name: value.grad.clone() for name, value in net.named_parameters() if value.grad is not None}
    optimizer.step()
    for name, value in net.named_parameters():
        decay = 0.1 if parameters == "all" or name == "weight" else 0.0
        torch.testing.assert_close(value.detach(), before[name] - 0.5 * (gradients[name] + decay * before[name]))


def test_weight_decay_is_decoupled_under_adamw_and_part_of_the_gradient_under_adam() -> None:
    """With a zero gradient AdamW shrinks by η λ w, while Adam turns λ w into a step of about η."""
    stepped = {}
    for kind in (torch.optim.Adam, torch.optim.AdamW):
        parameter = nn.Parameter(torch.tensor([[2.0]]))
        optimizer = kind([{"params": [parameter], "weight_decay": 0.1}], lr=0.01)
        parameter.grad = torch.zeros(1, 1)
        optimizer.step()
        stepped[kind.__name__] = parameter.item()
    assert stepped["AdamW"] == pytest.approx(2 - 0.01 * 0.1 * 2)
    assert stepped["Adam"] == pytest.approx(2 - 0.01, abs=1e-6)


@pytest.mark.parametrize(("dims", "shape"), [(0, (8, 3)), (2, (8, 3, 4, 4))])
def test_batch_norm_normalizes_each_feature_over_the_batch(dims: int, shape: tuple[int, ...]) -> None:
    (layer,) = BatchNorm(0.1, 1e-5, "all").before_activation(3, dims)
    torch.manual_seed(0)
    inputs = torch.randn(shape) * 3 + 2
    over = [axis for axis in range(len(shape)) if axis != 1]
    mean, variance = inputs.mean(over, keepdim=True), inputs.var(over, correction=0, keepdim=True)
    torch.testing.assert_close(layer(inputs), (inputs - mean) / (variance + 1e-5).sqrt())
    # The running averages after one batch, from 0 and 1, with momentum 0.1.
    torch.testing.assert_close(layer.running_mean, 0.1 * mean.flatten())
    layer.eval()
    running = layer.running_mean.view(mean.shape), layer.running_var.view(mean.shape)
    torch.testing.assert_close(layer(inputs), (inputs - running[0]) / (running[1] + 1e-5).sqrt())


def test_batch_norm_of_maps_alone_leaves_dense_layers_out() -> None:
    everywhere, maps = (
        kinds(lenet5(BatchNorm(0.1, 1e-5, layers)), nn.modules.batchnorm._BatchNorm) for layers in ("all", "maps")
    )
    assert everywhere == ["c1_before.0", "c3_before.0", "c5_before.0", "f6_before.0"]
    assert maps == ["c1_before.0", "c3_before.0"]


def test_groups_share_a_decay_and_hold_every_parameter_once() -> None:
    net = lenet5(Regularizer())
    both = Combined({"l": WeightDecay(0.1, "weights"), "m": WeightDecay(0.2, "all")})
    groups = parameter_groups(net, both)
    assert sorted(group["weight_decay"] for group in groups) == pytest.approx([0.2, 0.3])
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))


def test_frozen_parameters_are_left_out_of_the_groups() -> None:
    net = nn.Linear(2, 2)
    net.bias.requires_grad_(False)
    assert [len(group["params"]) for group in parameter_groups(net, Regularizer())] == [1]
