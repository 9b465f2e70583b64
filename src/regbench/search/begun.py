"""Whether a search has begun in a study's folder, and whether one may. Imports no torch."""

from collections.abc import Iterator
from pathlib import Path

from regbench.search.plan import Plan
from regbench.storage.results import DamagedError
from regbench.storage.schema import JOURNAL, SEARCH, SWEEP
from regbench.storage.study_folder import find_runs
from regbench.storage.tuning import Tuning, read_tuning


def check_may_begin(plan: Plan) -> None:
    """Refuse what would be compared unfairly: runs that no search has chosen, and settings of other budgets.

    Raises:
        ValueError: In one line that names the folder or the key.
    """
    folder = plan.folder
    if (folder / SEARCH / JOURNAL).exists():
        if (begun := _readable(folder)) is not None:
            _check_asked(plan, begun)
        return
    if (folder / SWEEP).exists() or find_runs(folder)[0]:
        raise ValueError(
            f"study: expected one of a search, or a new one; {folder} holds runs that no search chose; give another "
            "study=NAME"
        )


def check_has_begun(plan: Plan) -> None:
    """Refuse what a worker would add to a search that nobody has asked for.

    Raises:
        ValueError: In one line that names the folder or the key.
    """
    begun = read_tuning(plan.folder)
    if begun is None:
        raise ValueError(
            f"{plan.folder}: expected a search, whose worker this would be; received none; begin it without --worker"
        )
    for key, asked, given in _numbers(plan, begun):
        if asked != given:
            raise ValueError(f"{key}: expected {given} of a worker, as the search has; received {asked}")
    _check_settings(plan, begun)


def _check_asked(plan: Plan, begun: Tuning) -> None:
    for key, asked, given in _numbers(plan, begun):
        if asked < given:
            raise ValueError(f"{key}: expected {given}, as the search has, or more; received {asked}")
    _check_settings(plan, begun)


def _check_settings(plan: Plan, begun: Tuning) -> None:
    known, asked = ({each.setting for each in begun.settings}, {each.name for each in plan.settings})
    if known != asked:
        raise ValueError(
            f"regularizer: expected the search's settings, {', '.join(sorted(known))}; received "
            f"{', '.join(sorted(asked))}; give another study=NAME"
        )


def _numbers(plan: Plan, begun: Tuning) -> Iterator[tuple[str, int, int]]:
    """Give how many trials and seeds are asked for, and how many the search has."""
    yield "trials", plan.protocol.trials, begun.budget
    yield "seeds", plan.protocol.seeds, begun.seeds


def _readable(folder: Path) -> Tuning | None:
    """Return what is recorded of a search; `None` where that is damaged, and will be written again."""
    try:
        return read_tuning(folder)
    except DamagedError:
        return None
