"""Hydra's sweeper for `seeds=until_sure`: seeds in stages, and after each a look at who needs more."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from regbench.storage.results import is_finished, read_status
from regbench.storage.schema import INTERRUPTED
from regbench.storage.study_folder import extend_plan, read_or_rebuild_plan
from regbench.sweeps.design import Design, design_of
from regbench.sweeps.plan import load_job, seeded, settings


class UntilSureSweeper(Sweeper):
    """Runs all settings with the first stage's seeds, and those that are undecided with the next stage's.

    The decisions follow from the finished runs alone. So a sweep that was stopped and is called again trains no
    finished run again, and goes on where it was.

    Attributes:
        stages: Seeds of a setting at each stage, all before included.
        metric: What the verdicts are on.
        params: What is swept, as Hydra's own sweeper has it; a `seed` there is replaced by the stages.
    """

    def __init__(self, stages: Sequence[int], metric: str, params: dict[str, str] | None = None) -> None:
        self.stages = stages
        self.metric = metric
        self.params = params
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives, and make the launcher."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the stages; returns the launcher's results of each."""
        if self.config is None or self.hydra_context is None:
            raise RuntimeError("sweep was called before setup")
        config, loader = self.config, self.hydra_context.config_loader
        folder = Path(config.hydra.sweep.dir)
        design = design_of(config, read_or_rebuild_plan(folder))
        if design is None:
            raise RuntimeError("hydra.sweeper: expected stages, received none")
        jobs = settings(config, loader, seeded=False)
        known: list[list[str]] = [[] for _ in jobs]
        going = list(range(len(jobs)))
        returned: list[Sequence[JobReturn]] = []
        for stage in range(1, len(design.stages.sizes) + 1):
            named = {index: _named(config, loader, jobs[index], design.stages.new_seeds(stage)) for index in going}
            extend_plan(folder, [name for runs in named.values() for name in runs])
            left = {
                name: job for runs in named.values() for name, job in runs.items() if not is_finished(folder / name)
            }
            returned += self._launch(list(left.values()), sum(map(len, returned)))
            for index, runs in named.items():
                known[index] += runs
            if not all(read_status(folder / name) not in {None, INTERRUPTED} for name in left):
                break  # The command's last lines say that runs are left.
            going = self._look(folder, known, going, design, stage)
            if not going:
                break
        return returned

    def _launch(self, jobs: list[list[str]], first: int) -> list[Sequence[JobReturn]]:
        if not jobs or self.launcher is None:
            return []
        results = self.launcher.launch(jobs, initial_job_idx=first)
        for each in results:
            _ = each.return_value  # raises what ended the job, if anything did
        return [results]

    def _look(self, folder: Path, known: list[list[str]], going: list[int], design: Design, stage: int) -> list[int]:
        """Say what the stage has decided, and return the settings that need more seeds."""
        from regbench.sweeps.judging import NO_BASELINE, NO_RUN, judge_stage, stage_lines

        standings = judge_stage(folder, known, design, stage)
        for line in stage_lines([standings[index] for index in going], design, stage):
            print(line, flush=True)
        undecided = [index for index in going if standings[index].needs_seeds]
        if not undecided or stage == len(design.stages.sizes):
            runs, most = sum(map(len, known)), len(known) * design.stages.sizes[-1]
            left_out = any(each.verdict in {NO_RUN, NO_BASELINE} for each in standings)
            decided = "no setting needs more" if left_out else "all settings decided"
            ended = "the stages ended" if undecided else decided
            print(f"seeds until sure: {ended} after {runs:,} of at most {most:,} runs", flush=True)
        return undecided


def _named(config: DictConfig, loader: ConfigLoader, setting: list[str], seeds: range) -> dict[str, list[str]]:
    """Return the runs of a setting with these seeds by their folders' names."""
    jobs = seeded([setting], seeds)
    return {str(load_job(loader, config, job).hydra.sweep.subdir): job for job in jobs}
