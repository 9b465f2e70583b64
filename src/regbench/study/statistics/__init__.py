"""How much each setting differs from the baseline, and how sure that is."""

from regbench.study.statistics.difference import (
    BETTER,
    DECIDED,
    EQUIVALENT,
    NOT_ACTING,
    TOO_FEW,
    UNDECIDED,
    VERDICTS,
    WORSE,
    Difference,
)
from regbench.study.statistics.stages import looked_again
from regbench.study.statistics.verdicts import advantage_by_epoch, compare, judge

__all__ = [
    "BETTER",
    "DECIDED",
    "EQUIVALENT",
    "NOT_ACTING",
    "TOO_FEW",
    "UNDECIDED",
    "VERDICTS",
    "WORSE",
    "Difference",
    "advantage_by_epoch",
    "compare",
    "judge",
    "looked_again",
]
