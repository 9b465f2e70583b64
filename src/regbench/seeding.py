"""Random streams: each use of randomness has its own seed, so that no setting shifts the numbers of another."""

import hashlib

import torch
from torch import Tensor


def stream_seed(seed: int, *names: str | int) -> int:
    """Return the 63-bit seed of a random stream of its own, so that no stream shifts another."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stratified_order(labels: Tensor, seed: int) -> Tensor:
    """Return an order of all examples, `(N,)`, every beginning of which is stratified.

    Each class is shuffled and its members are spread evenly over [0, 1); sorting all by their place mixes the classes
    in their shares. So a part is a beginning, and smaller parts lie within larger ones.
    """
    generator = torch.Generator().manual_seed(stream_seed(seed, "split"))
    place = torch.empty(len(labels), dtype=torch.float64)
    for label in labels.unique():
        members = (labels == label).nonzero().squeeze(1)
        members = members[torch.randperm(len(members), generator=generator)]
        offset = torch.rand(1, generator=generator, dtype=torch.float64)
        place[members] = (torch.arange(len(members)) + offset) / len(members)
    return place.argsort()


def batch_order(count: int, seed: int, epoch: int) -> Tensor:
    """Return the order of the training examples in an epoch, `(count,)`: a function of its arguments alone."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(stream_seed(seed, "order", epoch)))
