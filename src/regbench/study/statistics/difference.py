"""One setting's difference from the baseline, as a report shows it."""

from dataclasses import dataclass

BETTER, WORSE, ALIKE, TOO_FEW = "better", "worse", "not distinguishable", "too few seeds"
NOT_ACTING = "did not act"


@dataclass(frozen=True)
class Difference:
    """One setting against the baseline; differences in the metric's unit, accuracies as fractions.

    Attributes:
        label: The setting.
        baseline: The label that it is compared with.
        n: Pairs of runs with the same seed; the smaller number of runs where unpaired.
        mean: Mean difference, setting minus baseline.
        sd: Standard deviation of the paired differences; NaN where unpaired or n < 2.
        low: Lower end of the interval, simultaneous over the family (see `intervals`); NaN where
            nothing could be tested.
        high: Its upper end.
        p: Of the two-sided t-test, paired, or Welch's where unpaired.
        p_holm: `p` after Holm's adjustment over the family; it alone decides.
        p_permutation: Exact sign-flip permutation p (unpaired: of the group labels), a check that never decides.
        p_beats: Share of seeds on which the setting beats the baseline, ties half; unpaired: of all pairs of runs.
        detectable: Smallest true difference that these seeds show with 80 % power at Holm's first step.
        seeds_needed: Seeds a setting for `detectable` to come down to the margin; None where unknown.
        paired: Whether seeds are shared.
        verdict: `"better"`, `"worse"`, `"not distinguishable"` or `"too few seeds"`; `"did not act"` where it is the
            baseline by another name, which is no verdict: nothing is tested then.
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
