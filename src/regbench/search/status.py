"""The `status` command: how far a study is, read from its folder. Imports neither torch nor Optuna."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from regbench.search.states import TunedReader
from regbench.storage.schema import SWEEP, read_run_path
from regbench.storage.study_folder import Plan, find_runs, read_or_rebuild_plan
from regbench.storage.tuning import read_tuning
from regbench.sweeps.pace import seconds_left
from regbench.sweeps.state_table import overall, state_table
from regbench.sweeps.states import SettingState, SweepReader

_MOST_FAILURES = 5
_PLAIN_WIDTH = 120


def print_status(study: Path) -> int:
    """Print how far a study is, and return the exit status: 1 where runs failed, or are left and nobody works on them.

    Args:
        study: Its folder, or any folder of runs.

    Raises:
        ValueError: The folder holds neither runs nor a plan, or its files are damaged.
        FileNotFoundError: There is none.
    """
    settings, plan = read_status(study)
    console = Console() if Console().is_terminal else Console(width=_PLAIN_WIDTH)
    console.print(Text(str(study), "bold"))
    console.print(state_table(settings, times=True))
    console.print(overall(settings, left=seconds_left(settings)))
    failed = [(setting, run) for setting in settings for run in setting.of("failed")]
    for setting, run in failed[:_MOST_FAILURES]:
        console.print(Text(f"{setting.name} {run.label} failed: {run.reason}", "red"))
    if len(failed) > _MOST_FAILURES:
        console.print(Text(f"and {len(failed) - _MOST_FAILURES} more failed", "red"))
    left, running = sum(each.left for each in settings), any(each.of("running") for each in settings)
    if (left or failed) and plan.commands:
        # In one piece, however long it is, so that it can be copied.
        print(f"{'once nobody works on it, ' if running else ''}the rest is run by: {plan.commands[-1]}")
    return 1 if failed or (left and not running) else 0


def read_status(study: Path) -> tuple[list[SettingState], Plan]:
    """Return how a study's settings stand, and its plan; raises what `print_status` does."""
    if not study.is_dir():
        received = "a file" if study.exists() else "no such folder"
        raise FileNotFoundError(f"{study}: expected the folder of a study, received {received}")
    called = (study / SWEEP).stat().st_mtime if (study / SWEEP).exists() else 0.0
    plan = read_or_rebuild_plan(study)
    if (tuning := read_tuning(study)) is not None:
        return TunedReader(study, tuning, called).read(), plan
    folders, sweeps = find_runs(study)
    if others := [each.parent.name for each in sweeps if each.parent != study]:
        raise ValueError(f"{study}: expected one study, received the folder of {', '.join(others[:3])}")
    if folders == [study] and (len(study.resolve().parts) < 4 or read_run_path(study.resolve()) is None):
        raise ValueError(f"{study}: expected the folder of a study or a run of its own name, received another one")
    if folders == [study]:  # one run, whose folder tells with those above it what it is
        study = study.resolve().parents[2]
        folders = [study / Path(*folders[0].resolve().parts[-3:])]
    runs = dict.fromkeys([*plan.runs, *(each.relative_to(study).as_posix() for each in folders)])
    runs.pop(".", None)
    if not runs:
        raise ValueError(f"{study}: expected the folder of a study, received one without a run or a plan")
    return SweepReader(study, runs, called).read(), plan
