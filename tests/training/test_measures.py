"""Metrics of the group `metrics`: their values, and what is no metric."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics import Metric

from regbench.config.composing import CONFIGS
from regbench.runs.parts import build_measures
from regbench.training.measures import Measures
from tests.metrics import by_hand

SHIPPED = sorted(path.stem for path in (CONFIGS / "metrics").glob("*.yaml") if path.stem != "none")


def predictions(images: int = 300, classes: int = 10) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(1)
    labels = random.integers(0, classes, images)
    logits = random.normal(size=(images, classes)).astype(np.float32)
    logits[np.arange(images), labels] += 1
    return torch.tensor(logits), torch.tensor(labels)


def test_shipped_metrics_are_what_their_definitions_give(composed: Any) -> None:
    metrics = composed(f"metrics=[{','.join(SHIPPED)}]")["metrics"]
    assert set(metrics) == set(SHIPPED)
    logits, labels = predictions()
    measures = build_measures(metrics, 10)
    found, expected = measures.score(logits, labels), by_hand(logits.numpy(), labels.numpy())
    assert set(found) == set(expected) - {"worst_class"}
    for name, value in found.items():
        assert value == pytest.approx(expected[name], abs=1e-6), name
    other, more = predictions(50)
    measures.score(other, more)
    assert measures.score(logits, labels) == found


class Returning(Metric):
    """Returns what it is given."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def update(self, probabilities: Tensor, labels: Tensor) -> None:
        """Take nothing."""

    def compute(self) -> Any:
        """Return it, or raise it."""
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": 1.0}, "expected a number of compute(), or one for each of the 10 classes; received dict"),
        (torch.ones(3), "received a tensor of shape (3,)"),
        (torch.tensor(float("nan")), "received nan"),
        (None, "received NoneType"),
        (KeyError("b"), "KeyError: 'b'"),
    ],
)
def test_what_is_no_number_is_refused_by_the_metrics_key(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"^metrics\.mine: ") as refused:
        Measures({"mine": Returning(value)}, 10).score(*predictions(20))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_metric_that_changes_what_it_is_given_changes_no_other(composed: Any) -> None:
    class Clamping(Metric):
        def update(self, probabilities: Tensor, labels: Tensor) -> None:
            probabilities.clamp_(0.3, 1)
            labels.zero_()

        def compute(self) -> float:
            return 0.0

    own = build_measures(composed("metrics=[brier]")["metrics"], 10)._metrics
    alone, beside = (Measures({**first, **own}, 10).score(*predictions()) for first in ({}, {"a": Clamping()}))
    assert beside["brier"] == alone["brier"]


def test_a_diverged_network_gives_no_numbers_and_asks_no_metric() -> None:
    logits, labels = predictions(20)
    logits[3, 4] = float("inf")
    found = Measures({"mine": Returning(KeyError())}, 10).score(logits, labels)
    assert list(found) == ["mine"]
    assert np.isnan(found["mine"])
