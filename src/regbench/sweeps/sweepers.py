"""RegBench's sweepers for Hydra: a grid, and what it shares with seeds in stages."""

import time
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from regbench.storage.results import is_finished
from regbench.sweeps.launcher import PlannedLauncher
from regbench.sweeps.plan import Call, plan_call
from regbench.sweeps.resolving import ResolvedRun
from regbench.sweeps.watching import announced, watched


class PlannedSweeper(Sweeper):
    """Plans a call's runs, then lets the launcher train those that are not finished.

    Attributes:
        params: What is swept, as Hydra's own sweeper has it.
    """

    def __init__(self, params: dict[str, str] | None = None) -> None:
        self.params = params
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None
        self._began = time.monotonic()
        self._runs: dict[str, None] = {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives, and make the launcher."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Plan and run; returns what launchers return that run jobs."""
        if self.config is None or self.hydra_context is None:
            raise RuntimeError("sweep was called before setup")
        with announced(f"{self.config.hydra.sweep.dir}: planning the runs"):
            call = plan_call(self.config, self.hydra_context.config_loader)
        print(call.described, flush=True)
        return self.run(call)

    @abstractmethod
    def run(self, call: Call) -> list[Sequence[JobReturn]]:
        """Run what a call has planned."""

    def train(self, folder: Path, runs: Sequence[ResolvedRun], first: int = 0) -> list[Sequence[JobReturn]]:
        """Let the launcher train those of these runs that are not finished.

        Args:
            folder: The study's.
            runs: Planned ones.
            first: How many jobs were launched before.
        """
        self._runs |= dict.fromkeys(each.name for each in runs)
        left = [each for each in runs if not is_finished(folder / each.name)]
        if not left or self.launcher is None:
            return []
        with watched(folder, list(self._runs), self._began):
            if isinstance(self.launcher, PlannedLauncher):
                self.launcher.train_runs(folder, [each.name for each in left])
                return []
            results = self.launcher.launch([each.job() for each in left], initial_job_idx=first)
            for each in results:
                _ = each.return_value  # raises what ended the job, if anything did
            return [results]


class GridSweeper(PlannedSweeper):
    """Runs every combination of the values given, as Hydra's own sweeper does."""

    def run(self, call: Call) -> list[Sequence[JobReturn]]:
        """Run the grid."""
        return self.train(call.folder, call.runs)
