"""Which settings did not act: their techniques did nothing, or their answers are the baseline's bit by bit."""

from pathlib import Path

import numpy as np
import pandas as pd

from regbench.study.comparisons import Comparison
from regbench.study.predictions import read_logits
from regbench.study.run_tables import INERT
from regbench.study.settings import NONE, switched_off

_SEED = ["seed", "split_seed"]
_NUMBERS = ["test/acc", "test/loss"]


def not_acting(comparison: Comparison) -> dict[str, str]:
    """Return the settings beside the baseline that did not act, with the reason.

    Either no run found an effect of any of its techniques, or the test logits equal the baseline's bit by bit on every
    seed that both have, as under a callback that does nothing. Where runs differ by something else than techniques,
    only the second counts.
    """
    found: dict[str, str] = {}
    baseline = comparison.runs_of(str(comparison.baseline))
    for label in comparison.labels:
        rows = comparison.runs_of(label)
        if label == comparison.baseline or rows.empty:
            continue
        if label != NONE and _all_idle(rows) and not set(rows["setting"]) & set(baseline["setting"]):
            found[label] = "layers, decays and gradients are those of the same runs without it"
        elif (seeds := _same_answers(rows, baseline)) > 0:
            shown = f"all {seeds} shared seeds" if seeds > 1 else "the one shared seed"
            found[label] = f"its test logits are those of {comparison.baseline} to the last bit on {shown}"
    return found


def idle_techniques(runs: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the labels with each technique that did nothing in any of their runs, but for those of strength zero."""
    if INERT not in runs:
        return []
    found = []
    for label, rows in runs[runs["label"] != NONE].groupby("label"):
        for technique in sorted(set.intersection(*_idle(rows))):
            if not switched_off(rows, technique).all():
                found.append((str(label), technique))
    return found


def _all_idle(rows: pd.DataFrame) -> bool:
    if INERT not in rows:
        return False
    named = zip(rows["setting"], _idle(rows), strict=True)
    return all(setting != NONE and set(setting.split("+")) == idle for setting, idle in named)


def _idle(rows: pd.DataFrame) -> list[set[str]]:
    """For each run, the techniques that are known to have done nothing."""
    if INERT not in rows:
        return [set() for _ in range(len(rows))]
    return [set(value.split("+")) if isinstance(value, str) else set() for value in rows[INERT]]


def _same_answers(rows: pd.DataFrame, baseline: pd.DataFrame) -> int:
    """Return on how many seeds the test logits are the baseline's; 0 where one differs or cannot be read."""
    if "folder" not in rows:
        return 0
    needed = [*_SEED, *_NUMBERS, "folder"]
    pairs = rows[needed].merge(baseline[needed], on=_SEED, suffixes=("", " baseline"))
    # Numbers first: files are read only where these agree.
    if pairs.empty or not all((pairs[name] == pairs[f"{name} baseline"]).all() for name in _NUMBERS):
        return 0
    for ours, theirs in zip(pairs["folder"], pairs["folder baseline"], strict=True):
        if (logits := _logits(ours)) is None or (others := _logits(theirs)) is None:
            return 0
        if not np.array_equal(logits, others):
            return 0
    return len(pairs)


def _logits(folder: object) -> np.ndarray | None:
    """Return a run's test logits; runs that were read from a CSV have no folder."""
    return read_logits(Path(folder)) if isinstance(folder, str) and folder else None
