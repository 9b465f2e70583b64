"""`Measures`: the metrics of the group `metrics`, computed of whole splits."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class Measures:
    """Computes a run's further metrics; no part of the network, and without effect on its training.

    Args:
        metrics: By name. Each is given all probabilities `(N, C)`, in double precision, and labels `(N,)` of a split at
            once, and returns a number, or one for each class `(C,)`.
        classes: C.
    """

    def __init__(self, metrics: Mapping[str, Metric], classes: int) -> None:
        self._metrics = dict(metrics)
        self._classes = classes

    def __iter__(self) -> Iterator[str]:
        """Return the metrics' names."""
        return iter(self._metrics)

    @torch.inference_mode()
    def score(self, logits: Tensor, labels: Tensor) -> dict[str, float]:
        """Return each metric's value by its name.

        One that has a value for each class has these as `name/0`, `name/1` and so on, and their mean as `name`.
        Where a network has diverged, so that its logits are no numbers, values are NaN.

        Args:
            logits: `(N, C)`.
            labels: `(N,)`.

        Raises:
            ValueError: A metric fails, or returns something else; in one line that names it.
        """
        if not self._metrics:
            return {}
        if not torch.isfinite(logits).all():
            return dict.fromkeys(self._metrics, math.nan)
        # In double precision no two classes get equal probabilities whose logits differ.
        probabilities = logits.double().softmax(1)
        found: dict[str, float] = {}
        for name, metric in self._metrics.items():
            values = self._checked(name, _compute(name, metric, probabilities.clone(), labels.clone()))
            if isinstance(values, list):
                found[name] = sum(values) / len(values)
                found |= {f"{name}/{place}": value for place, value in enumerate(values)}
            else:
                found[name] = values
        return found

    def _checked(self, name: str, value: Any) -> float | list[float]:
        """Return what a metric has computed as a number, or one for each class."""
        expected = f"metrics.{name}: expected a number of compute(), or one for each of the {self._classes} classes"
        if isinstance(value, bool) or not isinstance(value, (int, float, Tensor)):
            raise ValueError(f"{expected}; received {type(value).__name__}")
        number = torch.as_tensor(value, dtype=torch.float64)
        if number.shape not in {torch.Size(()), torch.Size((self._classes,))}:
            raise ValueError(f"{expected}; received a tensor of shape {tuple(number.shape)}")
        if not torch.isfinite(number).all():
            raise ValueError(f"{expected}; received {number.tolist()}")
        values: float | list[float] = number.tolist()
        return values


def _compute(name: str, metric: Metric, probabilities: Tensor, labels: Tensor) -> Any:
    """Let a metric compute its value of these images alone."""
    try:
        metric.to(probabilities.device)
        metric.reset()
        metric.update(probabilities, labels)
        return metric.compute()
    except Exception as error:  # of whatever a metric of one's own does
        raise ValueError(f"metrics.{name}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    finally:
        metric.reset()
