"""`optimizer=muon`: its steps against NumPy and torch's own optimizers, whose weights it takes, and a run with it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from regbench.regularizers.weight_decay import WeightDecay
from regbench.runs.parts import Parts, build
from regbench.runs.run import run
from regbench.training.classifier import parameter_groups
from regbench.training.muon import MuonWithAdamW, orthogonalized

Composed = Callable[..., dict[str, Any]]
Matrix = np.ndarray[Any, np.dtype[Any]]


def newton_schulz(matrix: Matrix) -> Matrix:
    """Five steps of the authors' quintic in double precision, in terms of singular values alone."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    values = values / np.linalg.norm(matrix)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return left * values @ right


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 3, 5, 5)], ids=["wide", "tall", "kernels"])
def test_a_step_on_hidden_weights_is_that_of_numpy(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    before, *gradients = (torch.randn(shape, generator=generator) for _ in range(3))
    weight = nn.Parameter(before.clone())
    optimizer = MuonWithAdamW([{"params": [weight], "weight_decay": 0.5}], lr=0.1, momentum=0.9)
    expected, mean = before.double().numpy().reshape(shape[0], -1), 0.0
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
        flat = gradient.double().numpy().reshape(shape[0], -1)
        mean = 0.9 * mean + 0.1 * flat
        length = 0.1 * max(1, expected.shape[0] / expected.shape[1]) ** 0.5
        expected = (1 - 0.1 * 0.5) * expected - length * newton_schulz(0.1 * flat + 0.9 * mean)
    moved = expected - before.double().numpy().reshape(shape[0], -1)
    error = weight.detach().numpy().reshape(shape[0], -1) - expected
    # Ours are found in bfloat16, which holds two to three digits.
    assert np.linalg.norm(error) < 0.02 * np.linalg.norm(moved)


def test_the_singular_values_of_a_step_come_near_1_however_they_differ() -> None:
    left, _ = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(1)))
    matrix = left @ torch.diag(torch.logspace(0, -2, 12)) @ left.T
    values = torch.linalg.svdvals(orthogonalized(matrix, 5).float())
    assert 0.3 < values.min() < values.max() < 1.3
    assert torch.equal(orthogonalized(torch.zeros(3, 4), 5), torch.zeros(3, 4, dtype=torch.bfloat16))


def test_its_steps_are_those_of_torchs_muon_and_adamw() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 12), nn.Tanh(), nn.Linear(12, 10))
    ours = list(net.parameters())
    theirs = [nn.Parameter(each.detach().clone()) for each in ours]
    both = MuonWithAdamW([{"params": ours, "weight_decay": 0.1}], lr=0.02, adamw_lr=0.01, network=net)
    muon = torch.optim.Muon(theirs[:1], lr=0.02, weight_decay=0.1, momentum=0.95)
    adamw = torch.optim.AdamW(theirs[1:], lr=0.01, weight_decay=0.1, fused=True)
    for _ in range(3):
        for our, their in zip(ours, theirs, strict=True):
            our.grad = torch.randn_like(our)
            their.grad = our.grad.clone()
        both.step()
        muon.step()
        adamw.step()
    assert all(map(torch.equal, ours, theirs))


def taken(parts: Parts, *, muon: bool) -> set[str]:
    """Name the parameters that a built run's optimizer gives to Muon, or to AdamW."""
    optimizer = parts.classifier.configure_optimizers()["optimizer"]
    names = {id(each): name for name, each in parts.classifier.net.named_parameters()}
    return {names[id(each)] for group in optimizer.param_groups if group["muon"] is muon for each in group["params"]}


def test_muon_takes_hidden_weights_whatever_their_decay_and_adamw_all_else(composed: Composed) -> None:
    hidden = {"c1.weight", "c3.weight", "c5.weight", "f6.weight"}
    for techniques in ("none", "weight_decay", "[batchnorm,weight_decay]"):
        parts = build(composed("optimizer=muon", f"regularizer={techniques}"))
        assert taken(parts, muon=True) == hidden
        everything = {name for name, _ in parts.classifier.net.named_parameters()}
        assert taken(parts, muon=False) == everything - hidden
        assert {"output.weight", "output.bias", "c1.bias"} < everything


def test_weight_decay_is_decoupled_in_both() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    before = [each.detach().clone() for each in net.parameters()]
    groups = parameter_groups(net, WeightDecay(0.5, "all"))
    optimizer = MuonWithAdamW(groups, lr=0.1, adamw_lr=0.01, network=net)
    for each in net.parameters():
        each.grad = torch.zeros_like(each)
    optimizer.step()
    shrunk = [(1 - rate * 0.5) for rate in (0.1, 0.01, 0.01, 0.01)]
    for factor, old, new in zip(shrunk, before, net.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), old * factor)


def schedules() -> Iterator[tuple[str, Callable[[torch.optim.Optimizer], Any]]]:
    from torch.optim import lr_scheduler

    yield "cosine", lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 8, eta_min=0.001)
    yield (
        "one cycle",
        lambda optimizer: lr_scheduler.OneCycleLR(optimizer, max_lr=0.02, total_steps=8, cycle_momentum=False),
    )


@pytest.mark.parametrize("schedule", [each for _, each in schedules()], ids=[name for name, _ in schedules()])
def test_a_schedule_changes_both_rates_in_proportion(schedule: Callable[[torch.optim.Optimizer], Any]) -> None:
    net = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 2, bias=False))
    hidden, output = net.parameters()
    optimizer = MuonWithAdamW(list(net.parameters()), lr=0.02, adamw_lr=0.004, momentum=0.0, network=net)
    scheduler = schedule(optimizer)
    moved: list[tuple[float, float]] = []
    for _ in range(6):
        before = hidden.detach().clone(), output.detach().clone()
        for each in (hidden, output):
            each.grad = torch.ones_like(each)  # of which AdamW's steps are all of its own rate's length
        optimizer.step()
        scheduler.step()
        moved.append((length(hidden, before[0]), length(output, before[1])))
    first = moved[0][0] / moved[0][1]
    assert len({round(step, 6) for step, _ in moved}) > 3
    assert all(step / other == pytest.approx(first, rel=1e-3) for step, other in moved)


def length(weight: Tensor, before: Tensor) -> float:
    return float((weight.detach() - before).norm())


def test_digits_are_learned_and_the_rate_that_is_recorded_is_muons(composed: Composed, tmp_path: Path) -> None:
    config = composed("optimizer=muon", "dataset.train_size=1000", "trainer.max_epochs=5", "scheduler=one_cycle")
    results = run(tmp_path, config)
    assert results.optimizer == "muon"
    assert (results.metrics["test/acc"] or 0) > 0.9  # chance is 0.1
    rates = [float(line.split(",")[1]) for line in (tmp_path / "history.csv").read_text().splitlines()[1:]]
    assert rates[0] == pytest.approx(0.02 / 25)


class Matrices(torch.optim.SGD):
    """Refuses to train nothing but vectors, as optimizers of matrices do."""

    def __init__(self, params: list[dict[str, Any]], lr: float) -> None:
        if all(each.ndim < 2 for group in params for each in group["params"]):
            raise ValueError("expected matrices")
        super().__init__(params, lr)


def test_an_optimizer_of_ones_own_is_tried_on_the_networks_own_parameters(composed: Composed) -> None:
    config = composed("model=mlp_small")
    build({**config, "optimizer": {"_target_": f"{__name__}.Matrices", "lr": 0.1}})
    # torch's own takes no biases; that shows before training, too.
    with pytest.raises(ValueError, match=r"^optimizer: Muon only supports 2D parameters"):
        build({**config, "optimizer": {"_target_": "torch.optim.Muon", "lr": 0.1}})
