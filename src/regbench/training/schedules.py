"""Learning rate schedules that torch does not have."""

import math
from typing import Annotated

from pydantic import Field, FiniteFloat, PositiveInt
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from regbench.validation import validated


class WarmupCosine(LambdaLR):
    """Raises the learning rate in a straight line to the optimizer's own, then lowers it along half a cosine.

    With w warm-up steps of T, step t = 0 … T − 1 has the rate η (t + 1) / w while t < w, and then
    η (f + (1 − f) (1 + cos(π (t − w) / (T − w))) / 2).

    Source: Goyal et al. (2017), arXiv:1706.02677 (warm-up); Loshchilov and Hutter (2017), arXiv:1608.03983 (cosine).

    Args:
        optimizer: Whose rate η is scheduled.
        total_steps: T, above 0.
        warmup: Share of the steps that warm up, in [0, 1).
        floor: f, the share of η that is left at the end, in [0, 1].

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: PositiveInt,
        warmup: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.1,
        floor: Annotated[FiniteFloat, Field(ge=0, le=1)] = 0.0,
    ) -> None:
        rising = int(warmup * total_steps)

        def factor(step: int) -> float:
            if step < rising:
                return (step + 1) / rising
            passed = min(1.0, (step - rising) / (total_steps - rising))
            return floor + (1 - floor) * (1 + math.cos(math.pi * passed)) / 2

        super().__init__(optimizer, factor)
