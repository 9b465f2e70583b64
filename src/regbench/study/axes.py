"""What differs between the runs of a study: the settings' labels, the families that are fair to compare, the axes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from regbench.study.results import Study


@dataclass(frozen=True)
class Comparison:
    """A family of settings that may fairly be compared: all else in their configurations is the same.

    Attributes:
        title: What the runs share and other families of the study do not: `"fashion_mnist, lenet5, 5 epochs"`.
        baseline: The label that the others are compared with; None where no run of this family has it.
        labels: In the order of display, the baseline first.
        runs: The family's rows of `Study.runs`.
        history: The family's rows of `Study.history`.
        where: The values of the other axes that tell this family from the study's others, by column of `runs`.
    """

    title: str
    baseline: str | None
    labels: tuple[str, ...]
    runs: pd.DataFrame
    history: pd.DataFrame
    where: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StrengthAxis:
    """A number that was varied: a technique's parameter, or another value such as `train_size`.

    Attributes:
        key: The column of `Study.runs` that holds it.
        title: For the figure's axis: `"dropout p"`.
        values: Those that were run, ascending.
        log: Whether the positive values span more than a factor of 20, so that a logarithmic axis shows them.
        runs: Rows of `Study.runs` with a column `value`; several labels only on an axis that is no technique's.
        pick: The value of the highest mean validation accuracy; None without validation or where more data always wins.
        where: As in `Comparison`.
    """

    key: str
    title: str
    values: tuple[float, ...]
    log: bool
    runs: pd.DataFrame
    pick: float | None
    where: dict[str, Any] = field(default_factory=dict)


def comparisons(study: Study, baseline: str = "none") -> list[Comparison]:
    """Split a study into families, one a combination of the axes that are not the regularizer's."""
    raise NotImplementedError


def strength_axes(study: Study) -> list[StrengthAxis]:
    """Find the numbers that took three values or more while all else stayed."""
    raise NotImplementedError
