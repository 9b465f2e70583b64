"""Hydra's launcher for Ray: one task for each run, on whatever nodes a cluster has.

Imports no torch, and Ray where it is asked for alone.
"""

import contextlib
import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
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
from regbench.sweeps.pool import MOST_RUNS
from regbench.sweeps.progress import Progress
from regbench.sweeps.ray_tasks import Failure, Searchers, see_through

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
        max_retries: How often a sweep's run is taken up again.
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
        progress = Progress(folder)

        def tell(name: str, ended: Any) -> bool:
            _tell(folder, name, ended, progress)
            return False

        with self._cluster() as ray:
            # A process that has used one GPU cannot change to another one, so none trains two runs.
            calls = 1 if self.options.gpus_per_run else MOST_RUNS
            task = self._task(ray, train_run, max_calls=calls, max_retries=self.options.max_retries)

            def submit(name: str) -> Any:
                # A relative path means the same on each node once the task is in the caller's working folder.
                return task.options(name=name).remote(str(Path.cwd()), str(folder), name)

            see_through(ray, names, submit, tell)

    def search(self, search: Search) -> None:
        """Let as many workers search as the cluster has room for, each of them a task of Ray.

        Raises:
            What `train_runs` does.
        """
        with self._cluster() as ray:
            # Who follows a worker is for `Searchers` to decide, and has a process of its own.
            task = self._task(ray, work_at, max_calls=1, max_retries=0)
            numbers = [str(number) for number in range(min(search.most, self._room(ray)))]
            with Searchers(search, task) as workers:
                see_through(ray, numbers, workers.submit, workers.is_followed, workers.tell_now_and_then)

    @contextlib.contextmanager
    def _cluster(self) -> Iterator[Any]:
        """Be connected to the cluster while the block lasts; gives Ray."""
        ray = _ray()
        self._connect(ray)
        try:
            yield ray
        finally:
            ray.shutdown()

    def _task(self, ray: Any, function: Callable[..., object], *, max_calls: int, max_retries: int) -> Any:
        return ray.remote(
            num_cpus=self.options.cpus_per_run,
            num_gpus=self.options.gpus_per_run,
            max_calls=max_calls,
            max_retries=max_retries,
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


def work_at(place: str, make: Callable[[], Works], mark: str) -> bool:
    """Work in a worker of Ray until nothing is left to take, or the process has trained enough; return which.

    Args:
        place: The folder where the command was called.
        make: Makes what works.
        mark: A file from there, which says that the worker has begun.

    Returns:
        Whether nothing is left to take.
    """
    os.chdir(place)
    worker = make()
    Path(mark).parent.mkdir(exist_ok=True)
    Path(mark).touch()
    return worker.work(MOST_RUNS, wait=True)


def _tell(study: Path, run: str, ended: Any, progress: Progress) -> None:
    """Print how a run ended; its worker's own lines are in Ray's logs, on whatever node it was."""
    if isinstance(ended, Failure):
        print(f"{study / run}: left for the next call ({ended.reason})", file=sys.stderr, flush=True)
        return
    results = read_results(study / run)
    if results is None or results.status == INTERRUPTED:
        return
    name, counts = progress.name_of(run), progress.counts()
    if results.status == FINISHED:
        print(display.finished_line(name, results, counts), flush=True)
    else:
        message = results.error or results.status
        print(display.failed_line(name, study / run, message, counts), file=sys.stderr, flush=True)


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
