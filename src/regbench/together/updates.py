"""Optimizers' steps for many networks at once, each with its own rate, momentum and decay.

PyTorch's own take one rate for all that they are given. Formulas and state are theirs, so a member's state is that of
its own optimizer. A stack's weights are `(M, D)`, a row for each of M members.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

State = Mapping[str, Tensor]

_UNKNOWN = ("dampening", "maximize", "amsgrad", "differentiable")


class Update(ABC):
    """How an optimizer changes weights.

    Attributes:
        moments: Names of the state that is as large as the weights.
        counts: Whether the state holds the number of steps.
        inertia: The key of the group's option that a schedule may change beside the rate.
    """

    moments: tuple[str, ...]
    counts: bool
    inertia: str

    @abstractmethod
    def apply(self, weights: Tensor, gradients: Tensor, state: State, rates: Tensor, decay: Tensor | None) -> None:
        """Change weights and state in place by one step.

        Args:
            weights: `(M, D)`.
            gradients: `(M, D)`; used up.
            state: `(M, D)` each, and `step` `(M, 1)`.
            rates: Learning rate, and β₁ or momentum, `(M, 2)`.
            decay: λ of each weight, `(M, D)`; `None` where all are 0.
        """


class AdamUpdate(Update):
    """Adam's, Kingma and Ba (2014), arXiv:1412.6980, or AdamW's, Loshchilov and Hutter (2019), arXiv:1711.05101.

    Args:
        beta: β₂.
        eps: ε.
        decoupled: Whether decay acts beside the step, as in AdamW, instead of in the gradient.
    """

    moments = ("exp_avg", "exp_avg_sq")
    counts = True
    inertia = "betas"

    def __init__(self, beta: float, eps: float, *, decoupled: bool) -> None:
        self.beta = beta
        self.eps = eps
        self.decoupled = decoupled

    def apply(self, weights: Tensor, gradients: Tensor, state: State, rates: Tensor, decay: Tensor | None) -> None:
        """Change weights and state in place by one step."""
        rate, beta = rates.double().split(1, dim=1)
        if decay is not None:
            if self.decoupled:
                weights.mul_(1 - rate.to(weights.dtype) * decay)
            else:
                gradients.addcmul_(weights, decay)
        mean, square, step = (state[name] for name in (*self.moments, "step"))
        step.add_(1)
        mean.lerp_(gradients, (1 - beta).to(weights.dtype))
        square.mul_(self.beta).addcmul_(gradients, gradients, value=1 - self.beta)
        root = (1 - self.beta ** step.double()).sqrt().to(weights.dtype)
        scale = (-rate / (1 - beta ** step.double())).to(weights.dtype)
        weights.addcdiv_(mean * scale, (square.sqrt() / root).add_(self.eps))


class SGDUpdate(Update):
    """That of SGD, with heavy-ball or Nesterov momentum, Sutskever, Martens, Dahl and Hinton (2013), ICML.

    Args:
        nesterov: Whether momentum looks ahead.
        remembers: Whether there is momentum at all.
    """

    counts = False
    inertia = "momentum"

    def __init__(self, *, nesterov: bool, remembers: bool) -> None:
        self.nesterov = nesterov
        self.moments = ("momentum_buffer",) if remembers else ()

    def apply(self, weights: Tensor, gradients: Tensor, state: State, rates: Tensor, decay: Tensor | None) -> None:
        """Change weights and state in place by one step."""
        rate, momentum = rates.to(weights.dtype).split(1, dim=1)
        if decay is not None:
            gradients.addcmul_(weights, decay)
        if self.moments:
            velocity = state["momentum_buffer"]
            velocity.mul_(momentum).add_(gradients)
            gradients = gradients.addcmul_(velocity, momentum) if self.nesterov else velocity
        weights.addcmul_(gradients, -rate)


def update_of(optimizer: Optimizer) -> Update:
    """Return how an optimizer updates.

    Raises:
        ValueError: It cannot be done for many networks at once.
    """
    options = optimizer.defaults
    unknown = [key for key in _UNKNOWN if options.get(key)]
    if type(optimizer) is SGD and not unknown:
        return SGDUpdate(nesterov=options["nesterov"], remembers=options["momentum"] != 0)
    if type(optimizer) in {Adam, AdamW} and not unknown:
        decoupled = type(optimizer) is AdamW or bool(options.get("decoupled_weight_decay"))
        return AdamUpdate(options["betas"][1], options["eps"], decoupled=decoupled)
    received = " with ".join([type(optimizer).__name__, *unknown])
    raise ValueError(
        f"optimizer: expected Adam, AdamW or SGD without {', '.join(_UNKNOWN)}, whose steps are known for many "
        f"networks at once; received {received}"
    )


def rates_of(optimizer: Optimizer) -> tuple[float, float]:
    """Return the learning rate of the next step, and its β₁ or momentum.

    Raises:
        ValueError: Groups of weights have different ones.
    """
    rates = {(float(group["lr"]), _inertia(group)) for group in optimizer.param_groups}
    if len(rates) > 1:
        raise ValueError(
            f"scheduler: expected one rate for all weights where runs are trained together; received {rates}"
        )
    return rates.pop()


def _inertia(group: Mapping[str, Any]) -> float:
    return float(group["betas"][0] if "betas" in group else group.get("momentum", 0.0))


def decay_of(optimizer: Optimizer, sizes: Mapping[Tensor, slice], length: int) -> Tensor:
    """Return the decay of each of a member's weights, `(length,)`.

    Args:
        optimizer: The member's.
        sizes: Where each parameter lies in the member's row.
        length: Of the row.
    """
    decay = torch.zeros(length, dtype=torch.float64)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            decay[sizes[parameter]] = group["weight_decay"]
    return decay
