"""`MuonWithAdamW`: orthogonalized momentum for hidden weights, AdamW for all else."""

import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from pydantic import Field, FiniteFloat, PositiveInt
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adamw import adamw

from regbench.validation import validated

Rate = Annotated[FiniteFloat, Field(gt=0)]
Inertia = Annotated[FiniteFloat, Field(ge=0, lt=1)]

# Of the quintic that is applied again and again, and what keeps the norm from 0: the authors' own numbers.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_LEAST_NORM = 1e-7


class MuonWithAdamW(Optimizer):
    """Steps hidden weights by their momentum made orthogonal (Muon), and all other parameters as AdamW does.

    Equation: of the gradient g the momentum is b ← μ b + (1 − μ) g, and m = μ b + (1 − μ) g (Nesterov) or b. With the
    singular value decomposition m = U S Vᵀ of the r × c matrix, w ← (1 − η λ) w − η √max(1, r / c) U Vᵀ. Newton–Schulz
    steps find U Vᵀ in bfloat16 as far as is needed: they bring the singular values near 1. On matrices these are the
    steps of `torch.optim.Muon`.

    Where: Muon takes matrices and kernels (a row for each unit) but the last one of the network, its output layer;
    AdamW takes that and whatever is a vector: biases, γ and β. So a network without hidden layers has AdamW alone.

    Schedules set one rate η for all: AdamW's is always `adamw_lr` / `lr` of it. Those that change momentum change β₁
    with it. Decay λ is decoupled in both.

    Source: Jordan, Jin, Boza, You, Cesista, Newhouse and Bernstein (2024), Muon: an optimizer for hidden layers in
    neural networks; Loshchilov and Hutter (2019), arXiv:1711.05101.

    Args:
        params: Parameters, or groups of them, each with its `weight_decay`; 0 where a group states none.
        lr: η of Muon, above 0.
        momentum: μ, in [0, 1).
        nesterov: Whether momentum looks ahead.
        ns_steps: Newton–Schulz steps, above 0.
        adamw_lr: η of AdamW, above 0.
        adamw_beta1: β₁ of AdamW, in [0, 1).
        adamw_beta2: β₂ of AdamW, in [0, 1).
        adamw_eps: ε of AdamW, above 0.
        fused: Whether AdamW takes its step in one call.
        network: Whose output layer is AdamW's; without it Muon takes all matrices and kernels.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(
        self,
        params: list[nn.Parameter] | list[dict[str, Any]],
        lr: Rate = 0.02,
        momentum: Inertia = 0.95,
        nesterov: bool = True,
        ns_steps: PositiveInt = 5,
        adamw_lr: Rate = 1e-3,
        adamw_beta1: Inertia = 0.9,
        adamw_beta2: Inertia = 0.999,
        adamw_eps: Rate = 1e-8,
        fused: bool = True,
        network: nn.Module | None = None,
    ) -> None:
        # Groups that are added later, of whatever they hold, are AdamW's.
        of_adamw = {"muon": False, "share": adamw_lr / lr, "momentum": adamw_beta1}
        shared = {"nesterov": nesterov, "ns_steps": ns_steps, "beta2": adamw_beta2, "eps": adamw_eps, "fused": fused}
        of_muon = {"muon": True, "share": 1.0, "momentum": momentum}
        output = _output_weight(network)
        groups = []
        for group in params:
            given = group if isinstance(group, dict) else {"params": [group]}
            hidden, others = _split(given["params"], output)
            groups += [{**given, **of_muon, "params": hidden}] if hidden else []
            groups += [{**given, "params": others}] if others else []
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0, **of_adamw, **shared})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step; return what the closure, which computes the gradients, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                trained = [each for each in group["params"] if each.grad is not None]
                if group["muon"]:
                    for each in trained:
                        self._step_muon(each, group)
                elif trained:
                    self._step_adamw(trained, group)
        return loss

    def _step_muon(self, weight: Tensor, group: dict[str, Any]) -> None:
        gradient, state = weight.grad, self.state[weight]
        if gradient is None:
            return
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        mean = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(mean, group["momentum"]) if group["nesterov"] else mean
        matrix = ahead.flatten(1)
        rows, columns = matrix.shape
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        step = orthogonalized(matrix, group["ns_steps"]).view_as(weight)
        weight.add_(step, alpha=-group["lr"] * math.sqrt(max(1, rows / columns)))

    def _step_adamw(self, trained: list[Tensor], group: dict[str, Any]) -> None:
        states = [self.state[each] for each in trained]
        for each, state in zip(trained, states, strict=True):
            if not state:
                state["step"] = torch.zeros((), device=each.device if group["fused"] else None)
                state |= {name: torch.zeros_like(each) for name in ("exp_avg", "exp_avg_sq")}
        adamw(
            trained,
            [each.grad for each in trained if each.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            max_exp_avg_sqs=[],
            state_steps=[state["step"] for state in states],
            fused=group["fused"],
            amsgrad=False,
            beta1=group["momentum"],
            beta2=group["beta2"],
            lr=group["lr"] * group["share"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def orthogonalized(matrix: Tensor, steps: int) -> Tensor:
    """Return a matrix `(R, C)` with its singular vectors and with singular values near 1, in bfloat16.

    Each step takes X to a X + (b X Xᵀ + c (X Xᵀ)²) X, whose coefficients raise small singular values quickly instead of
    reaching 1: after five steps those that were not tiny lie in about [0.7, 1.2].

    Args:
        matrix: `(R, C)`.
        steps: How many.
    """
    wide = (matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T).bfloat16().contiguous()
    wide = wide / wide.norm().clamp(min=_LEAST_NORM)  # of a spectral norm of at most 1, from where it converges
    first, third, fifth = _COEFFICIENTS
    for _ in range(steps):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=third, alpha=fifth), wide, beta=first)
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T


def _output_weight(network: nn.Module | None) -> Tensor | None:
    """Return the last matrix or kernel of a network."""
    weights = [each for each in network.parameters() if each.ndim >= 2] if network is not None else []
    return weights[-1] if weights else None


def _split(parameters: Iterable[Tensor], output: Tensor | None) -> tuple[list[Tensor], list[Tensor]]:
    """Return the hidden weights, and the others."""
    hidden: list[Tensor] = []
    others: list[Tensor] = []
    for each in parameters:
        (hidden if each.ndim >= 2 and each is not output else others).append(each)
    return hidden, others
