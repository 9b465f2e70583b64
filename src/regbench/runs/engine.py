"""`Engine`: what a run leaves to whoever computes its numbers; by itself, unless others are trained with it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import Tensor

from regbench.data import ImageData
from regbench.runs.evaluation import predict_splits
from regbench.runs.parts import Parts, build
from regbench.training.classifier import Classifier

T = TypeVar("T")


class Engine:
    """Computes in this process, for one run.

    Attributes:
        identity: What a checkpoint says of it.
        recorded: What provenance says of it.
        device: Where it computes; that of the run's trainer if `None`.
        most_epochs: After how many epochs the run may resume at most; after any number if `None`.
    """

    identity: Mapping[str, Any] = MappingProxyType({})
    recorded: Mapping[str, Any] = MappingProxyType({})
    device: torch.device | None = None
    most_epochs: int | None = None

    def build(self, config: Mapping[str, Any]) -> Parts:
        """Return the parts of the run.

        Raises:
            ValueError: As `regbench.runs.parts.build` does.
        """
        return build(config)

    def predict(
        self, classifier: Classifier, data: ImageData, device: torch.device
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Return logits and labels of each whole split, on the CPU.

        Args:
            classifier: With the chosen weights.
            data: The run's.
            device: That of the trainer.
        """
        return predict_splits(classifier.net.to(device), data)

    def draw(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what a function of `regbench.drawing` draws, in this process or another.

        Args:
            function: Of a module, so that others can call it.
            arguments: Of it.
        """
        return function(*arguments)
