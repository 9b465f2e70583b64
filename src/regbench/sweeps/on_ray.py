"""Hydra's launcher for Ray: one task for each run, on whatever nodes a cluster has.

Imports no torch, and Ray where it is asked for alone.
"""

import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from pydantic import Field

from regbench import display
from regbench.storage.results import read_results
from regbench.storage.schema import FINISHED, INTERRUPTED
from regbench.sweeps.cluster_launcher import ClusterLauncher
from regbench.sweeps.launcher import Search, Works
from regbench.sweeps.progress import Progress
from regbench.sweeps.signals import RECORDING_SECONDS
from regbench.training.interruption import Terminated

# An experiment reports to nobody, and a run without a GPU keeps the variables that it was given.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
_KNOCK_SECONDS = 10.0
# What a run on another node needs of this process's variables.
_PASSED_ON = ("DATA_DIR", "PYTHONPATH")


@dataclass(frozen=True)
class Options:
    """The keys of `hydra.launcher`.

    Attributes:
        address: Of a running cluster, as `ray.init` takes it; None starts a cluster of this machine and ends it.
        cpus_per_run: What a run occupies of its node. Likewise the next.
        gpus_per_run: A share of one, such as 0.25, lets several runs use it.
        max_retries: How often a run is taken up again.
    """

    address: str | None
    cpus_per_run: Annotated[float, Field(gt=0)]
    gpus_per_run: Annotated[float, Field(ge=0)]
    max_retries: Annotated[int, Field(ge=-1)]


class RayLauncher(ClusterLauncher[Options]):
    """Gives each run to Ray as a task, and waits for all of them.

    Ray takes up a run again whose worker or node was lost; it resumes. A run that failed is recorded, and not retried.

    Args:
        keys: Those of `Options`.
    """

    make_options = Options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives.

        Raises:
            ValueError: A key of `hydra.launcher` has a wrong value, or Ray is missing.
        """
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        _ray()

    def train_runs(self, folder: Path, names: Sequence[str]) -> None:
        """Train planned runs as Ray's tasks.

        Raises:
            ValueError: The cluster does not answer.
            KeyboardInterrupt: The user pressed Ctrl-C; the runs under way are recorded as interrupted.
            regbench.training.interruption.Terminated: Likewise by SIGTERM.
        """

        def submit(ray: Any) -> dict[Any, str]:
            task = self._task(ray, train_run)
            # A relative path means the same on each node once the task is in the caller's working folder.
            return {task.options(name=name).remote(str(Path.cwd()), str(folder), name): name for name in names}

        progress = Progress(folder)
        self._see_through(submit, folder, lambda name: _tell(folder, name, progress))

    def search(self, search: Search) -> None:
        """Let as many workers search as the cluster has room for, each of them a task of Ray.

        Raises:
            What `train_runs` does.
        """
        said = ""

        def submit(ray: Any) -> dict[Any, str]:
            task = self._task(ray, work_at)
            numbers = range(min(search.most, self._room(ray)))
            return {
                task.options(name=f"worker{each}").remote(str(Path.cwd()), search.make): str(each) for each in numbers
            }

        def tell() -> None:
            nonlocal said
            line = ", ".join(f"{number} {what}" for what, number in search.counts().items())
            if line != said:
                print(line, flush=True)
            said = line

        self._see_through(submit, search.folder, lambda _: tell(), tell)

    def _see_through(
        self,
        submit: Callable[[Any], dict[Any, str]],
        folder: Path,
        on_end: Callable[[str], None],
        now_and_then: Callable[[], None] = lambda: None,
    ) -> None:
        """Submit tasks, and wait for them."""
        ray = _ray()
        self._connect(ray)
        try:
            tasks = submit(ray)
            try:
                _await(ray, tasks, folder, on_end, now_and_then)
            except (KeyboardInterrupt, Terminated):
                _cancel(ray, tasks)
                raise
        finally:
            ray.shutdown()

    def _task(self, ray: Any, function: Callable[..., None]) -> Any:
        return ray.remote(
            num_cpus=self.options.cpus_per_run,
            num_gpus=self.options.gpus_per_run,
            max_retries=self.options.max_retries,
            retry_exceptions=False,
        )(function)

    def _room(self, ray: Any) -> int:
        """Return how many workers the cluster has room for at once, at least one."""
        found, options = ray.cluster_resources(), self.options
        asked = {"CPU": options.cpus_per_run, "GPU": options.gpus_per_run}
        return max(1, min(int(found.get(name, 0) / each) for name, each in asked.items() if each))

    def _connect(self, ray: Any) -> None:
        """Join the cluster or start one; the handler of SIGTERM stays the command's."""
        handler, address = signal.getsignal(signal.SIGTERM), self.options.address
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            _knock(address)
            ray.init(
                address=address or "local",
                include_dashboard=None if address else False,
                logging_level="warning",
                log_to_driver=False,
                runtime_env={"env_vars": passed_on} if address and passed_on else None,
            )
        except (OSError, ValueError, RuntimeError) as error:
            lines = str(error).splitlines() or [type(error).__name__]
            raise ValueError(f"hydra.launcher.address={address}: no Ray cluster answers there ({lines[0]})") from error
        finally:
            signal.signal(signal.SIGTERM, handler)


def train_run(place: str, study: str, name: str) -> None:
    """Train a planned run in a worker of Ray, unless somebody else works on it.

    Args:
        place: The folder where the command was called.
        study: The study's folder from there.
        name: The run's folder below it.
    """
    os.chdir(place)
    from regbench.sweeps.work import Worker  # torch, in workers alone

    Worker(Path(study), [name]).work()


def work_at(place: str, make: Callable[[], Works]) -> None:
    """Work in a worker of Ray until nothing is left to take.

    Args:
        place: The folder where the command was called.
        make: Makes what works.
    """
    os.chdir(place)
    make().work(wait=True)


def _await(
    ray: Any, runs: dict[Any, str], study: Path, on_end: Callable[[str], None], now_and_then: Callable[[], None]
) -> None:
    """Wait for all tasks, and tell of each that ends."""
    waiting = list(runs)
    while waiting:
        ended, waiting = ray.wait(waiting, timeout=1.0)  # now and then Python must run, to see a signal
        now_and_then()
        for each in ended:
            try:
                ray.get(each)
            except ray.exceptions.RayError as error:
                why = " ".join(str(error).split("\n")[0].split())
                print(f"{study / runs[each]}: left for the next call ({why})", file=sys.stderr, flush=True)
            else:
                on_end(runs[each])


def _tell(study: Path, run: str, progress: Progress) -> None:
    """Print how a run ended; its worker's own lines are in Ray's logs, on whatever node it was."""
    results = read_results(study / run)
    if results is None or results.status == INTERRUPTED:
        return
    name, counts = progress.name_of(run), progress.counts()
    if results.status == FINISHED:
        print(display.finished_line(name, results, counts), flush=True)
    else:
        message = results.error or results.status
        print(display.failed_line(name, study / run, message, counts), file=sys.stderr, flush=True)


def _cancel(ray: Any, runs: Any) -> None:
    """Stop all tasks, and wait until those under way have recorded their runs."""
    for each in runs:
        ray.cancel(each)
    ray.wait(list(runs), num_returns=len(runs), timeout=RECORDING_SECONDS)


def _knock(address: str | None) -> None:
    """Raise an OSError where nobody listens: Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=_KNOCK_SECONDS).close()


def _ray() -> Any:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise ValueError(
            "hydra/launcher=ray: expected the package ray, which is not installed: pip install 'regbench[ray]'"
        ) from error
