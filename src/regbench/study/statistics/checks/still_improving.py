"""Whether runs were still improving when their epochs ended, so that the budget decides a comparison."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from regbench.study.comparisons import Comparison
from regbench.study.run_tables import RUN

LATE_SHARE = 0.1


@dataclass(frozen=True)
class Improving:
    """How many of a setting's runs were best at the end of their budget.

    Attributes:
        label: The setting.
        runs: Runs of which it is known: those that trained to the end of the budget.
        at_last: Runs whose best epoch is the last one.
        late: Runs whose best epoch lies in the last tenth of the epochs (one epoch at least).
        window: How many epochs the last tenth are.
        epochs: The budget.
        sentence: What follows, in plain words; empty where less than half of the runs were late.
    """

    label: str
    runs: int
    at_last: int
    late: int
    window: int
    epochs: int
    sentence: str

    @property
    def share(self) -> float:
        """Share of runs whose best epoch is the last one; NaN where no run tells."""
        return self.at_last / self.runs if self.runs else math.nan


def still_improving(comparison: Comparison) -> dict[str, Improving]:
    """Tell, for every setting and the baseline, how many runs were best at the end of their budget.

    The best epoch is the chosen checkpoint's, by validation. Runs without validation images keep their last epoch
    whatever it is worth; where their test curve was recorded, its highest epoch is read instead, which chooses nothing.
    Else they do not count, nor do runs that early stopping ended before the budget did.

    Settings of which half of the runs or more were best in the last tenth get a sentence. Had training levelled off,
    every epoch would be equally often the best one: of 5 runs over 20 epochs, 3 or more would be late in 1 of 100
    studies.
    """
    found = {}
    curves = _curves(comparison.history)
    for label in comparison.labels:
        rows = comparison.runs_of(label)
        known = []
        falls = False
        runs = zip(*(rows[name] for name in RUN), strict=True)
        told = zip(rows["epochs"], rows["checkpoint"], rows["best_epoch"], strict=True)
        for run, (epochs, checkpoint, chosen) in zip(runs, told, strict=True):
            curve = curves.get(run, _Curve(int(epochs), None, False))
            best = int(chosen) if checkpoint == "best" and not pd.isna(chosen) else curve.best_on_test
            if best is not None and curve.epochs >= int(epochs):
                known.append(best)
                falls = falls or curve.rate_falls
        most = int(rows["epochs"].max()) if len(rows) else 0
        found[label] = _describe(label, known, most, falls)
    return found


class _Curve(NamedTuple):
    """What is needed of a run's history: its length, the epoch of the highest test accuracy, whether the rate falls."""

    epochs: int
    best_on_test: int | None
    rate_falls: bool


def _curves(history: pd.DataFrame) -> dict[tuple[Any, ...], _Curve]:
    """Return each run's, by what tells it from others."""
    if not set(RUN) <= set(history) or history.empty:
        return {}
    known = history.dropna(subset=RUN).reset_index(drop=True)
    runs = known.groupby(RUN, sort=False)
    lengths = runs.size()
    best, falls = pd.Series(math.nan, lengths.index), pd.Series(False, lengths.index)
    if "test/acc" in known and known["test/acc"].notna().any():
        highest = known.dropna(subset="test/acc").groupby(RUN, sort=False)["test/acc"].idxmax()
        best = pd.Series(known["epoch"].to_numpy()[highest], highest.index).reindex(lengths.index)
    if "lr" in known:
        rates = known.sort_values("epoch", kind="stable").groupby(RUN, sort=False)["lr"]
        last = known.loc[rates.tail(1).index].set_index(RUN)["lr"]
        falls = last.reindex(lengths.index) < rates.max().reindex(lengths.index) / 2
    epochs = [None if math.isnan(each) else int(each) for each in best]
    return dict(zip(lengths.index, map(_Curve, lengths, epochs, falls.map(bool)), strict=True))


def _describe(label: str, best: list[int], epochs: int, falls: bool) -> Improving:
    window = max(1, round(LATE_SHARE * epochs))
    at_last, late = sum(each + 1 >= epochs for each in best), sum(each + 1 > epochs - window for each in best)
    runs = len(best)
    result = Improving(label, runs, at_last, late, window, epochs, "")
    if not runs or 2 * late < runs or epochs < 2:
        return result
    if 2 * at_last >= runs or window == 1:
        place, count, sure = "at the last epoch", at_last, ""
    else:
        place, count, sure = f"in the last {window} of {epochs:,} epochs", late, "probably "
    verb = "was" if count == 1 else "were"
    who = f"{count} of {runs} runs of {label}" if runs > 1 else f"The only run of {label}"
    text = f"{who} {verb} best {place}: "
    if falls:
        text += (
            "the learning rate falls toward the end, which makes a late best epoch likely, so they may or may not gain "
            f"from more; the result holds for a schedule over {epochs:,} epochs."
        )
    else:
        pronoun = "it was" if count == 1 else "they were"
        text += (
            f"{pronoun} {sure}still improving, so the budget of {epochs:,} epochs decides: more may change the verdict."
        )
    return Improving(label, runs, at_last, late, window, epochs, text)
