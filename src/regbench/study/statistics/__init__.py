"""How much each setting differs from the baseline, and how sure that is."""

from regbench.study.statistics.difference import ALIKE, BETTER, NOT_ACTING, TOO_FEW, WORSE, Difference
from regbench.study.statistics.verdicts import advantage_by_epoch, compare, judge

__all__ = ["ALIKE", "BETTER", "NOT_ACTING", "TOO_FEW", "WORSE", "Difference", "advantage_by_epoch", "compare", "judge"]
