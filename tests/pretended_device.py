"""A device that only pretends: torch's `meta`, on which tensors have shapes and no numbers.

What steps on it asks for no number, since there is none; what it takes from the host is refused. On a GPU either waits,
and cannot be recorded in a CUDA graph.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = torch.device("meta")
# They copy to the device without an operation that others see.
_COPYING = (torch.tensor, torch.as_tensor, torch.asarray, torch.from_numpy)


@contextlib.contextmanager
def on_the_device_alone() -> Iterator[None]:
    """Refuse all that has to do with tensors of the host; a Python number is part of what is launched."""
    with _NothingMade(), _NothingElsewhere():
        yield


class _NothingElsewhere(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        held = [each for each in tree_leaves((args, kwargs, found)) if isinstance(each, Tensor)]
        if any(each.device != DEVICE and each.dim() for each in held):
            raise AssertionError(f"{function} of the host: {[(each.device.type, *each.shape) for each in held]}")
        return found


class _NothingMade(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in _COPYING:
            raise AssertionError(f"{function.__name__} copies from the host")
        return function(*args, **(kwargs or {}))


def draw_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let drawn shares have a shape on the pretended device, of which torch's own sampler knows nothing."""
    monkeypatch.setattr(torch, "_sample_dirichlet", torch.rand_like)
