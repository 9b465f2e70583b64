"""Hydra launchers that let workers train a study's planned runs; the default one by processes of this machine.

Imports no torch; its workers do.
"""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Protocol

import joblib
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from regbench.sweeps.pool import MORE, MOST_RUNS, run_pool, tell_of_death
from regbench.sweeps.signals import watch_parent
from regbench.training.interruption import Terminated, exit_status

# So many workers in a row may end with an error, or be killed before they have begun with a run: more are no accident.
_MOST_FAILURES = 3


class Works(Protocol):
    """A worker: it takes what is to be done and what nobody else works on."""

    def work(self, most: int | None = None, *, wait: bool) -> bool:
        """Train so many runs at most; return whether nothing was left to take.

        Args:
            most: Any number unless given.
            wait: Whether to wait for what others work on, and take up what they leave or what follows from it.
        """


@dataclass(frozen=True)
class Search:
    """Runs that follow from one another, so that workers find out by themselves what is next.

    Attributes:
        folder: The study's.
        make: Makes a worker, in a process of its own on any machine.
        arguments: Of `regbench`, by which a worker begins elsewhere.
        most: How many workers can have something to do at once.
        counts: Gives how many runs are done, failed and left.
        is_done: Tells whether nothing is left to take.
    """

    folder: Path
    make: Callable[[], Works]
    arguments: Sequence[str]
    most: int
    counts: Callable[[], dict[str, int]]
    is_done: Callable[[], bool]


class PlannedLauncher(Launcher):
    """Launches workers that take runs by themselves, instead of jobs that compose for themselves."""

    def __init__(self) -> None:
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives; the task function is that of jobs which compose for themselves."""
        self.config, self.hydra_context = config, hydra_context

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Refuse jobs that are not planned: RegBench's sweepers plan them and call `train_runs`."""
        raise ValueError("hydra/launcher: expected a sweeper of RegBench, which plans the runs; received another one")

    @abstractmethod
    def train_runs(self, folder: Path, names: Sequence[str]) -> None:
        """Train planned runs; how each ended is in its folder.

        Args:
            folder: The study's.
            names: The run folders below it.
        """

    @abstractmethod
    def search(self, search: Search) -> None:
        """Let workers search; how each run ended is in its folder."""


class ResilientLauncher(PlannedLauncher):
    """Worker processes on this machine, each followed by another one where it dies.

    A run that has killed two workers is left to the sweep's next call. So no run costs another one.

    Args:
        n_jobs: Workers; -1 for one a core, or `jobs_per_device` for each visible device with `trainer.accelerator=gpu`.
        jobs_per_device: Workers that share a device.
    """

    def __init__(self, n_jobs: int = -1, jobs_per_device: int = 1) -> None:
        super().__init__()
        for name, value in (("n_jobs", n_jobs), ("jobs_per_device", jobs_per_device)):
            if type(value) is not int or (value < 1 and (name, value) != ("n_jobs", -1)):
                or_all = ", or -1 for all cores" if name == "n_jobs" else ""
                raise ValueError(f"hydra.launcher.{name}: expected an integer above 0{or_all}; received {value!r}")
        self.n_jobs = n_jobs
        self.jobs_per_device = jobs_per_device

    def train_runs(self, folder: Path, names: Sequence[str]) -> None:
        """Share the runs among the workers, and wait for them."""
        self._share(self.worker_maker(folder, list(names)), len(names), lambda: True)

    def search(self, search: Search) -> None:
        """Share the search among the workers, and wait for them."""
        self._share(search.make, search.most, lambda: not search.is_done())

    def _share(self, make: Callable[[], Works], most: int, goes_on: Callable[[], bool]) -> None:
        """Let workers work until they end; each that dies is followed by another one as long as it goes on."""
        places = self._places(most)
        context = multiprocessing.get_context("spawn")
        begun = [context.Event() for _ in places]
        failures = 0

        def on_death(number: int, killed: bool) -> bool:
            nonlocal failures
            failures = 0 if killed and begun[number].is_set() else failures + 1
            begun[number].clear()
            if failures >= _MOST_FAILURES:
                raise RuntimeError("the workers end with errors, or before they have begun; see their messages above")
            if goes_on():
                tell_of_death(killed=killed)
                return True
            return False

        run_pool(work_in_pool, [(make, each) for each in begun], on_death, places)

    def worker_maker(self, folder: Path, names: Sequence[str]) -> Callable[[], Works]:
        """Return what makes a worker of planned runs, in a process of its own."""
        return partial(_worker, folder, names)

    def most_on_cpus(self) -> int:
        """Return how many workers there are without accelerators, unless `n_jobs` says so."""
        return int(joblib.effective_n_jobs(-1))

    def _places(self, runs: int) -> list[dict[str, str]]:
        """Return the environment of each worker: on accelerators, the device that it sees."""
        devices = visible_devices() if self.config is not None and self.config.trainer.accelerator != "cpu" else []
        most = len(devices) * self.jobs_per_device if devices else self.most_on_cpus()
        count = min(most if self.n_jobs == -1 else self.n_jobs, runs)
        if not devices:
            return [{} for _ in range(count)]
        return [{"CUDA_VISIBLE_DEVICES": devices[number % len(devices)]} for number in range(count)]


class TogetherLauncher(ResilientLauncher):
    """Trains runs as one program that differ in what can be stacked, such as their seeds; others one by one.

    There is one worker of `threads` threads, or one for each visible device with `trainer.accelerator=gpu`.

    Args:
        members: How many runs are trained together at most.
    """

    def __init__(self, members: int = 40) -> None:
        super().__init__()
        if type(members) is not int or members < 1:
            raise ValueError(f"hydra.launcher.members: expected an integer above 0; received {members!r}")
        self.members = members

    def worker_maker(self, folder: Path, names: Sequence[str]) -> Callable[[], Works]:
        """Return what makes a worker of planned runs, in a process of its own."""
        return partial(_together_worker, folder, names, self.members)

    def most_on_cpus(self) -> int:
        """Return one: its threads work on one program."""
        return 1


def visible_devices() -> list[str]:
    """Return the NVIDIA devices that programs may use, as `CUDA_VISIBLE_DEVICES` names them; found without torch."""
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [each.strip() for each in given.split(",") if each.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False)
    return [str(number) for number, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU ")]


def work_in_pool(make: Callable[[], Works], begun: Event) -> None:
    """Train until nothing is left to take; ends the process.

    Args:
        make: Makes the worker.
        begun: Set once the worker is ready for its first run.
    """
    watch_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent passes it on in order
    worker = make()
    begun.set()
    try:
        sys.exit(0 if worker.work(MOST_RUNS, wait=True) else MORE)
    except (KeyboardInterrupt, Terminated) as stop:
        sys.exit(exit_status(stop))


def _worker(folder: Path, names: Sequence[str]) -> Works:
    from regbench.sweeps.work import Worker  # torch, in workers alone

    return Worker(folder, names)


def _together_worker(folder: Path, names: Sequence[str], members: int) -> Works:
    from regbench.sweeps.together import TogetherWorker

    return TogetherWorker(folder, names, members)
