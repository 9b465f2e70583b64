"""`Program`: training steps and evaluations of all members as one, vectorized over them by `torch.func.vmap`."""

import contextlib
import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from regbench.data.module import EVALUATION_BATCH
from regbench.regularizers import Regularizer
from regbench.together.capture import Repeated
from regbench.together.images import Images
from regbench.together.stack import STRENGTHS, Stack
from regbench.together.updates import Update
from regbench.training.classifier import objective, totals

# What vmap passes over: the network as a function of its weights and buffers.
_Weights = Mapping[str, Tensor]


class Program:
    """Takes the steps of all rows of a stack at once; the number of operations does not grow with them.

    Args:
        net: A member's network: its layers are those of all.
        regularizer: A member's, likewise.
        stack: The members' state.
        update: How their optimizers update.
        images: The data set.
        classes: C.
        compile: Whether forward pass and loss are compiled.
    """

    def __init__(
        self,
        net: nn.Module,
        regularizer: Regularizer,
        stack: Stack,
        update: Update,
        images: Images,
        classes: int,
        *,
        compile: bool,
    ) -> None:
        self.net = net
        self.stack = stack
        self._update = update
        self._images = images
        # Copied as one, since a technique may refer to layers of the network.
        layers, techniques = copy.deepcopy((net, regularizer))
        layers = _with_strengths(layers, stack.strengths).to(images.device).train()
        self._vectorized = Vectorized(layers, techniques)
        self._loss = torch.compile(self._vectorized.loss, dynamic=False) if compile else self._vectorized.loss
        self._one_hot = torch.eye(classes, dtype=stack.weights.dtype, device=images.device)
        self._totals = torch.zeros(len(stack.weights), 3, dtype=torch.float64, device=images.device)
        self._repeated: dict[int, Repeated] = {}

    def take_steps(self, places: Tensor, sizes: Sequence[int], rates: Tensor) -> None:
        """Take steps.

        Args:
            places: Of the images in the whole set, `(M, images)`, those of the first batch first.
            sizes: Images of each batch.
            rates: Of each step, as an update takes them, `(steps, M, 2)`.
        """
        device = self._images.device
        places, rates = places.to(device), rates.to(device)
        first = step = 0
        for size, alike in groupby(sizes):
            count = len(list(alike))
            batches = places[:, first : first + count * size].unflatten(1, (count, size)).transpose(0, 1)
            if size not in self._repeated:
                self._repeated[size] = Repeated(self._take_step, device)
            self._repeated[size](batches.contiguous(), rates[step : step + count])
            first, step = first + count * size, step + count

    def take_totals(self) -> Tensor:
        """Return the sums of examples, losses and correct answers since they were last taken, `(M, 3)`, on the CPU."""
        totals = self._totals.cpu().clone()
        self._totals.zero_()
        return totals

    def _take_step(self, places: Tensor, rates: Tensor) -> None:
        """Take a step on the images at `(M, N)`."""
        stack = self.stack
        images = self._images.images_on_device.index_select(0, places.flatten()).unflatten(0, places.shape)
        labels = self._images.labels_on_device.index_select(0, places.flatten())
        targets = self._one_hot.index_select(0, labels).unflatten(0, places.shape)
        images, targets = self._vectorized.change(images, targets)
        losses, totals = self._loss(stack.parameters, {**stack.buffers, **stack.strengths}, images, targets)
        gradients = torch.autograd.grad(losses.sum(), list(stack.parameters.values()))
        with torch.no_grad():
            torch._foreach_copy_(stack.gradient_views, list(gradients))
            self._update.apply(stack.weights, stack.gradients, stack.state, rates, stack.decay)
            self._vectorized.change_weights(stack.parameters, stack.buffers)
            self._totals += totals


@contextlib.contextmanager
def without_notices() -> Iterator[None]:
    """Let operations be vectorized without torch's notice of those that are done one after another."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        yield


class Vectorized:
    """What techniques and network do in a step, over members: `(M, …)` for each tensor of one alone.

    Args:
        net: In training mode, on the device; its own weights are without effect.
        regularizer: Of all members.
    """

    def __init__(self, net: nn.Module, regularizer: Regularizer) -> None:
        self._objective = _Objective(net, regularizer)
        self._after = _After(net, regularizer) if regularizer.fills("after_step") else None
        self.change = vmap(regularizer.on_batch, randomness="different")
        self.loss = vmap(self._loss, randomness="different")

    def change_weights(self, trained: _Weights, others: _Weights) -> None:
        """Change weights and buffers in place after a step, `(M, …)` each by name, where a technique does."""
        if self._after is not None:
            with torch.no_grad():
                values = {name: each.detach() for name, each in {**trained, **others}.items()}
                vmap(self._changed, randomness="different")(values)

    def _loss(self, trained: _Weights, others: _Weights, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        result: tuple[Tensor, Tensor] = functional_call(
            self._objective, _named({**trained, **others}), (images, targets)
        )
        return result

    def _changed(self, trained: _Weights) -> Tensor:
        result: Tensor = functional_call(self._after, _named(trained), ())  # type: ignore[arg-type]  # there is one
        return result


def _named(weights: _Weights) -> dict[str, Tensor]:
    return {f"net.{name}": value for name, value in weights.items()}


def evaluate(net: nn.Module, weights: _Weights, images: Images, places: Sequence[Tensor]) -> Tensor:
    """Return the logits of all rows in evaluation mode, `(M, N, C)`, on the CPU.

    Args:
        net: A member's, on the CPU: its layers are those of all.
        weights: Weights and buffers, `(M, …)` each, on the device.
        images: The data set.
        places: For each row, of its images, `(N,)`.
    """
    layers = copy.deepcopy(net).to(images.device).eval()

    def logits(weights: _Weights, images: Tensor) -> Tensor:
        found: Tensor = functional_call(layers, dict(weights), (images,))
        return found

    forward = vmap(logits)
    found = []
    with torch.inference_mode():
        for batch in torch.stack(list(places)).to(images.device).split(EVALUATION_BATCH, dim=1):
            chosen = images.images_on_device.index_select(0, batch.flatten()).unflatten(0, batch.shape)
            found.append(forward(weights, chosen))
        return torch.cat(found, 1).cpu()


class _Objective(nn.Module):
    """Loss and totals as a layer, so that a penalty too sees the weights that a call is given."""

    def __init__(self, net: nn.Module, regularizer: Regularizer) -> None:
        super().__init__()
        self.net = net
        self._regularizer = regularizer
        self._penalizes_logits = regularizer.fills("penalty_on_logits")

    def forward(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        loss, logits = objective(self.net, self._regularizer, images, targets, penalizes_logits=self._penalizes_logits)
        return loss, totals(loss, logits, targets)


class _After(nn.Module):
    """What a technique does after a step, as a layer; returns a number, as what is vectorized must."""

    def __init__(self, net: nn.Module, regularizer: Regularizer) -> None:
        super().__init__()
        self.net = net
        self._regularizer = regularizer

    def forward(self) -> Tensor:
        self._regularizer.after_step(self.net)
        return next(self.net.parameters()).new_zeros(())


class _MembersDropout(nn.Module):
    """Dropout whose p is a number of the member's own."""

    p: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer(STRENGTHS, torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        kept = torch.rand_like(inputs) >= self.p
        return inputs * kept / (1 - self.p)


def _with_strengths(net: nn.Module, strengths: Mapping[str, Tensor]) -> nn.Module:
    """Put layers that take their strength from a buffer in the place of those whose members differ in it."""
    for name in strengths:
        path, _, last = name.removesuffix(f".{STRENGTHS}").rpartition(".")
        setattr(net.get_submodule(path), last, _MembersDropout())
    return net
