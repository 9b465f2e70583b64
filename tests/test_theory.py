"""Every formula of `docs/theory.md`, and every number in its tables."""

import functools
import itertools
import math
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regbench.config import compose
from regbench.models import WholeMapConv2d
from regbench.regularizers.batchnorm import BatchNorm
from regbench.regularizers.dropout import Dropout
from regbench.regularizers.weight_decay import WeightDecay
from regbench.runs.parts import build
from regbench.runs.summary import summarize
from regbench.training.classifier import parameter_groups
from tests.conftest import ROOT

THEORY = (ROOT / "docs/theory.md").read_text(encoding="utf-8")
MODELS = ("lenet5", "lenet5_relu", "lenet5_compact", "mlp", "mlp_small")
KINDS = {
    "Conv2d": "convolution",
    "WholeMapConv2d": "convolution over all",
    "AvgPool2d": "average pooling",
    "MaxPool2d": "max pooling",
    "Flatten": "flatten",
    "Linear": "dense",
}


@pytest.fixture(autouse=True)
def _fixed_noise() -> None:
    torch.manual_seed(0)


def table(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, or below the paragraph that begins with it."""
    (block,) = re.findall(rf"^{re.escape(heading)}.*?\n\n(\|.*?)\n\n", THEORY, re.DOTALL | re.MULTILINE)
    header, rule, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
    assert all(len(row) == len(header) == len(rule) for row in rows)
    return rows


@functools.cache
def network(model: str, regularizer: str = "none") -> tuple[nn.Module, int]:
    experiment = build(compose(["dataset=digits", f"model={model}", f"regularizer={regularizer}", "compile=false"]))
    return experiment.classifier.net, experiment.data.image_size


def doubles(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_the_document_names_exactly_these_tests() -> None:
    named = re.findall(r"`(test_\w+)`", THEORY)
    own = {name for name, value in globals().items() if name.startswith("test_") and callable(value)}
    about_the_document = {name for name in own if name.startswith("test_the_document_")}
    assert set(named) == own - about_the_document
    assert len(named) >= 25


def test_the_document_holds_formulas_that_survive_markdown() -> None:
    """Hosts read Markdown before formulas: a backslash before punctuation goes, an underscore after it may slant."""
    text = re.sub(r"`[^`]*`", "", THEORY)
    displayed = re.findall(r"\$\$(.*?)\$\$", text, re.DOTALL)
    rest = re.sub(r"\$\$.*?\$\$", "", text, flags=re.DOTALL)
    assert all(line.count("$") % 2 == 0 for line in rest.splitlines())
    inline = [formula for line in rest.splitlines() for formula in re.findall(r"\$([^$]+)\$", line)]
    assert len(displayed) >= 30
    assert len(inline) >= 100
    for formula in displayed + inline:
        assert "\n" not in formula
        assert not re.search(r"\\[^A-Za-z]|(?<![A-Za-z0-9])_|[*<>|~]|\]\(", formula), formula
        assert formula.count("{") == formula.count("}")
    assert all(formula == formula.strip() for formula in displayed + inline)
    # A dollar beside a letter or digit opens and closes nothing.
    assert not re.search(r"\w\$|\$\w", re.sub(r"\$[^$\n]+\$", "$$", rest))


def test_the_document_links_to_its_own_parts() -> None:
    headings = re.findall(r"^## (.*)$", THEORY, re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert re.findall(r"\]\(#(.*?)\)", THEORY) == anchors


def test_the_document_names_the_sources_of_the_method_cards() -> None:
    for technique in (BatchNorm, Dropout, WeightDecay):
        cited = re.findall(r"arXiv:(\d{4}\.\d{5}|\d{4}\.\d{4})", technique.__doc__ or "")
        assert cited
        assert all(f"https://arxiv.org/abs/{each}" in THEORY for each in cited)
    for label, target in re.findall(r"\[arXiv:([\d.]+)\]\(https://arxiv\.org/abs/([\d.]+)\)", THEORY):
        assert label == target


# 1. Shapes and parameter counts


def expected(layer: nn.Module, shape: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """Return a layer's output shape and parameter count by the document's formulas."""
    if isinstance(layer, nn.Linear):
        n, m = layer.in_features, layer.out_features
        return (m,), n * m + m
    if isinstance(layer, nn.Conv2d):
        (channels, side, _), features = shape, layer.out_channels
        (k, _), (p, _), (s, _) = layer.kernel_size, layer.padding, layer.stride
        after = (side + 2 * p - k) // s + 1
        count = k**2 * channels * features + features
        return ((features,) if isinstance(layer, WholeMapConv2d) else (features, after, after)), count
    if isinstance(layer, (nn.AvgPool2d, nn.MaxPool2d)):
        channels, side, _ = shape
        k = layer.kernel_size
        assert (side - k) // k + 1 == side // k
        return (channels, side // k, side // k), 0
    if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
        return shape, 2 * shape[0]
    return ((math.prod(shape),) if isinstance(layer, nn.Flatten) else shape), 0


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("setting", ["none", "batchnorm"])
def test_layers_have_the_shapes_and_counts_of_the_formulas(model: str, setting: str) -> None:
    net, side = network(model, setting)
    modules = dict(net.named_modules())
    shape: tuple[int, ...] = (1, side, side)
    for layer in summarize(net, side):
        shape, count = expected(modules[layer.name], shape)
        assert (layer.shape, layer.parameters) == (shape, count), layer.name
    assert shape == (10,)


def test_a_kernel_over_its_whole_input_is_a_dense_layer() -> None:
    convolution, dense = nn.Conv2d(16, 120, 5), nn.Linear(5**2 * 16, 120)
    assert sum(each.numel() for each in convolution.parameters()) == sum(each.numel() for each in dense.parameters())
    dense.load_state_dict({"weight": convolution.weight.detach().flatten(1), "bias": convolution.bias.detach()})
    maps = torch.randn(3, 16, 5, 5)
    assert convolution(maps).shape == (3, 120, 1, 1)
    torch.testing.assert_close(convolution(maps).flatten(1), dense(maps.flatten(1)))


@pytest.mark.parametrize(("side", "k", "p", "s"), [(28, 5, 2, 1), (28, 5, 0, 1), (9, 4, 1, 2), (11, 3, 0, 3)])
def test_strides_and_remainders_are_as_written(side: int, k: int, p: int, s: int) -> None:
    layer = nn.Conv2d(2, 3, k, padding=p, stride=s)
    image = torch.zeros(1, 2, side, side)
    count = sum(each.numel() for each in layer.parameters())
    assert (tuple(layer(image).shape[1:]), count) == expected(layer, (2, side, side))
    for pooling in (nn.AvgPool2d(k), nn.MaxPool2d(k)):
        assert tuple(pooling(image).shape[1:]) == expected(pooling, (2, side, side))[0]


# 2. The five models


@pytest.mark.parametrize("model", MODELS)
def test_the_models_tables_are_those_of_the_models(model: str) -> None:
    net, side = network(model)
    layers = [layer for layer in summarize(net, side) if layer.kind in KINDS]
    total = sum(each.numel() for each in net.parameters())
    assert table(f"### `{model}`") == [
        *(
            [each.name, KINDS[each.kind], "×".join(map(str, each.shape)), each.arithmetic, f"{each.parameters:,}"]
            for each in layers
        ),
        ["total", "", "", "", f"{total:,}"],
    ]


def test_the_counts_with_batch_norm_are_those_of_the_models() -> None:
    rows = []
    for model in MODELS:
        without, with_norm = (
            sum(each.numel() for each in network(model, setting)[0].parameters()) for setting in ("none", "batchnorm")
        )
        features = sum(
            each.num_features
            for each in network(model, "batchnorm")[0].modules()
            if isinstance(each, (nn.BatchNorm1d, nn.BatchNorm2d))
        )
        rows.append([f"`{model}`", *(f"{each:,}" for each in (without, features, 2 * features, with_norm))])
        assert with_norm == without + 2 * features
    assert table("### With batch norm") == rows


# 3. The gradients of batch norm

EPS = 1e-3


def forward(x: Tensor, eps: float = EPS) -> tuple[Tensor, Tensor, Tensor]:
    """Return the normalized values, the variance and s, over the first axis."""
    mu = x.sum(0) / len(x)
    v = ((x - mu) ** 2).sum(0) / len(x)
    s = (v + eps).sqrt()
    return (x - mu) / s, v, s


def backward(x: Tensor, gamma: Tensor, g: Tensor, eps: float = EPS) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the input, γ and β in closed form."""
    count = len(x)
    x_hat, _, s = forward(x, eps)
    of_gamma, of_beta = (g * x_hat).sum(0), g.sum(0)
    return gamma / (count * s) * (count * g - of_beta - x_hat * of_gamma), of_gamma, of_beta


def test_the_batch_norm_gradients_are_autograds() -> None:
    x, gamma, beta, g = doubles(7, 3), doubles(3), doubles(3), doubles(7, 3).detach()
    y = F.batch_norm(x, None, None, gamma, beta, training=True, eps=EPS)
    x_hat, v, s = forward(x)
    torch.testing.assert_close(y, gamma * x_hat + beta)
    found = torch.autograd.grad(y, (x, gamma, beta), g)
    closed = backward(x.detach(), gamma.detach(), g)
    for mine, autograds in zip(closed, found, strict=True):
        torch.testing.assert_close(mine, autograds)

    # The steps of the derivation, with the variance and the mean as variables of their own.
    with torch.no_grad():
        of_v = -gamma / (2 * s**2) * (g * x_hat).sum(0)
        of_mu = -gamma / s * g.sum(0)
        mean = x.mean(0)
        paths = gamma * g / s + of_v * 2 * (x - mean) / len(x) + of_mu / len(x)
    torch.testing.assert_close(paths, found[0])
    free_v, free_mu = v.detach().requires_grad_(), mean.clone().requires_grad_()
    free_hat = (x.detach() - free_mu) * (free_v + EPS) ** -0.5
    of_hat, *rest = torch.autograd.grad(gamma.detach() * free_hat, (free_hat, free_v, free_mu), g)
    torch.testing.assert_close(of_hat, gamma.detach() * g)
    torch.testing.assert_close(rest, [of_v, of_mu])


def test_the_batch_norm_jacobian_is_autograds() -> None:
    x = doubles(6).detach()
    found = torch.autograd.functional.jacobian(lambda each: forward(each)[0], x)
    x_hat, _, s = forward(x)
    by_formula = (torch.eye(6, dtype=torch.float64) - 1 / 6 - torch.outer(x_hat, x_hat) / 6) / s
    torch.testing.assert_close(by_formula, found)


def test_the_batch_norm_gradients_hold_in_a_map() -> None:
    x, gamma, beta, g = doubles(4, 3, 5, 5), doubles(3), doubles(3), doubles(4, 3, 5, 5).detach()
    y = F.batch_norm(x, None, None, gamma, beta, training=True, eps=EPS)
    found = torch.autograd.grad(y, (x, gamma, beta), g)
    values, above = (each.detach().transpose(0, 1).flatten(1).T for each in (x, g))
    of_x, of_gamma, of_beta = backward(values, gamma.detach(), above)
    torch.testing.assert_close(of_x.T.unflatten(1, (4, 5, 5)).transpose(0, 1), found[0])
    torch.testing.assert_close((of_gamma, of_beta), found[1:])


def test_the_example_by_hand_is_autograds() -> None:
    rows = {name: torch.tensor([float(cell) for cell in cells]).double() for name, *cells in table("### By hand")}
    x = rows["input"].unsqueeze(1).requires_grad_()
    gamma, beta = torch.full((1,), 2.0).double().requires_grad_(), torch.ones(1).double().requires_grad_()
    y = F.batch_norm(x, None, None, gamma, beta, training=True, eps=1.5)
    of_x, of_gamma, of_beta = torch.autograd.grad(y, (x, gamma, beta), rows["gradient above"].unsqueeze(1))
    x_hat, v, s = forward(x.detach(), eps=1.5)
    assert (x.mean().item(), v.item(), s.item()) == (3, 2.5, 2)
    assert (of_gamma.item(), of_beta.item()) == pytest.approx((-1, 1))
    torch.testing.assert_close(rows["normalized"], x_hat.flatten())
    torch.testing.assert_close(rows["output"], y.detach().flatten())
    torch.testing.assert_close(rows["gradient of the input"], of_x.flatten())


def test_gradients_behind_batch_norm_sum_to_zero_and_are_nearly_orthogonal() -> None:
    x, gamma, g = doubles(9, 3), doubles(3), doubles(9, 3).detach()
    (of_x,) = torch.autograd.grad(F.batch_norm(x, None, None, gamma, None, training=True, eps=EPS), x, g)
    x_hat, v, s = (each.detach() for each in forward(x))
    torch.testing.assert_close(of_x.sum(0), torch.zeros(3).double())
    right = gamma.detach() / s * EPS / (v + EPS) * (g * x_hat).sum(0)
    torch.testing.assert_close((of_x * x_hat).sum(0), right)
    assert (right.abs() < 0.01 * (of_x * x_hat).abs().sum(0)).all()


def test_a_bias_before_batch_norm_gets_no_gradient() -> None:
    dense, (norm,) = nn.Linear(5, 3).double(), BatchNorm(0.1, 1e-5, "all").before_activation(3, 0)
    x = dense(doubles(8, 5))
    out = norm.double()(x).tanh()
    torch.testing.assert_close(norm(x + 3).tanh(), out)
    (out * torch.randn(8, 3)).sum().backward()
    torch.testing.assert_close(dense.bias.grad, torch.zeros(3).double())
    assert dense.weight.grad.abs().max() > 0.01
    assert norm.bias.grad.abs().max() > 0.01


def test_batch_norm_makes_the_scale_of_the_weights_before_it_irrelevant() -> None:
    a, w, g = doubles(8, 5).detach(), doubles(5), doubles(8).detach()

    def normalized(weights: Tensor) -> Tensor:
        return forward(a @ weights, eps=0.0)[0]

    (of_w,) = torch.autograd.grad(normalized(w), w, g)
    longer = (4 * w.detach()).requires_grad_()
    torch.testing.assert_close(normalized(longer), normalized(w))
    torch.testing.assert_close(torch.autograd.grad(normalized(longer), longer, g)[0], of_w / 4)
    assert (w @ of_w).item() == pytest.approx(0, abs=1e-12)
    assert (w - 0.1 * of_w).norm() > w.norm()


def test_running_averages_and_evaluation_are_as_written() -> None:
    (layer,) = BatchNorm(0.3, EPS, "all").before_activation(3, 0)
    layer.double()
    nn.init.uniform_(layer.weight)
    mean, variance = torch.zeros(3).double(), torch.ones(3).double()
    for _ in range(3):
        x = doubles(6, 3).detach()
        layer(x)
        mean = 0.7 * mean + 0.3 * x.mean(0)
        variance = 0.7 * variance + 0.3 * 6 / 5 * forward(x)[1]
    torch.testing.assert_close((layer.running_mean, layer.running_var), (mean, variance))
    layer.eval()
    alone = doubles(1, 3)
    slope = layer.weight.detach() / (variance + EPS).sqrt()
    torch.testing.assert_close(layer(alone).detach(), (slope * (alone - mean) + layer.bias).detach())
    torch.testing.assert_close(torch.autograd.grad(layer(alone).sum(), alone)[0], slope.unsqueeze(0))


# 4. The four settings


def test_the_gradient_of_cross_entropy_is_probability_less_target() -> None:
    logits, targets = doubles(10), torch.rand(10).double().softmax(0)
    q = logits.exp() / logits.exp().sum()
    loss = -(targets * q.log()).sum()
    torch.testing.assert_close(loss, F.cross_entropy(logits, targets))
    torch.testing.assert_close(torch.autograd.grad(loss, logits)[0], (q - targets).detach())


def over_masks(x: Tensor, p: float, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the exact expectation under dropout: the sum over all masks by their probability."""
    total = torch.zeros((), dtype=torch.float64)
    for mask in itertools.product((0.0, 1.0), repeat=len(x)):
        kept = int(sum(mask))
        probability = (1 - p) ** kept * p ** (len(x) - kept)
        total = total + probability * function(torch.tensor(mask) * x / (1 - p))
    return total


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_dropout_has_the_expectation_and_variance_written(p: float) -> None:
    x = torch.tensor([1.5], dtype=torch.float64)
    mean = over_masks(x, p, lambda y: y[0])
    assert mean.item() == pytest.approx(1.5)
    assert over_masks(x, p, lambda y: (y[0] - mean) ** 2).item() == pytest.approx(p / (1 - p) * 1.5**2)
    (layer,) = Dropout(p, "dense").after_activation(1, 0)
    drawn = layer(torch.full((200_000,), 1.5))
    assert drawn.mean().item() == pytest.approx(1.5, rel=0.02)
    assert drawn.var().item() == pytest.approx(p / (1 - p) * 1.5**2, rel=0.02)
    layer.eval()
    assert torch.equal(layer(x), x)


def test_dropout_before_a_linear_unit_is_a_penalty_on_squared_weights() -> None:
    x, w, t, p = doubles(6).detach(), doubles(6).detach(), 0.7, 0.3
    expectation = over_masks(x, p, lambda y: (w @ y - t) ** 2)
    torch.testing.assert_close(expectation, (w @ x - t) ** 2 + p / (1 - p) * (w**2 * x**2).sum())


def test_the_gradient_of_the_l2_penalty_is_lambda_w() -> None:
    w = doubles(5)
    torch.testing.assert_close(torch.autograd.grad(0.3 / 2 * (w**2).sum(), w)[0], 0.3 * w.detach())


# 5. L2 and decoupled decay

RATE = 0.01
BETA1, BETA2, ADAM_EPS = 0.9, 0.999, 1e-8


def walked(kind: Callable[..., torch.optim.Optimizer], start: Tensor, gradients: Tensor, decay: float) -> Tensor:
    """Return where an optimizer ends with our own weight decay in its groups."""
    net = nn.Module()
    net.w = nn.Parameter(start.clone())
    optimizer = kind(parameter_groups(net, WeightDecay(decay, "all")), lr=RATE)
    for gradient in gradients:
        net.w.grad = gradient.clone()
        optimizer.step()
    return net.w.detach()


def adam(start: Tensor, gradients: Tensor, *, l2: float = 0.0, decoupled: float = 0.0) -> Tensor:
    """Adam as the document writes it."""
    w, m, v = start, torch.zeros_like(start), torch.zeros_like(start)
    for t, raw in enumerate(gradients, start=1):
        g = raw + l2 * w
        m = BETA1 * m + (1 - BETA1) * g
        v = BETA2 * v + (1 - BETA2) * g**2
        step = RATE * (m / (1 - BETA1**t)) / ((v / (1 - BETA2**t)).sqrt() + ADAM_EPS)
        w = (1 - RATE * decoupled) * w - step
    return w


def test_l2_under_sgd_equals_decay() -> None:
    w, gradients, decay = doubles(5).detach(), doubles(4, 5).detach(), 0.1
    l2, shrunk = w, w
    for g in gradients:
        l2 = l2 - RATE * (g + decay * l2)
        shrunk = (1 - RATE * decay) * shrunk - RATE * g
    torch.testing.assert_close(l2, shrunk)
    torch.testing.assert_close(walked(torch.optim.SGD, w, gradients, decay), shrunk)
    momentum = functools.partial(torch.optim.SGD, momentum=0.9)
    free, decayed = (walked(momentum, w, torch.zeros(4, 5).double(), each) for each in (0.0, decay))
    assert torch.equal(free, w)
    assert (decayed.abs() < ((1 - RATE * decay) ** 4 * w).abs() * 0.999).all()


def test_l2_under_adam_is_no_decay() -> None:
    """The weight with the larger gradients is hardly decayed by L2, while decoupled decay takes equal shares."""
    start, decay = torch.tensor([2.0, 2.0]).double(), 0.1
    # Gradients that cancel over two steps, small and large ones.
    gradients = torch.tensor([[1e-3, 100.0], [-1e-3, -100.0]] * 50).double()
    free = walked(torch.optim.Adam, start, gradients, 0.0)
    small, large = (free - walked(torch.optim.Adam, start, gradients, decay)).tolist()
    assert small > 100 * large > 0
    small, large = (free - walked(torch.optim.AdamW, start, gradients, decay)).tolist()
    assert small == pytest.approx(large, rel=0.01)
    assert small == pytest.approx(2 * (1 - (1 - RATE * decay) ** 100), rel=0.05)


def test_adam_and_adamw_step_as_written() -> None:
    w, gradients = doubles(5).detach(), doubles(4, 5).detach()
    torch.testing.assert_close(walked(torch.optim.Adam, w, gradients, 0.1), adam(w, gradients, l2=0.1))
    torch.testing.assert_close(walked(torch.optim.AdamW, w, gradients, 0.1), adam(w, gradients, decoupled=0.1))


def test_the_first_step_of_adam_forgets_the_coefficient() -> None:
    w, g = doubles(5).detach(), doubles(1, 5).detach()
    summed = g[0] + 0.1 * w
    first = w - RATE * summed / ((summed**2).sqrt() + ADAM_EPS)
    torch.testing.assert_close(walked(torch.optim.Adam, w, g, 0.1), first)
    for decay in (1e-3, 1e-1, 10.0):
        moved = walked(torch.optim.Adam, w, torch.zeros(1, 5).double(), decay) - w
        torch.testing.assert_close(moved, -RATE * w.sign(), rtol=1e-3, atol=0)
    for ratio, share in ((1e-3, 1e-3 / 1.001), (1.0, 0.5), (99.0, 0.99)):
        start = torch.tensor([2.0]).double()
        moved = walked(torch.optim.Adam, start, torch.zeros(1, 1).double(), ratio * ADAM_EPS / 2) - start
        assert moved.item() == pytest.approx(-RATE * share)


def test_the_table_of_first_steps_is_that_of_the_optimizers() -> None:
    start, gradient = torch.tensor([2.0]).double(), torch.tensor([[0.5]]).double()
    kinds = {"SGD, L2": torch.optim.SGD, "Adam, L2": torch.optim.Adam, "AdamW, decoupled": torch.optim.AdamW}
    assert table("with averages of $g_t$ alone.") == [
        [name, *(f"{walked(kind, start, gradient, decay).item():.4f}" for decay in (0.0, 0.1))]
        for name, kind in kinds.items()
    ]


def test_decoupled_decay_shrinks_by_a_power() -> None:
    start = torch.tensor([2.0]).double()
    left = walked(torch.optim.AdamW, start, torch.zeros(20, 1).double(), 0.1)
    assert left.item() == pytest.approx(2 * (1 - RATE * 0.1) ** 20)
    share = (1 - 1e-4 * 1e-4) ** (60 * 600)
    assert share == pytest.approx(math.exp(-1e-4 * 1e-4 * 60 * 600))
    assert f"that is {share:.4f}:" in THEORY


# 6. More techniques


def test_label_smoothing_is_a_blend_and_has_a_finite_best_logit() -> None:
    logits, alpha, right, classes = doubles(10), 0.1, 3, 10
    target = F.one_hot(torch.tensor(right), classes)
    smoothed = (1 - alpha) * target + alpha / classes
    logs = -logits.log_softmax(0)
    blend = (1 - alpha) * logs[right] + alpha * logs.mean()
    torch.testing.assert_close(F.cross_entropy(logits, smoothed), blend)
    torch.testing.assert_close(F.cross_entropy(logits, torch.tensor(right), label_smoothing=alpha), blend)

    margin = math.log((1 - alpha + alpha / classes) / (alpha / classes))
    best = (margin * target.double()).requires_grad_()
    torch.testing.assert_close(best.softmax(0).detach(), smoothed.double())
    loss = F.cross_entropy(best, smoothed.double())
    torch.testing.assert_close(torch.autograd.grad(loss, best)[0], torch.zeros(classes).double())
    assert loss.item() > 0.1
    assert f"is {margin:.2f} for $\\alpha = 0.1$" in THEORY


@pytest.mark.parametrize("a", [-2.0, -0.3, 0.0, 0.4, 1.5])
def test_l1_sets_small_weights_to_zero_where_l2_shrinks_all(a: float) -> None:
    strength, w = 0.5, torch.linspace(-3, 3, 600_001, dtype=torch.float64)
    fit = 0.5 * (w - a) ** 2
    l1 = w[(fit + strength * w.abs()).argmin()].item()
    l2 = w[(fit + strength / 2 * w**2).argmin()].item()
    assert l1 == pytest.approx(math.copysign(max(abs(a) - strength, 0), a), abs=1e-4)
    assert l2 == pytest.approx(a / (1 + strength), abs=1e-4)
    weight = torch.tensor([-2.0, -1e-6, 3.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(strength * weight.abs().sum(), weight)
    assert gradient.tolist() == [-strength, -strength, strength]


def test_layer_norm_is_as_written_and_needs_no_batch() -> None:
    x, gamma, beta = doubles(4, 6).detach(), doubles(6).detach(), doubles(6).detach()
    mu = x.mean(1, keepdim=True)
    v = ((x - mu) ** 2).mean(1, keepdim=True)
    y = gamma * (x - mu) / (v + EPS).sqrt() + beta
    torch.testing.assert_close(y, F.layer_norm(x, (6,), gamma, beta, EPS))
    torch.testing.assert_close(y[:1], F.layer_norm(x[:1], (6,), gamma, beta, EPS))
    torch.testing.assert_close(y, F.group_norm(x, 1, gamma, beta, EPS))
    maps = doubles(4, 6, 3, 3).detach()
    over = (maps - maps.mean((1, 2, 3), keepdim=True)) / (maps.var((1, 2, 3), correction=0, keepdim=True) + EPS).sqrt()
    torch.testing.assert_close(F.group_norm(maps, 1, eps=EPS), over)
    assert sum(each.numel() for each in nn.GroupNorm(1, 6).parameters()) == 2 * 6


def test_mixup_draws_and_blends_as_written() -> None:
    for alpha in (0.2, 1.0, 3.0):
        beta = torch.distributions.Beta(alpha, alpha)
        assert beta.mean.item() == pytest.approx(1 / 2)
        assert beta.variance.item() == pytest.approx(1 / (4 * (2 * alpha + 1)))
    logits, share = doubles(3, 10), 0.3
    one, other = (F.one_hot(torch.randint(10, (3,)), 10).double() for _ in range(2))
    blend = F.cross_entropy(logits, share * one + (1 - share) * other)
    apart = share * F.cross_entropy(logits, one) + (1 - share) * F.cross_entropy(logits, other)
    torch.testing.assert_close(blend, apart)


@pytest.mark.parametrize(("s", "side"), [(8, 28), (2, 5), (16, 28), (28, 28), (0, 28)])
def test_cutout_hides_the_share_written(s: int, side: int) -> None:
    hidden = 0
    for row, column in itertools.product(range(side), repeat=2):
        image = np.ones((side, side))
        top, left = row - s // 2, column - s // 2
        image[max(top, 0) : max(top + s, 0), max(left, 0) : max(left + s, 0)] = 0
        hidden += int((image == 0).sum())
    share = (s / side - s**2 / (4 * side**2)) ** 2
    assert hidden / side**4 == pytest.approx(share)
    if (s, side) == (8, 28):
        assert f"{100 * share:.1f} % for $s = 8$ and $S = 28$" in THEORY


def test_gaussian_noise_before_a_linear_unit_is_l2() -> None:
    """Gauss–Hermite points integrate a polynomial against the normal density exactly."""
    points, weights = np.polynomial.hermite_e.hermegauss(4)
    weights = weights / weights.sum()
    x, w, t, sigma = np.array([0.5, -1.2, 2.0]), np.array([1.0, 0.3, -0.7]), 0.4, 0.6
    assert weights @ (x[0] + sigma * points) == pytest.approx(x[0])
    assert weights @ (sigma * points) ** 2 == pytest.approx(sigma**2)
    expectation = sum(
        np.prod(weights[list(chosen)]) * (w @ (x + sigma * points[list(chosen)]) - t) ** 2
        for chosen in itertools.product(range(4), repeat=3)
    )
    assert expectation == pytest.approx((w @ x - t) ** 2 + sigma**2 * (w**2).sum())
