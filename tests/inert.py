"""Techniques, a model and a callback of a user's own that do nothing, begin late or keep a state."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from regbench.models import MLP
from regbench.regularizers import Regularizer


class DeafMLP(MLP):
    """A model that takes `regularizer` and forgets it."""

    def __init__(self, image_size: int, hidden: list[int], mean: float, std: float, regularizer: Any = None) -> None:
        super().__init__(image_size, hidden, "relu", 10, mean, std)


class Idle(pl.Callback):
    """A callback that does nothing."""


class Nothing(Regularizer):
    """Draws random numbers, adds a penalty without a gradient, and changes nothing."""

    def after_activation(self, features: int, dims: int) -> list[nn.Module]:
        return [nn.Identity()]

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return images + 0 * torch.rand(1), targets

    def penalty(self, net: nn.Module) -> Tensor | float:
        return torch.ones(())


class Annealed(Regularizer):
    """A penalty on the weights whose strength changes with every batch."""

    def __init__(self, strength: float = 1e-2, factor: float = 0.9, growth: float = 0.0) -> None:
        self.strength = strength
        self.factor = factor
        self.growth = growth
        self.seen: list[int] = []

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        self.strength = self.strength * self.factor + self.growth * (len(self.seen) > 0)
        return images, targets

    def penalty(self, net: nn.Module) -> Tensor | float:
        return self.strength * sum(each.square().sum() for each in net.parameters())


class Late(Annealed):
    """A penalty that begins after more batches than are compared at the beginning."""

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(len(images))
        self.strength = 0.01 if len(self.seen) > 20 else 0.0
        return images, targets


class Remembering(Regularizer):
    """Pulls the targets towards an average of those before, kept in a tensor that the first batch makes."""

    def __init__(self) -> None:
        self.average: Tensor | None = None
        self.recorder: nn.Module | None = None
        self.scale = {"share": (0.9, 0.1)}
        self.weigh: Callable[[Tensor], Tensor] = lambda value: 0.1 * value

    def after_activation(self, features: int, dims: int) -> list[nn.Module]:
        self.recorder = Recorder()
        return [self.recorder]

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        mean = targets.mean(0)
        self.average = mean if self.average is None else 0.9 * self.average + 0.1 * mean
        return images, 0.9 * targets + self.weigh(self.average)


class Recorder(nn.Module):
    """A layer that fades out its noise by a number of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = 0.5

    def forward(self, values: Tensor) -> Tensor:
        if self.training:
            values = values + self.noise * torch.randn_like(values)
            self.noise *= 0.95
        return values


class Drawing(Regularizer):
    """Keeps a random generator of its own, which no checkpoint can hold."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return images * float(self.generator.uniform(0.9, 1.1)), targets


class Keeping(Drawing):
    """Says itself what its generator's state is."""

    def state_dict(self) -> dict[str, Any]:
        return {"generator": str(self.generator.bit_generator.state["state"]["state"])}

    def load_state_dict(self, state: Any) -> None:
        if state:
            known = self.generator.bit_generator.state
            known["state"]["state"] = int(state["generator"])
            self.generator.bit_generator.state = known


class Preferring(Regularizer):
    """Adds the mean logit of the first class to the loss."""

    def penalty_on_logits(self, logits: Tensor, targets: Tensor) -> Tensor | float:
        return logits[:, 0].mean()


class Shrinking(Regularizer):
    """Makes each parameter shorter after each step."""

    def after_step(self, net: nn.Module) -> None:
        for each in net.parameters():
            each.mul_(0.999)


class Spectral(Regularizer):
    """Torch's spectral norm of every weight, whose power iteration begins with random vectors."""

    def prepare(self, net: nn.Module) -> None:
        for module in list(net.modules()):
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                nn.utils.parametrizations.spectral_norm(module)
