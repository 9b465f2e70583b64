"""A network of your own: `model=template_name`."""

from collections import OrderedDict
from typing import Annotated

from pydantic import Field, FiniteFloat, PositiveInt
from torch import nn

from regbench.models import Normalize, PerChannel, PositivePerChannel
from regbench.regularizers import Regularizer
from regbench.validation import validated


class TemplateName(nn.Sequential):
    """One convolution with pooling and one hidden dense layer: an example to replace.

    It maps images `(N, channels, S, S)` in [0, 1] to logits `(N, num_classes)`. Normalization is the first layer, and
    the last one is called `output`. Each hidden activation has a slot before and after it, which the regularizer fills.

    Args:
        width: Channels of the convolution.
        image_size: S; data sets are resized to it.
        channels: Of the images.
        num_classes: Outputs.
        mean: Mean of the training pixels; one number, or one a channel.
        std: Their standard deviation, likewise.
        regularizer: Fills the slots.
    """

    @validated
    def __init__(
        self,
        width: PositiveInt,
        image_size: Annotated[int, Field(ge=2)],
        channels: PositiveInt,
        num_classes: PositiveInt,
        mean: FiniteFloat | PerChannel,
        std: Annotated[FiniteFloat, Field(gt=0)] | PositivePerChannel,
        regularizer: Regularizer | None = None,
    ) -> None:
        hooks = regularizer or Regularizer()
        inputs = width * (image_size // 2) ** 2
        super().__init__(
            OrderedDict(
                [
                    ("normalize", Normalize(mean, std, channels)),
                    *hidden("conv", nn.Conv2d(channels, width, 3, padding=1), width, 2, hooks),
                    ("pool", nn.AvgPool2d(2)),
                    ("flatten", nn.Flatten()),
                    *hidden("dense", nn.Linear(inputs, 32), 32, 0, hooks),
                    ("output", nn.Linear(32, num_classes)),
                ]
            )
        )


def hidden(name: str, linear: nn.Module, features: int, dims: int, hooks: Regularizer) -> list[tuple[str, nn.Module]]:
    """Return a layer with its activation, and what a technique puts before and after that.

    Args:
        name: The layer's; it is the same whatever the technique.
        linear: The layer.
        features: Its output's channels.
        dims: 2 where its output is a feature map, 0 where it is a vector.
        hooks: The regularizer.
    """
    return [
        (name, linear),
        (f"{name}_before", nn.Sequential(*hooks.before_activation(features, dims))),
        (f"{name}_activation", nn.ReLU()),
        (f"{name}_after", nn.Sequential(*hooks.after_activation(features, dims))),
    ]
