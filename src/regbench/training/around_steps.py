"""Lets techniques act around an optimizer's steps, by torch's own hooks of optimizers.

So it is the same whether Lightning or `ChunkedModule` calls for a step; and where no technique asks, nothing is called.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regbench.regularizers import Regularizer


class AroundSteps:
    """Calls `on_gradients` and `after_step` at each step, and keeps the step's batch for gradients computed anew.

    Args:
        regularizer: What it fills is decided here, once.
        net: The network that is trained.

    Attributes:
        keeps: Whether each step's batch is to be kept.
        repeats: Whether the gradients of the kept batch are being computed anew.
    """

    def __init__(self, regularizer: Regularizer, net: nn.Module) -> None:
        self.keeps = regularizer.fills("on_gradients")
        self.repeats = False
        self._regularizer = regularizer
        self._net = net
        self._kept: tuple[Tensor, Tensor] | None = None
        self._random: list[Tensor] = []

    def attach(self, optimizer: Optimizer) -> None:
        """Let the techniques act around the optimizer's steps, if they do."""
        if self.keeps:
            optimizer.register_step_pre_hook(self._before_step)
        if self._regularizer.fills("after_step"):
            optimizer.register_step_post_hook(self._after_step)

    def keep(self, images: Tensor, targets: Tensor) -> None:
        """Keep the batch of a step, as `on_batch` left it, and where the random streams are."""
        self._kept = images, targets
        self._random = [torch.get_rng_state()]
        if images.is_cuda:
            self._random.append(torch.cuda.get_rng_state(images.device))

    def kept(self) -> tuple[Tensor, Tensor]:
        """Return the batch that was kept, and put the random streams back where they were.

        Raises:
            RuntimeError: None was.
        """
        if self._kept is None:
            raise RuntimeError("recompute: expected a batch whose gradients were computed before, received none")
        torch.set_rng_state(self._random[0])
        if len(self._random) > 1:
            torch.cuda.set_rng_state(self._random[1], self._kept[0].device)
        return self._kept

    def _before_step(self, optimizer: Optimizer, positional: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Give the step a closure after which the techniques have changed the gradients.

        Raises:
            RuntimeError: The step has no closure, so its gradients cannot be computed anew.
        """
        of, *given = positional  # the optimizer itself, and a closure that was not given by its name
        differentiate: Callable[[], Any] | None = named.get("closure", *given)
        if differentiate is None:
            raise RuntimeError("on_gradients: expected a step with a closure, which computes the gradients")

        def recompute() -> None:
            with self._repeating():
                differentiate()

        def differentiate_and_change() -> Any:
            loss = differentiate()
            with torch.no_grad():
                self._regularizer.on_gradients(self._net, recompute)
            self._kept = None
            return loss

        return (of,), {**named, "closure": differentiate_and_change}

    def _after_step(self, optimizer: Optimizer, positional: Any, named: Any) -> None:
        with torch.no_grad():
            self._regularizer.after_step(self._net)

    @contextlib.contextmanager
    def _repeating(self) -> Iterator[None]:
        """Let the kept batch be differentiated again, without a trace in random streams and buffers."""
        buffers = [(each, each.clone()) for each in self._net.buffers()]
        devices = [self._kept[0].device] if self._kept is not None and self._kept[0].is_cuda else []
        self.repeats = True
        try:
            with torch.random.fork_rng(devices=devices), torch.enable_grad():
                yield
        finally:
            self.repeats = False
        for buffer, before in buffers:
            buffer.copy_(before)
