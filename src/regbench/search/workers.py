"""The workers of a search, started by a sweep's launcher: on this machine or a cluster. Imports no torch."""

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from regbench.config.objects import check_call, find_class
from regbench.search.plan import Plan
from regbench.search.schedule import Schedule
from regbench.search.states import TunedReader
from regbench.storage.lock import HOLDER
from regbench.storage.schema import FAILED, SWEEP
from regbench.storage.tuning import Tuning
from regbench.sweeps.foot import can_draw, foot
from regbench.sweeps.launcher import PlannedLauncher, ResilientLauncher, Search, TogetherLauncher, Works
from regbench.sweeps.signals import stopping_workers
from regbench.sweeps.watching import draw_states

# By which a worker begins on another machine.
WORKER = "--worker"

_BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
# What workers print of each score; the table counts them.
_SCORE = re.compile(r".+: val (loss )?[\d.]+%?(, pruned|, diverged)?")


def make_launcher(config: DictConfig) -> PlannedLauncher:
    """Return what launches workers, as `hydra/launcher` says.

    Args:
        config: All that was composed, Hydra's own part included.

    Raises:
        ValueError: It launches no search, or has a wrong option; in one line that names the key.
    """
    node: Any = OmegaConf.to_container(config.hydra.launcher, resolve=True)
    kind = find_class(node, Launcher, "hydra.launcher")  # type: ignore[type-abstract]  # none is made of it
    target = node.pop("_target_")
    if target == _BASIC:
        return ResilientLauncher(n_jobs=1)
    if issubclass(kind, TogetherLauncher) or not issubclass(kind, PlannedLauncher):
        name = "together" if issubclass(kind, TogetherLauncher) else target
        raise ValueError(
            f"hydra/launcher: expected resilient, slurm, ray or basic for regbench tune, whose runs follow from one "
            f"another; received {name}"
        )
    made = kind(**check_call(kind, node, "hydra.launcher", {}))
    made.setup(hydra_context=None, task_function=None, config=config)  # type: ignore[arg-type]  # no job composes here
    return made


def run_workers(
    plan: Plan, schedule: Schedule, launcher: PlannedLauncher, tuning: Tuning, command: Sequence[str]
) -> None:
    """Let workers train until nothing is left that this call can do.

    Args:
        plan: What was asked for.
        schedule: The caller's own view of it.
        launcher: Starts the workers.
        tuning: How the settings are searched.
        command: The arguments of `regbench tune`.

    Raises:
        KeyboardInterrupt: The user pressed Ctrl-C; the workers have recorded their runs.
        regbench.training.interruption.Terminated: Likewise by SIGTERM.
    """
    called, protocol = (plan.folder / SWEEP).stat().st_mtime, plan.protocol
    shown, counted = (TunedReader(plan.folder, tuning, called, retried={FAILED}) for _ in range(2))  # by two threads
    search = Search(
        folder=plan.folder,
        make=partial(_worker, plan),
        arguments=worker_arguments(plan, command),
        most=len(plan.settings) * max(protocol.trials, protocol.finalists * protocol.finalist_seeds, _confirming(plan)),
        counts=partial(_counts, counted, schedule),
        is_done=schedule.is_done,
    )
    with stopping_workers(lambda: _held(plan.folder)), _watched(shown):
        launcher.search(search)


def worker_arguments(plan: Plan, command: Sequence[str]) -> list[str]:
    """Return the arguments of `regbench` by which a worker begins on another machine.

    Args:
        plan: What was asked for.
        command: The arguments of `regbench tune`.
    """
    compiled = plan.settings[0].confirming_config({}, 0)["compile"]
    given = any(each.lstrip("+").partition("=")[0] == "compile" for each in command)
    return ["tune", WORKER, *command, *([] if given else [f"compile={str(compiled).lower()}"])]


def _worker(plan: Plan) -> Works:
    from regbench.search.worker import SearchWorker  # torch, in workers alone

    return SearchWorker(plan)


def _counts(reader: TunedReader, schedule: Schedule) -> dict[str, int]:
    settings, protocol = reader.read(), schedule.plan.protocol
    done, failed = (sum(len(each.of(state)) for each in settings) for state in ("finished", "failed"))
    each_has = protocol.trials + protocol.finalists * protocol.finalist_seeds + _confirming(schedule.plan)
    planned = len(settings) * each_has
    # Where trials diverge there may be fewer finalists than planned.
    return {"done": done, "failed": failed, "left": 0 if schedule.is_done() else max(1, planned - done - failed)}


def _confirming(plan: Plan) -> int:
    """Return how many runs confirm a setting."""
    return plan.protocol.seeds * (2 if plan.protocol.defaults_too else 1)


@contextlib.contextmanager
def _watched(reader: TunedReader) -> Iterator[None]:
    """Show how far the search is, where somebody looks at a terminal."""
    if not can_draw():
        yield
        return
    draw = draw_states(reader.read, time.monotonic())
    with foot(draw, keep=lambda line: _SCORE.fullmatch(line) is None):
        yield


def _held(folder: Path) -> list[Path]:
    return [each.parent for each in folder.rglob(HOLDER)]
