"""`Regularizer`, the null object with hooks, and `Combined`, which folds several into one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regbench.regularizers.returned import check_batch, check_decay, check_layers, check_penalty
from regbench.seeding import stream_seed


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

    def prepare(self, net: nn.Module) -> None:
        """Change the network, built and initialized, in place: parametrize layers, say.

        Random numbers come from torch's global stream, which is seeded for each technique by itself.
        """

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

    def penalty_on_logits(self, logits: Tensor, targets: Tensor) -> Tensor | float:
        """Return a scalar to add to the training loss of each batch, by what the network answers.

        Args:
            logits: `(N, C)`.
            targets: Class probabilities `(N, C)`, as `on_batch` left them.
        """
        return 0.0

    def on_gradients(self, net: nn.Module, recompute: Callable[[], None]) -> None:
        """Change the gradients of a step in place: each parameter's `.grad`, without recording.

        Args:
            net: The network after the backward pass.
            recompute: Replaces the gradients by those of the same batch, with the same random numbers, at the weights
                as they are now; techniques that act before this one change them again. Buffers stay as they were.
        """

    def after_step(self, net: nn.Module) -> None:
        """Change the weights in place after each step of the optimizer, without recording."""

    def fills(self, hook: str) -> bool:
        """Return whether the technique overrides the hook of this name."""
        return getattr(type(self), hook) is not getattr(Regularizer, hook)

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

    def prepare(self, net: nn.Module) -> None:
        """Let all techniques change the network, each with a random stream of its own from torch's seed."""
        seed = torch.initial_seed()
        for name, each in self.techniques.items():
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(stream_seed(seed, "preparation", name))
                each.prepare(net)

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
            total = total + check_penalty(each.penalty(net), each, "penalty")
        return total

    def penalty_on_logits(self, logits: Tensor, targets: Tensor) -> Tensor | float:
        """Return the sum of all penalties on the logits."""
        total: Tensor | float = 0.0
        for each in self.techniques.values():
            total = total + check_penalty(each.penalty_on_logits(logits, targets), each, "penalty_on_logits")
        return total

    def on_gradients(self, net: nn.Module, recompute: Callable[[], None]) -> None:
        """Pass the gradients through all techniques; what one recomputes has passed through those before it."""
        self._pass_gradients([*self.techniques.values()], net, recompute)

    def after_step(self, net: nn.Module) -> None:
        """Pass the weights through all techniques."""
        for each in self.techniques.values():
            each.after_step(net)

    def fills(self, hook: str) -> bool:
        """Return whether any technique overrides the hook of this name."""
        return any(each.fills(hook) for each in self.techniques.values())

    def state_dict(self) -> dict[str, Any]:
        """Return each technique's state by its name."""
        return {name: each.state_dict() for name, each in self.techniques.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Give each technique its own state."""
        for name, each in self.techniques.items():
            each.load_state_dict(state.get(name, {}))

    def _pass_gradients(self, techniques: Sequence[Regularizer], net: nn.Module, recompute: Callable[[], None]) -> None:
        for index, each in enumerate(techniques):

            def again(before: Sequence[Regularizer] = techniques[:index]) -> None:
                recompute()
                self._pass_gradients(before, net, recompute)

            each.on_gradients(net, again)
