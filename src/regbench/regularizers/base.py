"""`Regularizer`, the null object with five hooks, and `Combined`, which folds several into one."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from regbench.regularizers.returned import check_batch, check_decay, check_layers, check_penalty


class Regularizer:
    """Does nothing: this is "none". A technique overrides the hooks that it needs."""

    def before_activation(self, features: int, dims: int) -> list[nn.Module]:
        """Return layers to put between a hidden linear layer and its activation.

        Args:
            features: Channels of the slot.
            dims: Spatial dimensions of the slot: 2 in a feature map `(N, C, H, W)`, 0 in a dense layer `(N, C)`.
        """
        return []

    def after_activation(self, features: int, dims: int) -> list[nn.Module]:
        """Return layers to put after a hidden activation; arguments as in `before_activation`."""
        return []

    def decay(self, name: str, parameter: nn.Parameter) -> float:
        """Return the weight decay of a parameter, at least 0, for its optimizer's group."""
        return 0.0

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return what to train on instead of a batch.

        Args:
            images: `(N, C, S, S)` in [0, 1]; they are the data set's own memory, so change a copy.
            targets: Class probabilities `(N, num_classes)`.
        """
        return images, targets

    def penalty(self, net: nn.Module) -> Tensor | float:
        """Return a scalar to add to the training loss of each batch."""
        return 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint is to hold of the technique: numbers, texts, tensors; lists, tuples, dicts of these.

        Only needed where attributes that change while training are other objects: those that are such values are kept
        anyway, unless this is overridden.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned, when a run resumes."""


class Combined(Regularizer):
    """Several techniques as one, acting in alphabetical order of their names.

    Layers and batch changes follow one another; decays and penalties add up.

    Args:
        techniques: Techniques by name; none gives "none".
    """

    def __init__(self, techniques: Mapping[str, Regularizer]) -> None:
        self.techniques = dict(sorted(techniques.items()))

    def before_activation(self, features: int, dims: int) -> list[nn.Module]:
        """Return all techniques' layers, one after another."""
        return [
            layer
            for each in self.techniques.values()
            for layer in check_layers(each.before_activation(features, dims), each, "before_activation")
        ]

    def after_activation(self, features: int, dims: int) -> list[nn.Module]:
        """Return all techniques' layers, one after another."""
        return [
            layer
            for each in self.techniques.values()
            for layer in check_layers(each.after_activation(features, dims), each, "after_activation")
        ]

    def decay(self, name: str, parameter: nn.Parameter) -> float:
        """Return the sum of all decays."""
        return sum((check_decay(each.decay(name, parameter), each) for each in self.techniques.values()), 0.0)

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Pass the batch through all techniques."""
        for each in self.techniques.values():
            images, targets = check_batch(each.on_batch(images, targets), images, each)
        return images, targets

    def penalty(self, net: nn.Module) -> Tensor | float:
        """Return the sum of all penalties."""
        total: Tensor | float = 0.0
        for each in self.techniques.values():
            total = total + check_penalty(each.penalty(net), each)
        return total

    def state_dict(self) -> dict[str, Any]:
        """Return each technique's state by its name."""
        return {name: each.state_dict() for name, each in self.techniques.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Give each technique its own state."""
        for name, each in self.techniques.items():
            each.load_state_dict(state.get(name, {}))
