"""A worker: it takes a study's planned runs one after another, until none is left to take.

Any number of workers share a study, on any number of machines that share its folder. The run folder's lock says who
works on what, so nobody need speak to anybody.
"""

import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from regbench import display
from regbench.config.errors import describe_error
from regbench.runs.claiming import differing_code
from regbench.runs.engine import Engine
from regbench.runs.run import run
from regbench.runs.spec import RunSpec
from regbench.storage.configs import StoredConfig, read_planned
from regbench.storage.lock import HEARTBEAT, HeldError, LockError, count_deaths, is_locked
from regbench.storage.results import DamagedError, is_finished
from regbench.storage.schema import SWEEP, read_run_path
from regbench.storage.study_folder import is_search, read_plan
from regbench.sweeps.launcher import Works
from regbench.sweeps.pool import MOST_RUNS
from regbench.sweeps.progress import Progress
from regbench.training.interruption import Terminated, exit_status

# A run that has killed so many workers since the sweep's last call is left to the next.
MOST_DEATHS = 2

_LOOK_SECONDS = 1.0
_TUNE = "regbench tune"


def work_alone(study: Path, runs: Path | None = None, *, wait: bool = False) -> int:
    """Work in this process until nothing is left to take; return the exit status.

    After some runs the process begins again from its command, under the same number: each run leaves some megabytes.

    Args:
        study: The study's folder.
        runs: A file that names runs, one a line; all that are planned unless given.
        wait: As in `Worker.work`.

    Raises:
        ValueError: There is no plan, a run is not in it, or the study's runs are not planned but searched.
        OSError: The file cannot be read.
    """
    if is_search(study):
        begun = [each for each in read_plan(study / SWEEP).commands if each.startswith(_TUNE)]
        worker = begun[-1].replace(_TUNE, f"{_TUNE} --worker", 1) if begun else f"{_TUNE} --worker …"
        raise ValueError(f"{study}: expected a planned sweep, received a search; one more worker of it is: {worker}")
    names = None if runs is None else runs.read_text(encoding="utf-8").split("\n")
    return see_through(Worker(study, names and [each for each in names if each]), wait=wait)


class WorksAlone(Works, Protocol):
    """A worker that nobody has started but the user, or a cluster."""

    study: Path

    def leaves_runs(self) -> bool:
        """Tell whether a run failed or is left: neither finished nor in another one's hands."""


def see_through(worker: WorksAlone, *, wait: bool) -> int:
    """Let a worker work in this process until nothing is left to take; return the exit status.

    Args:
        worker: Who works.
        wait: As its `work` takes it.
    """
    try:
        if not worker.work(MOST_RUNS, wait=wait):
            sys.stdout.flush()
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    except (KeyboardInterrupt, Terminated) as stop:
        print(f"{worker.study}: {describe_error(stop)}; another worker takes up its run", file=sys.stderr, flush=True)
        return exit_status(stop)
    return 1 if worker.leaves_runs() else 0


class Worker:
    """Trains planned runs.

    Args:
        study: The study's folder.
        names: The runs' folders below it, in the order in which they are taken; all that are planned unless given.

    Attributes:
        study: The study's folder.
        names: The runs that it may take.

    Raises:
        ValueError: There is no plan, or one of the runs is not in it.
    """

    def __init__(self, study: Path, names: Sequence[str] | None = None) -> None:
        try:
            planned = read_plan(study / SWEEP).runs
        except DamagedError as error:
            raise ValueError(f"{study}: expected the folder of a planned sweep; {error}") from error
        if names is not None and (unknown := set(names) - set(planned)):
            raise ValueError(f"{study}: expected planned runs, received {sorted(unknown)[0]}")
        self.study = study
        self.names = planned if names is None else list(names)
        self._progress = Progress(study)
        self._given_up: set[str] = set()

    def work(self, most: int | None = None, *, wait: bool = False) -> bool:
        """Train what nobody else works on; return whether nothing was left to take.

        Args:
            most: How many runs at most; any number unless given.
            wait: Whether to wait for runs that others hold, and take them up where those stop.

        Raises:
            KeyboardInterrupt: The run under way is recorded as interrupted.
            regbench.training.interruption.Terminated: Likewise by SIGTERM.
        """
        trained = 0
        while True:
            before, held, distrusted = trained, False, False
            for name in self.names:
                if not self.waits(name):
                    continue
                if trained == most:
                    return False
                try:
                    trained += self.take(name)
                except HeldError:
                    held = True
                except LockError as error:
                    distrusted = True
                    print(error, file=sys.stderr, flush=True)
            if trained > before:
                continue
            if not distrusted and not (held and wait):
                return True
            time.sleep(HEARTBEAT if distrusted else _LOOK_SECONDS)  # after some beats a holder is known to be dead

    def leaves_runs(self) -> bool:
        """Tell whether one of this worker's runs failed or is left: neither finished nor in another one's hands."""
        folders = (self.study / name for name in self.names)
        return not all(is_finished(folder) or is_locked(folder) for folder in folders)

    def waits(self, name: str) -> bool:
        """Tell whether a run has not ended and was not given up."""
        return name not in self._given_up and not self._progress.has_ended(name)

    def take(self, name: str, engine: Engine | None = None) -> bool:
        """Train a run; return whether it was trained, however it ended, or given up.

        Args:
            name: Its folder below the study's.
            engine: As in `regbench.runs.run.run`.

        Raises:
            HeldError: Somebody else works on it.
            LockError: Somebody else seems to.
        """
        folder = self.study / name
        if count_deaths(folder) >= MOST_DEATHS and not is_locked(folder):
            self._given_up.add(name)
            print(f"{folder}: its worker was killed twice; left for the next call", file=sys.stderr, flush=True)
            return False
        try:
            planned = read_planned(self.study, name)
            _check_plan(name, planned)
            # Between the look at a run and its lock another worker may have failed at it.
            taken = partial(self._progress.has_ended, name)
            results = run(folder, planned.config, planned.overrides, wait=False, is_taken=taken, engine=engine)
        except (HeldError, LockError):
            raise
        except Exception as error:
            self._given_up.add(name)
            self._progress.has_ended(name)
            called = self._progress.name_of(name)
            line = display.failed_line(called, folder, describe_error(error), self._progress.counts())
            print(line, file=sys.stderr, flush=True)
            return True
        self._progress.has_ended(name)
        print(display.finished_line(self._progress.name_of(name), results, self._progress.counts()), flush=True)
        return True


def _check_plan(name: str, planned: StoredConfig) -> None:
    """Refuse a plan that this process would not train as it was made: its code has changed since, or its file has."""
    spec, place = RunSpec(planned.config), read_run_path(Path(name))
    if changed := differing_code(planned.code, spec.code):
        raise ValueError(f"planned with other code ({changed}); call the sweep again")
    if place is not None and place.config_hash != spec.config_hash:
        raise ValueError(f"its plan was changed: its hash is {spec.config_hash}; call the sweep again")
