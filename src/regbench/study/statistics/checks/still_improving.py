"""Whether runs were still improving when their epochs ended, so that the budget decides a comparison."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from regbench.study.comparisons import Comparison

LATE_SHARE = 0.1

_RUN = ["study", "dataset", "model", "config_hash", "seed"]


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
    curves = dict(list(comparison.history.groupby(_RUN))) if set(_RUN) <= set(comparison.history) else {}
    for label in comparison.labels:
        rows = comparison.runs[comparison.runs["label"] == label]
        known = []
        falls = False
        for row in rows.to_dict("records"):
            curve = curves.get(tuple(row.get(name) for name in _RUN))
            best = _best_epoch(row, curve)
            trained = int(row["epochs"]) if curve is None else len(curve)
            if best is not None and trained >= int(row["epochs"]):
                known.append(best)
                falls = falls or _rate_falls(curve)
        epochs = int(rows["epochs"].max()) if len(rows) else 0
        found[label] = _describe(label, known, epochs, falls)
    return found


def _best_epoch(row: Mapping[Hashable, Any], curve: pd.DataFrame | None) -> int | None:
    best = row["best_epoch"]
    if row["checkpoint"] == "best" and not pd.isna(best):
        return int(best)
    if curve is None or "test/acc" not in curve or curve["test/acc"].isna().all():
        return None
    return int(curve["epoch"].to_numpy()[int(curve["test/acc"].to_numpy(dtype=float, na_value=-1.0).argmax())])


def _rate_falls(curve: pd.DataFrame | None) -> bool:
    if curve is None or "lr" not in curve or curve["lr"].isna().all():
        return False
    rates = curve.sort_values("epoch")["lr"]
    return bool(rates.iloc[-1] < rates.max() / 2)


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
