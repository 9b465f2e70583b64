"""A network's summary: each layer's output shape, and its parameter count with the arithmetic."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class Layer(NamedTuple):
    """One layer: its name, type, output shape without the batch, how its parameters are counted, and their number."""

    name: str
    kind: str
    shape: tuple[int, ...]
    arithmetic: str
    parameters: int


def summarize(net: nn.Module, image_size: int, channels: int = 1) -> list[Layer]:
    """Return the layers in the order in which an image `(C, S, S)` passes them."""
    rows: list[Layer] = []

    def record(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, _: Any, output: Tensor) -> None:
            count = sum(each.numel() for each in module.parameters() if each.requires_grad)
            rows.append(Layer(name, type(module).__name__, tuple(output.shape[1:]), _arithmetic(module, count), count))

        return hook

    handles = [module.register_forward_hook(record(name)) for name, module in _layers(net)]
    was_training = net.training
    net.eval()
    with torch.inference_mode():
        net(torch.zeros(1, channels, image_size, image_size))
    net.train(was_training)
    for handle in handles:
        handle.remove()
    return rows


def _layers(net: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Give what has no layers inside; what parametrizes a layer's weights is no layer."""
    children = list(net.named_children())
    if not children or parametrize.is_parametrized(net):
        yield name, net
        return
    for inner, child in children:
        yield from _layers(child, f"{name}.{inner}" if name else inner)


def _arithmetic(module: nn.Module, count: int) -> str:
    """Spell out a layer's parameter count: kernel height · width · inputs · outputs + biases, and the like."""
    if isinstance(module, nn.Conv2d):
        height, width = module.kernel_size
        terms = [height, width, module.in_channels // module.groups, module.out_channels]
    elif isinstance(module, nn.Linear):
        terms = [module.in_features, module.out_features]
    elif isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
        return f"2·{module.num_features}"
    else:
        return " + ".join(str(each.numel()) for each in module.parameters()) if count else ""
    bias = f" + {module.bias.numel()}" if module.bias is not None else ""
    return "·".join(map(str, terms)) + bias
