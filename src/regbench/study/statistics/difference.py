"""One setting's difference from the baseline, as a report shows it."""

import math
from dataclasses import dataclass

from regbench.storage.schema import Kind
from regbench.study.measured import Quantity
from regbench.study.statistics.evidence import Evidence
from regbench.study.statistics.power import SeedsRange

BETTER, WORSE, EQUIVALENT, UNDECIDED = "better", "worse", "equivalent", "undecided"
TOO_FEW, NOT_ACTING = "too few seeds", "did not act"
DECIDED = frozenset({BETTER, WORSE, EQUIVALENT})
VERDICTS = (BETTER, WORSE, EQUIVALENT, UNDECIDED, TOO_FEW, NOT_ACTING)


@dataclass(frozen=True)
class Difference:
    """One setting against the baseline; differences in the metric's unit, accuracies as fractions.

    Attributes:
        label: The setting.
        baseline: The label that it is compared with.
        metric: What is compared, a column of the runs such as `test/acc`.
        n: Pairs of runs with the same seed; the smaller number of runs where unpaired.
        mean: Mean difference, setting minus baseline.
        sd: Standard deviation of the paired differences; NaN where unpaired or n < 2.
        low: Lower end of the interval, simultaneous over the family (see `intervals`); NaN where nothing could be
            tested.
        high: Its upper end.
        margin: The smallest difference that matters; NaN for a metric without one.
        verdict: Read off the interval, see `verdict_of`; `"too few seeds"` where there is none, and `"did not act"`
            where the setting is the baseline by another name, which is no verdict: nothing is tested then.
        p: Of the two-sided t-test, paired, or Welch's where unpaired.
        p_adjusted: `p` adjusted for the number of settings by the intervals' method, so that it is below 5 % exactly
            where the interval excludes 0.
        p_permutation: Exact sign-flip permutation p (unpaired: of the group labels), a check that never decides.
        p_beats: Share of seeds on which the setting beats the baseline, ties half; unpaired: of all pairs of runs.
        detectable: Smallest true difference that as many seeds show with 80 % power.
        seeds_needed: Seeds a setting for `detectable` to come down to the margin; None where unknown.
        paired: Whether seeds are shared.
        sentence: All that in one sentence.
        doubts: What in the runs makes the interval doubtful, and a robust second opinion then; a sentence each.
        evidence: What all of it comes from.
        low_new_images: Lower end of the interval that also counts the sampling of test images; NaN where not known.
        high_new_images: Its upper end.
        stage: Where seeds come in stages, the one that gave the verdict, counted from 1, or the last whole one of an
            undecided setting; None before the first is whole.
        stages: How many stages there are; 0 where seeds do not come in stages.
        together: How many intervals hold together with 95 %: the settings, times the stages; 0 where nothing is tested.
        own_kind: What the metric is, where it is none that every run has.
    """

    label: str
    baseline: str
    metric: str
    n: int
    mean: float
    sd: float
    low: float
    high: float
    margin: float
    verdict: str
    p: float
    p_adjusted: float
    p_permutation: float
    p_beats: float
    detectable: float
    seeds_needed: SeedsRange | None
    paired: bool
    sentence: str
    doubts: tuple[str, ...]
    evidence: Evidence
    low_new_images: float = math.nan
    high_new_images: float = math.nan
    stage: int | None = None
    stages: int = 0
    together: int = 0
    own_kind: Kind | None = None

    @property
    def kind(self) -> Kind:
        """What the metric is: its direction, its unit."""
        return self.own_kind or Quantity.of(self.metric).kind

    @property
    def within_margin(self) -> bool:
        """Whether the interval lies inside the margin: whatever the difference is, it is too small to matter."""
        return -self.margin < self.low and self.high < self.margin

    @property
    def outcomes(self) -> tuple[int, int, int]:
        """In how many comparisons the setting wins, ties and loses: seeds, or where unpaired pairs of runs."""
        higher, level, lower = self.evidence.outcomes
        return (higher, level, lower) if self.kind.higher_is_better else (lower, level, higher)

    @property
    def leaning(self) -> str:
        """`"better"` or `"worse"` for an undecided setting whose interval has 0 in its outer quarter, else nothing."""
        if self.verdict != UNDECIDED or abs(self.mean) <= (self.high - self.low) / 4:
            return ""
        return BETTER if (self.mean > 0) == self.kind.higher_is_better else WORSE


def verdict_of(low: float, high: float, margin: float, higher: bool) -> str:
    """Read the verdict off an interval.

    Better or worse where it excludes 0, whatever the margin; else equivalent where it lies inside the margin, which is
    what two one-sided tests at half the interval's level conclude (Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987));
    else undecided.

    Args:
        low: The interval's lower end; NaN where there is no interval.
        high: Its upper end.
        margin: The smallest difference that matters, above 0; NaN where none is known, so that nothing is equivalent.
        higher: Whether a higher value of the metric is better.
    """
    if math.isnan(low):
        return TOO_FEW
    if low > 0 or high < 0:
        return BETTER if (low > 0) == higher else WORSE
    return EQUIVALENT if -margin < low and high < margin else UNDECIDED
