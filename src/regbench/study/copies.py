"""Runs that contradict each other: one run's answers under two seeds, other labels for the same test images."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from regbench.storage.schema import PREDICTIONS
from regbench.study.run_tables import DATA

LOGITS, LABELS = "answers/logits", "answers/labels"


def contradicting(rows: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Return the rows that cannot be true beside the others, by position, with the reason.

    Args:
        rows: Runs with `seed`, `split_seed`, `dataset`, `folder`; `LOGITS` and `LABELS`, digests of their predictions,
            and `DATA`, their data's hash, where these are known.
    """
    return _copied(rows) | _labelled_otherwise(rows)


def _copied(rows: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Find the same logits under several seeds: which of these gave them cannot be told."""
    found = {}
    for places in _together(rows, LOGITS).values():
        for place in places:
            others = [rows[other] for other in places if _seeds(rows[other]) != _seeds(rows[place])]
            if others:
                found[place] = (
                    f"{PREDICTIONS}: its logits are to the last bit those of seed {others[0]['seed']} "
                    f"({others[0]['folder']}), so one of the two is a copy"
                )
    return found


def _labelled_otherwise(rows: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Find runs whose test labels are not those of most runs on the same data; all of them where there is no most."""
    found = {}
    for places in _together(rows, DATA, "dataset").values():
        known = [place for place in places if rows[place].get(LABELS)]
        counts = Counter(rows[place][LABELS] for place in known).most_common(2)
        if len(counts) < 2:
            continue
        usual = counts[0][0] if counts[0][1] > counts[1][1] else None
        for place in known:
            if rows[place][LABELS] != usual:
                found[place] = f"{PREDICTIONS}: its test labels are not those of the other runs on the same data"
    return found


def _together(rows: Sequence[Mapping[str, Any]], *names: str) -> dict[tuple[Hashable, ...], list[int]]:
    """Group the positions of rows by values; rows without the first are left out."""
    groups = defaultdict(list)
    for place, row in enumerate(rows):
        if row.get(names[0]):
            groups[tuple(row.get(name) for name in names)].append(place)
    return groups


def _seeds(row: Mapping[str, Any]) -> tuple[Any, Any]:
    return row.get("seed"), row.get("split_seed")
