"""`Regularizer`, the null object with five hooks, and `Combined`, which folds several into one."""

from collections.abc import Mapping

from torch import Tensor, nn


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
            images: `(N, 1, S, S)` in [0, 1]; they are the data set's own memory, so change a copy.
            targets: Class probabilities `(N, C)`.
        """
        return images, targets

    def penalty(self, net: nn.Module) -> Tensor | float:
        """Return a scalar to add to the training loss of each batch."""
        return 0.0


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
        return [layer for each in self.techniques.values() for layer in each.before_activation(features, dims)]

    def after_activation(self, features: int, dims: int) -> list[nn.Module]:
        """Return all techniques' layers, one after another."""
        return [layer for each in self.techniques.values() for layer in each.after_activation(features, dims)]

    def decay(self, name: str, parameter: nn.Parameter) -> float:
        """Return the sum of all decays."""
        return sum((each.decay(name, parameter) for each in self.techniques.values()), 0.0)

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Pass the batch through all techniques."""
        for each in self.techniques.values():
            images, targets = each.on_batch(images, targets)
        return images, targets

    def penalty(self, net: nn.Module) -> Tensor | float:
        """Return the sum of all penalties."""
        total: Tensor | float = 0.0
        for each in self.techniques.values():
            total = total + each.penalty(net)
        return total
