"""Seeds in stages: a design in which looking several times keeps false verdicts at 5 %.

At each stage a setting has its t interval, and these repeated intervals hold together, over all stages and all
settings of the family, with a probability of at least 1 - alpha. So a verdict that is read off one of them is false
with a probability of at most alpha, whenever the seeds end and for whatever reason. Each of K stages spends the same
share: the intervals are at level alpha / K / m for m settings, by Bonferroni's inequality, which asks for nothing but t
intervals that hold at each stage. The m is the whole family's and stays when settings are decided.

In simulations, exact boundaries, which use that the stages share seeds, save at most 3 % of the seeds; shares that
favour late stages, as O'Brien and Fleming's, need nearly twice the seeds where differences are large; and intervals
that hold at any number of seeds (arXiv:2310.03722) a quarter to a third more. `tools/simulations/stages.py` has the
figures.

Sources: C. Jennison and B. W. Turnbull, J. R. Statist. Soc. B 51 (1989) 305-361; K. K. G. Lan and D. L. DeMets,
Biometrika 70 (1983) 659-663.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from regbench.study.run_tables import ADDED_AFTER, STAGES

SIZES = (5, 10, 20, 40)


@dataclass(frozen=True)
class Stages:
    """A design of seeds in stages: stage 1 has the first `sizes[0]` seeds, stage 2 the first `sizes[1]`, and so on.

    Attributes:
        sizes: Seeds of a setting at each stage, all of the stages before included; 2 at least, each more than the one
            before.

    Raises:
        ValueError: The sizes are no such numbers.
    """

    sizes: tuple[int, ...] = SIZES

    def __post_init__(self) -> None:
        if not self.sizes or any(type(size) is not int for size in self.sizes) or not _ascends((1, *self.sizes)):
            raise ValueError(
                f"stages: expected ascending numbers of seeds from 2 on, such as 5, 10, 20; received {list(self.sizes)}"
            )

    def seeds(self, stage: int) -> range:
        """Return the seeds of a stage, counted from 1, with those of the stages before."""
        return range(self.sizes[stage - 1])

    def new_seeds(self, stage: int) -> range:
        """Return the seeds that a stage, counted from 1, adds."""
        return range(self.sizes[stage - 2] if stage > 1 else 0, self.sizes[stage - 1])

    def seen(self, runs: pd.DataFrame, stage: int | None) -> pd.DataFrame:
        """Return the runs that a stage, counted from 1, looks at; none before the first."""
        return runs[runs["seed"].isin(self.seeds(stage) if stage else ())]


class Look(NamedTuple):
    """One of a design's looks at a family.

    Attributes:
        stage: Its stage, counted from 1; None before the first is whole.
        stages: How many there are.
        settings: How many settings the family has, decided ones included.
    """

    stage: int | None
    stages: int
    settings: int

    @property
    def together(self) -> int:
        """How many intervals must hold together: each setting's at each stage."""
        return self.stages * max(self.settings, 1)


def stages_of(runs: pd.DataFrame) -> Stages | None:
    """Return the stages that a family's seeds came in, as its runs know them; None where they did not.

    Runs of several studies with different stages count as looked at whenever one of these looked.
    """
    if STAGES not in runs:
        return None
    sizes = {int(size) for text in runs[STAGES].dropna().unique() for size in str(text).split(", ")}
    return Stages(tuple(sorted(sizes))) if sizes else None


def looked_again(runs: pd.DataFrame) -> str | None:
    """Warn of seeds that were added to a fixed number of seeds after these had finished; None where there are none.

    Args:
        runs: A family's, or a study's, rows of `Study.runs`.
    """
    if ADDED_AFTER not in runs or stages_of(runs) is not None:
        return None
    later = runs.dropna(subset=[ADDED_AFTER])
    steps = [
        f"{rows['seed'].nunique()} after {int(float(str(before)))}"
        for before, rows in later.groupby(ADDED_AFTER, sort=True)
    ]
    if not steps:
        return None
    return (
        f"Seeds were added after others had finished: {', '.join(steps)}. Adding seeds after a look at the verdicts "
        "and looking again raises false verdicts above the 5 % that the intervals promise, to 19 to 26 % where it is "
        "done seed by seed; seeds=until_sure counts the looks."
    )


def _ascends(sizes: Sequence[int]) -> bool:
    return all(one < other for one, other in itertools.pairwise(sizes))
