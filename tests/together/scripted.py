"""Random draws that follow from the images alone, so that a network draws the same whether it trains alone or not."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from regbench.models import Normalize
from regbench.regularizers import Combined


class Script:
    """Replaces torch's random functions, from the moment at which images are seen until they are seen again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begin()
        on_batch, normalize = Combined.on_batch, Normalize.forward

        def seen_by_techniques(techniques: Combined, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            self._see(images)
            return on_batch(techniques, images, targets)

        def seen_by_the_network(layer: Normalize, images: Tensor) -> Tensor:
            self._see(images)
            return normalize(layer, images)

        def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
            return input * (self._uniform(*input.shape) >= p).to(input.dtype) / (1 - p) if training else input

        rand, randperm = torch.rand, torch.randperm

        def uniform(*shape: int, generator: torch.Generator | None = None, **options: Any) -> Tensor:
            return (
                self._uniform(*shape).to(self._kind)
                if generator is None
                else rand(*shape, generator=generator, **options)
            )

        def permuted(count: int, generator: torch.Generator | None = None, **options: Any) -> Tensor:
            return self._uniform(count).argsort() if generator is None else randperm(count, generator=generator)

        for owner, name, function in (
            (Combined, "on_batch", seen_by_techniques),
            (Normalize, "forward", seen_by_the_network),
            (F, "dropout", dropout),
            (torch, "rand", uniform),
            (torch, "rand_like", lambda like: self._uniform(*like.shape).to(like.dtype)),
            (torch, "randn_like", lambda like: ((self._uniform(*like.shape) - 0.5) * 12**0.5).to(like.dtype)),
            (torch, "randint", lambda high, shape, device=None: (self._uniform(*shape) * high).long()),
            (torch, "randperm", permuted),
            (torch, "_sample_dirichlet", self._shares),
        ):
            monkeypatch.setattr(owner, name, function)

    def begin(self) -> None:
        """Forget what was seen, before other networks are built."""
        self._source, self._draws, self._kind = torch.zeros(()), 0, torch.float32

    def _see(self, images: Tensor) -> None:
        """Take what no order of operations and no rounding changes."""
        places = torch.arange(images.numel()).view(images.shape)
        weighted = images.detach().double() * (0.5 + 0.5 * torch.sin(places.double() * 12.9898))
        self._source, self._draws = (weighted.amax() * 256).round(), 0
        self._kind = images.dtype

    def _uniform(self, *shape: int) -> Tensor:
        """Return numbers in [0, 1): other ones at each call."""
        self._draws += 1
        places = torch.arange(torch.Size(shape).numel()).double().view(shape)
        return (torch.sin(places * 78.233 + self._source * 3.7 + self._draws * 11.3) * 43758.5453).remainder(1)

    def _shares(self, concentration: Any) -> Tensor:
        share = self._uniform(1)
        return torch.cat([share, 1 - share]).to(concentration.dtype)
