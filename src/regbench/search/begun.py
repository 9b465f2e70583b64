"""Whether a search has begun in a study's folder, and whether one may. Imports no torch."""

from regbench.search.journal import JOURNAL
from regbench.search.plan import Plan
from regbench.storage.schema import SEARCH, SWEEP
from regbench.storage.study_folder import find_runs
from regbench.storage.tuning import read_tuning


def check_may_begin(plan: Plan) -> None:
    """Refuse a folder with runs that no search has chosen: beside tuned settings they would be compared unfairly.

    Raises:
        ValueError: In one line that names the folder.
    """
    folder = plan.folder
    if (folder / SEARCH / JOURNAL).exists():
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
    protocol = plan.protocol
    for key, asked, given in (("trials", protocol.trials, begun.budget), ("seeds", protocol.seeds, begun.seeds)):
        if asked > given:
            raise ValueError(
                f"{key}: expected {given} as the search has, or fewer; received {asked}; leave out --worker"
            )
    known = [each.setting for each in begun.settings]
    if unknown := [each.name for each in plan.settings if each.name not in known]:
        raise ValueError(
            f"regularizer: expected settings of the search, {', '.join(known)}; received {unknown[0]}; "
            "leave out --worker"
        )
