"""The `tune` command: search, confirm, report. Imports no torch; its workers do."""

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from rich import box
from rich.console import Console
from rich.table import Column, Table

from regbench.config.errors import describe_error
from regbench.config.identity import run_name
from regbench.search.begun import check_has_begun, check_may_begin
from regbench.search.confirming import set_aside
from regbench.search.plan import Plan, make_plan
from regbench.search.records import whole_record
from regbench.search.schedule import Schedule
from regbench.search.workers import WORKER, make_launcher, run_workers
from regbench.storage.results import is_finished, read_status
from regbench.storage.schema import FINISHED
from regbench.storage.study_folder import Plan as RunPlan
from regbench.storage.study_folder import added_runs, read_or_rebuild_plan, write_plan
from regbench.storage.tuning import SettingRecord, Tuning, write_tuning
from regbench.training.interruption import Terminated, exit_status


def tune(arguments: Sequence[str]) -> int:
    """Search every setting, confirm what was chosen, write the report; return the exit status.

    Args:
        arguments: Overrides, KEY=VALUE; after `--worker`, the process is a worker of the search and nothing more.

    Raises:
        ValueError: The overrides are wrong, or the study's folder holds another search; in one line.
    """
    if arguments and arguments[0] == WORKER:
        return _work(arguments[1:])
    with _in_one_line(arguments):
        plan = make_plan(arguments)
        launcher = make_launcher(plan.base)
    check_may_begin(plan)
    schedule = Schedule(plan)
    schedule.forget_left()
    command = f"regbench tune {shlex.join(arguments)}"
    tuning = save(plan, schedule, command)
    print(f"{plan.folder}: {_described(plan)}", flush=True)
    stopped: BaseException | None = None
    try:
        run_workers(plan, schedule, launcher, tuning, arguments)
    except (KeyboardInterrupt, Terminated) as stop:
        stopped = stop
    tuning = save(plan, schedule, command)
    if stopped is not None:
        print(f"{plan.folder}: stopped; the same command runs what is left", flush=True)
        return exit_status(stopped)
    if not schedule.is_done():
        print(f"{plan.folder}: runs are left; the same command goes on, and reports", flush=True)
        return 1
    _print_choices(tuning)
    if left := schedule.left():
        print(f"left: {', '.join(left)}; the same command tries again", file=sys.stderr)
    _report(plan.folder)
    return 1 if left else 0


def save(plan: Plan, schedule: Schedule, command: str) -> Tuning:
    """Write `tuning.json` and the plan of the confirming runs as far as they are known, and set aside those of others.

    Args:
        plan: What was asked for.
        schedule: Its state.
        command: By which it was, for `sweep.json`.
    """
    tuning = whole_record(plan, schedule.studies)
    write_tuning(plan.folder, tuning)
    runs = []
    for setting, record in zip(plan.settings, tuning.settings, strict=True):
        if (chosen := record.chosen) is not None:
            named = {
                seed: run_name(setting.confirming_config(chosen.values, seed)) for seed in range(plan.protocol.seeds)
            }
            runs += list(named.values())
    before = read_or_rebuild_plan(plan.folder)
    commands = list(dict.fromkeys([*before.commands, command]))
    added = before.added | added_runs(before, runs, {each for each in before.runs if is_finished(plan.folder / each)})
    write_plan(plan.folder, RunPlan(commands, runs, added={each: added[each] for each in runs if each in added}))
    set_aside(plan, tuning)
    return tuning


def _work(arguments: Sequence[str]) -> int:
    """Be a worker of a search that has begun, in this process; return the exit status."""
    with _in_one_line(arguments):
        plan = make_plan(arguments)
    check_has_begun(plan)

    from regbench.search.worker import SearchWorker  # torch, in workers alone
    from regbench.sweeps.work import see_through

    return see_through(SearchWorker(plan), wait=True)


@contextlib.contextmanager
def _in_one_line(arguments: Sequence[str]) -> Iterator[None]:
    """Tell in one line what is wrong with the overrides."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(describe_error(error, arguments, "tune")) from error


def _report(folder: Path) -> None:
    from regbench.study import load
    from regbench.study.report import print_report, write_report

    study = load(folder)
    page, told = write_report(study, folder / "report", command=f"regbench report {shlex.quote(str(folder))}")
    print_report(study, page, told)


def _described(plan: Plan) -> str:
    protocol = plan.protocol
    done = sum(
        read_status(each.parent) == FINISHED for each in plan.folder.rglob("results.json") if "report" not in each.parts
    )
    return (
        f"{len(plan.settings)} settings × {protocol.trials} trials, {protocol.finalists} finalists × "
        f"{protocol.finalist_seeds} search seeds, confirmed on {protocol.seeds} seeds; {done} runs finished before"
    )


def _print_choices(tuning: Tuning) -> None:
    table = Table(
        "setting", "searched", "range", "default", "chosen", Column("epochs", justify="right"), box=box.SIMPLE
    )
    for record in tuning.settings:
        for number, (key, searched) in enumerate(record.space.items()):
            table.add_row(
                record.setting if not number else "",
                key,
                searched.described(),
                _shown(record.default.get(key)),
                _chosen(record, key),
                f"{record.epochs:,}" if not number else "",
            )
    Console(width=None if Console().is_terminal else 120).print(table)


def _chosen(record: SettingRecord, key: str) -> str:
    if record.chosen is None:
        return "–"
    value = record.chosen.values[key]
    edge = record.space[key].edge(value)
    return _shown(value) + (f" (at the {edge} end)" if edge else "")


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
