"""How long a sweep still takes, from how long the epochs of this call took."""

from collections.abc import Iterable, Sequence
from statistics import fmean

from regbench.sweeps.states import RunState, SettingState


def seconds_left(settings: Sequence[SettingState], at_once: int = 0) -> float | None:
    """Return how long the runs that are left take, with as many at a time as now; None where that is not known.

    It is not known before a first epoch, where nobody trains, where a run has no largest number of epochs, or where
    there are to be runs that are not known yet. Settings without an epoch so far count as fast as the others.

    Args:
        settings: How they stand.
        at_once: How many runs were seen under way a moment ago, for workers that are between two runs just now.
    """
    running = [each for setting in settings for each in setting.of("running")]
    paces = [each for setting in settings for each in _paces(setting.runs)]
    known = sum(each.state in {"stopped", "left"} for setting in settings for each in setting.runs)
    if not running or not paces or known < sum(setting.left for setting in settings):
        return None
    usual = fmean(paces)
    total, longest, unfinished = 0.0, 0.0, 0
    for setting in settings:
        own = _paces(setting.runs)
        pace = fmean(own) if own else usual
        for each in setting.runs:
            if each.state not in {"running", "stopped", "left"}:
                continue
            if not each.budget:
                return None
            unfinished += 1
            seconds = max(0, each.budget - each.epochs.trained) * pace
            total += seconds
            longest = max(longest, seconds)
    return max(total / min(max(len(running), at_once), unfinished), longest)


def in_words(seconds: float) -> str:
    """Write a time as people say it: `45 s`, `3 min`, `1 h 05 min`, `2 d 3 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def _paces(runs: Iterable[RunState]) -> list[float]:
    return [each.pace for each in runs if each.pace is not None]
