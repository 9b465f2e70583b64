"""An optimizer of your own: `optimizer=template_name`."""

from collections.abc import Callable
from typing import Annotated, Any

import torch
from pydantic import Field, FiniteFloat
from torch.optim import Optimizer


class TemplateName(Optimizer):
    """Steps by the sign of the gradients' running average: an example to replace.

    Equation: m ← β m + (1 − β) g, w ← (1 − lr · decay) w − lr · sign(m). Source: Bernstein, Wang, Azizzadenesheli and
    Anandkumar (2018), arXiv:1802.04434.

    Each parameter group states its own `weight_decay`, which is what `regularizer=weight_decay` gives it, and 0
    without: so a group must take that key, and the YAML has none.

    Args:
        params: The groups, which RegBench gives.
        lr: The rate, above 0; schedules change it in the groups.
        beta: The average's memory, in [0, 1).
    """

    def __init__(
        self,
        params: Any,
        lr: Annotated[FiniteFloat, Field(gt=0)],
        beta: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.9,
    ) -> None:
        super().__init__(params, {"lr": lr, "beta": beta, "weight_decay": 0.0})

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # as torch's own
        """Take one step, and return what `closure` returns, which computes gradients where they are not there yet."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for each in group["params"]:
                    if each.grad is None:
                        continue
                    # What is kept here is part of every checkpoint, so that a stopped run resumes with it.
                    average = self.state[each].setdefault("average", torch.zeros_like(each))
                    average.lerp_(each.grad, 1 - group["beta"])
                    each.mul_(1 - group["lr"] * group["weight_decay"])
                    each.sub_(group["lr"] * average.sign())
        return loss
