"""Confirming runs of choices that no longer hold, since more trials have changed them. Imports no torch."""

from pathlib import Path

from regbench.config.identity import run_name
from regbench.search.plan import Plan
from regbench.storage.schema import read_run_path
from regbench.storage.study_folder import find_runs
from regbench.storage.tuning import EARLIER, Tuning


def set_aside(plan: Plan, tuning: Tuning) -> list[Path]:
    """Move the runs of choices that no longer hold below `search/`, so that no report mixes them in; return them.

    A setting that is being searched again keeps its runs until its choice is known.
    """
    moved = []
    chosen = {each.setting: each.chosen for each in tuning.settings}
    settings = {each.name: each for each in plan.settings}
    for folder in find_runs(plan.folder)[0]:
        place = read_run_path(folder)
        if place is None or (choice := chosen.get(place.setting)) is None:
            continue
        expected = plan.folder / run_name(settings[place.setting].confirming_config(choice.values, place.seed))
        if folder != expected:
            _move(folder, plan.folder / EARLIER / folder.relative_to(plan.folder))
            moved.append(folder)
    return moved


def take_back(plan: Plan, folder: Path) -> None:
    """Put a confirming run that was set aside where it belongs, if there is one and none is there."""
    aside = plan.folder / EARLIER / folder.relative_to(plan.folder)
    if aside.is_dir() and not folder.exists():
        _move(aside, folder)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    for parent in (source.parent, source.parent.parent):
        if not any(parent.iterdir()):
            parent.rmdir()
