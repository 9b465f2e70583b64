"""`LeNet5`, `MLP` and `ResNet`: stacks of named layers with slots that a regularizer may fill.

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
PerChannel = Annotated[list[FiniteFloat], Field(min_length=1)]
PositivePerChannel = Annotated[list[Annotated[FiniteFloat, Field(gt=0)]], Field(min_length=1)]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}
_POOLINGS: dict[str, type[nn.Module]] = {"average": nn.AvgPool2d, "max": nn.MaxPool2d}


class Normalize(nn.Module):
    """Subtracts the mean and divides by the standard deviation, so that the network takes images in [0, 1].

    Args:
        mean: One number, or one a channel.
        std: Likewise.
        channels: Of the images.

    Raises:
        ValueError: There is a number for each of another count of channels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float | list[float], std: float | list[float], channels: int = 1) -> None:
        super().__init__()
        for name, value in (("mean", mean), ("std", std)):
            if isinstance(value, list) and len(value) != channels:
                raise ValueError(
                    f"{name}: expected one number, or one for each of {channels} channels; received {value}"
                )
            number = torch.tensor(value)
            self.register_buffer(name, number.view(-1, 1, 1) if isinstance(value, list) else number)

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

    With `padding=2` on 28×28 or `padding=0` on 32×32 it has 61,706 parameters, with `padding=0` on 28×28 44,426; three
    channels add 300.
    Source: LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to document recognition; with
    full connections between S2 and C3 and a plain dense output, as usual today.

    Args:
        image_size: Side of the square input `(N, C, S, S)`.
        padding: Zero padding of the first convolution.
        activation: Non-linearity of every hidden layer.
        pooling: Kind of 2×2 pooling.
        num_classes: Outputs.
        mean: Mean of the training pixels; one number, or one a channel.
        std: Standard deviation of the training pixels, likewise.
        regularizer: Fills the slots around activations.
        channels: C, 1 for grey images and 3 for colour.

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
        mean: FiniteFloat | PerChannel,
        std: Annotated[FiniteFloat, Field(gt=0)] | PositivePerChannel,
        regularizer: Regularizer | None = None,
        channels: PositiveInt = 1,
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
                    ("normalize", Normalize(mean, std, channels)),
                    *_hidden("c1", nn.Conv2d(channels, 6, 5, padding=padding), activation, hooks, dims=2),
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

    1024-48-48-48-48-48-48-10 has 61,450 parameters, about LeNet-5's; 784-20-10 has 15,910. Channels are flattened too.

    Args:
        image_size: Side of the square input `(N, C, S, S)`.
        hidden: Width of each hidden layer.
        activation: Non-linearity of every hidden layer.
        num_classes: Outputs.
        mean: Mean of the training pixels; one number, or one a channel.
        std: Standard deviation of the training pixels, likewise.
        regularizer: Fills the slots around activations.
        channels: C, 1 for grey images and 3 for colour.

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
        mean: FiniteFloat | PerChannel,
        std: Annotated[FiniteFloat, Field(gt=0)] | PositivePerChannel,
        regularizer: Regularizer | None = None,
        channels: PositiveInt = 1,
    ) -> None:
        hooks = regularizer or Regularizer()
        widths = [channels * image_size**2, *hidden]
        layers: list[tuple[str, nn.Module]] = [("normalize", Normalize(mean, std, channels)), ("flatten", nn.Flatten())]
        for number, (inputs, outputs) in enumerate(zip(widths, hidden, strict=False), start=1):
            layers += _hidden(f"h{number}", nn.Linear(inputs, outputs), activation, hooks, dims=0)
        layers.append(("output", nn.Linear(widths[-1], num_classes)))
        super().__init__(OrderedDict(layers))


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions whose output is added to the block's input before the second activation.

    Where maps shrink or become more, the input takes every second row and column, and zeros fill the new maps, so a
    shortcut has no parameters (option A of the paper).

    Args:
        inputs: Maps that come in.
        features: Maps that go out.
        stride: Of the first convolution.
        activation: Non-linearity after each convolution.
        hooks: Fill the slots around activations; that before the second acts on the convolution's output alone.
    """

    def __init__(self, inputs: int, features: int, stride: int, activation: ActivationName, hooks: Regularizer) -> None:
        super().__init__()
        self.stride = stride
        self.added = features - inputs
        first = nn.Conv2d(inputs, features, 3, stride, padding=1)
        second = nn.Conv2d(features, features, 3, padding=1)
        layers = [*_hidden("c1", first, activation, hooks, dims=2), *_hidden("c2", second, activation, hooks, dims=2)]
        summed = [name for name, _ in layers].index("c2_activation")
        self.branch = nn.Sequential(OrderedDict(layers[:summed]))
        self.output = nn.Sequential(OrderedDict(layers[summed:]))

    def forward(self, maps: Tensor) -> Tensor:
        """Map `(N, inputs, S, S)` to `(N, features, S / stride, S / stride)`."""
        shortcut = maps[:, :, :: self.stride, :: self.stride] if self.stride > 1 else maps
        if self.added:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.added))
        return self.output(self.branch(maps) + shortcut)  # type: ignore[no-any-return]  # nn.Module's call is untyped


class ResNet(nn.Sequential):
    """A residual network for small images: a convolution, three stages of residual blocks, the mean over all positions.

    Stages have once, twice and four times `width` maps; the second and third halve their sides. With three blocks a
    stage and width 16 it is ResNet-20 of the paper's section 4.2. The paper's network has batch norm before every
    activation: that is `regularizer=batchnorm` here, which fills just these slots, and `none` is the same network
    without. So a comparison with `none` says what batch norm brings; other techniques beside it are a list, such as
    `regularizer=[batchnorm,dropout]`. Biases of convolutions stay in both, so in colour with ten classes it has 269,034
    parameters, to which batch norm adds 1,376. The mean over positions is a hidden vector, after which techniques for
    dense layers act (dropout before the last layer, as is usual); those before activations do not act there.

    Source: He, Zhang, Ren and Sun (2015), arXiv:1512.03385; initial weights are PyTorch's own.

    Args:
        image_size: Side of the square input `(N, C, S, S)`.
        blocks: Residual blocks in each stage; the depth is 6 · blocks + 2.
        width: Maps of the first stage.
        activation: Non-linearity of every hidden layer.
        num_classes: Outputs.
        mean: Mean of the training pixels; one number, or one a channel.
        std: Standard deviation of the training pixels, likewise.
        regularizer: Fills the slots around activations.
        channels: C, 1 for grey images and 3 for colour.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(
        self,
        image_size: Annotated[int, Field(ge=4)],
        blocks: PositiveInt,
        width: PositiveInt,
        activation: ActivationName,
        num_classes: PositiveInt,
        mean: FiniteFloat | PerChannel,
        std: Annotated[FiniteFloat, Field(gt=0)] | PositivePerChannel,
        regularizer: Regularizer | None = None,
        channels: PositiveInt = 1,
    ) -> None:
        hooks = regularizer or Regularizer()
        layers: list[tuple[str, nn.Module]] = [("normalize", Normalize(mean, std, channels))]
        layers += _hidden("c1", nn.Conv2d(channels, width, 3, padding=1), activation, hooks, dims=2)
        inputs = width
        for stage, features in enumerate((width, 2 * width, 4 * width), start=1):
            for number in range(1, blocks + 1):
                stride = 2 if stage > 1 and number == 1 else 1
                block = ResidualBlock(inputs, features, stride, activation, hooks)
                layers.append((f"stage{stage}_block{number}", block))
                inputs = features
        layers += [("mean", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]
        if after := hooks.after_activation(inputs, 0):
            layers.append(("flatten_after", nn.Sequential(*after)))
        layers.append(("output", nn.Linear(inputs, num_classes)))
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
