"""What a member asks the program for, that trains it together with others."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from regbench.regularizers import Regularizer


@dataclass(frozen=True)
class Steps:
    """The training steps of a chunk; answered by nothing.

    Attributes:
        net: The member's network; while it trains, its weights are part of the stack.
        optimizer: The member's own, which says how its weights are updated and keeps its part of the state.
        regularizer: The member's own.
        epoch: From 0.
        begins: Whether these are the epoch's first steps.
        places: Of the batches' images in the whole set, one after another, `(images,)`.
        sizes: Images of each batch.
        rates: At each step, the learning rate and Adam's first β or SGD's momentum, `(steps, 2)`.
    """

    net: nn.Module
    optimizer: Optimizer
    regularizer: Regularizer
    epoch: int
    begins: bool
    places: Tensor
    sizes: tuple[int, ...]
    rates: Tensor


@dataclass(frozen=True)
class Scores:
    """What an epoch's scores are made of.

    Answered by the sums over the epoch's steps `(3,)`, of examples, losses and correct answers, and by the logits
    `(N, C)` of each split in evaluation mode, all on the CPU; from then on the member's own network and optimizer hold
    what they would after the epoch alone.

    Attributes:
        places: Of each split's images, `(N,)`.
    """

    places: tuple[Tensor, ...]


@dataclass(frozen=True)
class Predictions:
    """The logits of splits with weights of the member's choice; answered by one tensor `(N, C)` for each, on the CPU.

    Attributes:
        net: With the weights.
        places: Of each split's images, `(N,)`.
    """

    net: nn.Module
    places: tuple[Tensor, ...]


@dataclass(frozen=True)
class Drawing:
    """Pictures; answered by what the function returns.

    Attributes:
        function: Of a module of `regbench.drawing`, so that other processes can call it.
        arguments: Of it.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
