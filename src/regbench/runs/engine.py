"""`Engine`: what a run leaves to whoever computes its numbers; by itself, unless others are trained with it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from regbench.data import ImageData
from regbench.runs.evaluation import predict_splits
from regbench.runs.parts import Parts, build
from regbench.training.classifier import Classifier


class Engine:
    """Computes in this process, for one run."""

    def build(self, config: Mapping[str, Any]) -> Parts:
        """Return the parts of the run.

        Raises:
            ValueError: As `regbench.runs.parts.build` does.
        """
        return build(config)

    def most_epochs(self) -> int | None:
        """Return after how many epochs the run may resume at most; after any number unless given."""
        return None

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

    def provenance(self, device: torch.device) -> dict[str, Any]:
        """Return what is recorded of where the numbers come from."""
        return {"device": str(device)}
