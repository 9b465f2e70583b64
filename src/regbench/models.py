"""`LeNet5` and `MLP`: plain stacks of named layers with slots that a regularizer may fill.

Each hidden layer is linear → before_activation → activation → after_activation. Layers keep their names and their
order whatever the regularizer adds, so weights of different settings match by name.
"""

from collections import OrderedDict
from typing import Annotated, Literal

import torch
from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from regbench.regularizers.base import Regularizer
from regbench.seeding import stream_seed
from regbench.validation import validated

ActivationName = Literal["tanh", "relu", "sigmoid", "silu", "gelu"]
PoolingName = Literal["average", "max"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}
_POOLINGS: dict[str, type[nn.Module]] = {"average": nn.AvgPool2d, "max": nn.MaxPool2d}


class Normalize(nn.Module):
    """Subtracts the mean and divides by the standard deviation, so that the network takes images in [0, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, images: Tensor) -> Tensor:
        """Map images to their normalized form, of the same shape."""
        return (images - self.mean) / self.std


class WholeMapConv2d(nn.Conv2d):
    """A convolution whose kernel covers its whole input `(N, C, S, S)`, so its output is `(N, features)`.

    There is one position of the kernel, so a matrix product does it.
    """

    dims = 0  # spatial dimensions of its output: techniques take it for a dense layer

    def __init__(self, in_channels: int, out_channels: int, side: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=side)

    def forward(self, input: Tensor) -> Tensor:
        """Return `(N, features)`."""
        return F.linear(input.flatten(1), self.weight.flatten(1), self.bias)


class LeNet5(nn.Sequential):
    """LeNet-5 in its published forms: two convolutions with pooling, C5 over all that is left, two dense layers.

    With `padding=2` on 28×28 or `padding=0` on 32×32 it has 61,706 parameters, with `padding=0` on 28×28 44,426.
    Source: LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to document recognition; with
    full connections between S2 and C3 and a plain dense output, as usual today.

    Args:
        image_size: Side of the square input `(N, 1, S, S)`.
        padding: Zero padding of the first convolution.
        activation: Non-linearity of every hidden layer.
        pooling: Kind of 2×2 pooling.
        num_classes: Outputs.
        mean: Mean of the training pixels.
        std: Standard deviation of the training pixels.
        regularizer: Fills the slots around activations.

    Raises:
        ValueError: An argument is out of its range, or the image is too small.
    """

    @validated
    def __init__(
        self,
        image_size: PositiveInt,
        padding: NonNegativeInt,
        activation: ActivationName,
        pooling: PoolingName,
        num_classes: PositiveInt,
        mean: FiniteFloat,
        std: Annotated[FiniteFloat, Field(gt=0)],
        regularizer: Regularizer | None = None,
    ) -> None:
        side = ((image_size + 2 * padding - 4) // 2 - 4) // 2
        if side < 1:
            raise ValueError(
                f"image_size={image_size} with padding={padding} leaves no map for C5; expected 16 or more"
            )
        pool = _POOLINGS[pooling]
        hooks = regularizer or Regularizer()
        super().__init__(
            OrderedDict(
                [
                    ("normalize", Normalize(mean, std)),
                    *_hidden("c1", nn.Conv2d(1, 6, 5, padding=padding), activation, hooks, dims=2),
                    ("s2", pool(2)),
                    *_hidden("c3", nn.Conv2d(6, 16, 5), activation, hooks, dims=2),
                    ("s4", pool(2)),
                    *_hidden("c5", WholeMapConv2d(16, 120, side), activation, hooks, dims=0),
                    *_hidden("f6", nn.Linear(120, 84), activation, hooks, dims=0),
                    ("output", nn.Linear(84, num_classes)),
                ]
            )
        )


class MLP(nn.Sequential):
    """A multilayer perceptron over the flattened image.

    1024-48-48-48-48-48-48-10 has 61,450 parameters, about LeNet-5's; 784-20-10 has 15,910.

    Args:
        image_size: Side of the square input `(N, 1, S, S)`.
        hidden: Width of each hidden layer.
        activation: Non-linearity of every hidden layer.
        num_classes: Outputs.
        mean: Mean of the training pixels.
        std: Standard deviation of the training pixels.
        regularizer: Fills the slots around activations.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(
        self,
        image_size: PositiveInt,
        hidden: Annotated[list[PositiveInt], Field(min_length=1)],
        activation: ActivationName,
        num_classes: PositiveInt,
        mean: FiniteFloat,
        std: Annotated[FiniteFloat, Field(gt=0)],
        regularizer: Regularizer | None = None,
    ) -> None:
        hooks = regularizer or Regularizer()
        widths = [image_size**2, *hidden]
        layers: list[tuple[str, nn.Module]] = [("normalize", Normalize(mean, std)), ("flatten", nn.Flatten())]
        for number, (inputs, outputs) in enumerate(zip(widths, hidden, strict=False), start=1):
            layers += _hidden(f"h{number}", nn.Linear(inputs, outputs), activation, hooks, dims=0)
        layers.append(("output", nn.Linear(widths[-1], num_classes)))
        super().__init__(OrderedDict(layers))


def initialize(net: nn.Module, seed: int) -> None:
    """Draw every layer's initial weights from a stream of (seed, layer name).

    So all settings start from the same weights where shapes match, whatever else a regularizer adds. The
    distributions are PyTorch's own.
    """
    with torch.random.fork_rng(devices=[]):
        for name, module in net.named_modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                torch.manual_seed(stream_seed(seed, "initialization", name))
                reset()


def _hidden(
    name: str, linear: nn.Conv2d | nn.Linear, activation: str, hooks: Regularizer, *, dims: int
) -> list[tuple[str, nn.Module]]:
    features = linear.out_channels if isinstance(linear, nn.Conv2d) else linear.out_features
    layers: list[tuple[str, nn.Module]] = [(name, linear)]
    if before := hooks.before_activation(features, dims):
        layers.append((f"{name}_before", nn.Sequential(*before)))
    layers.append((f"{name}_activation", _ACTIVATIONS[activation]()))
    if after := hooks.after_activation(features, dims):
        layers.append((f"{name}_after", nn.Sequential(*after)))
    return layers
