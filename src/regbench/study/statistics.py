"""How much each setting differs from the baseline, and how sure that is."""

from dataclasses import dataclass

import pandas as pd

from regbench.study.axes import Comparison


@dataclass(frozen=True)
class Difference:
    """One setting against the baseline; differences in the metric's unit, accuracies as fractions.

    Attributes:
        label: The setting.
        baseline: The label that it is compared with.
        n: Pairs of runs with the same seed; the smaller number of runs where unpaired.
        mean: Mean difference, setting minus baseline.
        sd: Standard deviation of the paired differences; NaN where unpaired or n < 2.
        low: Lower end of the simultaneous 95 % interval; NaN where there is none.
        high: Its upper end.
        p: Of the two-sided t-test, paired, or Welch's.
        p_holm: `p` after Holm's adjustment over the family; it alone decides.
        p_permutation: Exact sign-flip permutation p (unpaired: of the group labels), a check that never decides.
        p_beats: Share of seeds on which the setting beats the baseline, ties half.
        detectable: Smallest true difference that n seeds show with 80 % power at Holm's first step.
        seeds_needed: Seeds a setting for `detectable` to come down to the margin; None where unknown.
        paired: Whether seeds are shared.
        verdict: `"better"`, `"worse"`, `"not distinguishable"` or `"too few seeds"`.
        sentence: All that in one sentence.
    """

    label: str
    baseline: str
    n: int
    mean: float
    sd: float
    low: float
    high: float
    p: float
    p_holm: float
    p_permutation: float
    p_beats: float
    detectable: float
    seeds_needed: int | None
    paired: bool
    verdict: str
    sentence: str


def compare(comparison: Comparison, metric: str = "test/acc", margin: float = 0.003) -> list[Difference]:
    """Compare every setting of a family with its baseline; empty where the family has no baseline."""
    raise NotImplementedError


def advantage_by_epoch(comparison: Comparison, metric: str = "val/acc") -> pd.DataFrame:
    """Give each setting's lead over the baseline at every epoch: label, epoch (1-based), mean, low, high."""
    raise NotImplementedError


def test_set_error(accuracy: float, n: int) -> float:
    """Binomial standard error of an accuracy measured once on n test images."""
    raise NotImplementedError
