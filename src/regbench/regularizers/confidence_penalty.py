"""Confidence penalty."""

from typing import Annotated

from pydantic import Field, FiniteFloat
from torch import Tensor

from regbench.regularizers.base import Regularizer
from regbench.validation import validated


class ConfidencePenalty(Regularizer):
    """Rewards answers that are not sure of themselves, by their entropy.

    Equation: loss − β H(p), with the entropy H(p) = −Σ p_c log p_c of the network's answer p = softmax(logits), as a
    mean over the batch.

    Where and when: in the training loss of every batch; reported losses stay plain cross-entropy against the labels.

    Interactions: as label smoothing, which is the same with the Kullback-Leibler divergence of p from the uniform
    distribution in the other direction; both shrink confidences, and together they do so twice. `train/objective` may
    fall below 0.

    Source: Pereyra, Tucker, Chorowski, Kaiser and Hinton (2017), arXiv:1701.06548.

    Args:
        coefficient: β, at least 0; 0 equals none.

    Raises:
        ValueError: An argument is out of its range.
    """

    @validated
    def __init__(self, coefficient: Annotated[FiniteFloat, Field(ge=0)] = 0.1) -> None:
        self.coefficient = coefficient

    def penalty_on_logits(self, logits: Tensor, targets: Tensor) -> Tensor | float:
        """Return −β times the mean entropy of the answers."""
        if self.coefficient == 0:
            return 0.0
        log_probabilities = logits.log_softmax(1)
        return self.coefficient * (log_probabilities.exp() * log_probabilities).sum(1).mean()
