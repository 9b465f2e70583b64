"""Hydra's sweeper for `seeds=until_sure`: seeds in stages, and after each a look at who needs more."""

from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn

from regbench.storage.lock import forget_deaths
from regbench.storage.results import is_finished, read_status
from regbench.storage.schema import INTERRUPTED
from regbench.storage.study_folder import extend_plan
from regbench.sweeps.design import Design
from regbench.sweeps.plan import Call, seeded
from regbench.sweeps.resolving import ResolvedRun, write_runs
from regbench.sweeps.sweepers import PlannedSweeper


class UntilSureSweeper(PlannedSweeper):
    """Runs all settings with the first stage's seeds, and those that are undecided with the next stage's.

    The decisions follow from the finished runs alone. So a sweep that was stopped and is called again trains no
    finished run again, and goes on where it was.

    Attributes:
        stages: Seeds of a setting at each stage, all before included.
        metric: What the verdicts are on.
        params: What is swept, as Hydra's own sweeper has it; a `seed` there is replaced by the stages.
    """

    def __init__(self, stages: Sequence[int], metric: str, params: dict[str, str] | None = None) -> None:
        super().__init__(params)
        self.stages = stages
        self.metric = metric

    def run(self, call: Call) -> list[Sequence[JobReturn]]:
        """Run the stages; returns what the launcher returned of each."""
        if call.design is None:
            raise RuntimeError("hydra.sweeper: expected stages, received none")
        design, folder = call.design, call.folder
        known: list[list[str]] = [[] for _ in call.settings]
        going = list(range(len(call.settings)))
        returned: list[Sequence[JobReturn]] = []
        for stage in range(1, len(design.stages.sizes) + 1):
            named = {index: _runs(call, call.settings[index], design.stages.new_seeds(stage)) for index in going}
            runs = [each for setting in named.values() for each in setting]
            write_runs(folder, runs)
            extend_plan(folder, [each.name for each in runs])
            left = [each.name for each in runs if not is_finished(folder / each.name)]
            for name in left:
                forget_deaths(folder / name)
            returned += self.train(folder, runs, sum(map(len, returned)))
            for index, setting in named.items():
                known[index] += [each.name for each in setting]
            if not all(read_status(folder / name) not in {None, INTERRUPTED} for name in left):
                break  # The command's last lines say that runs are left.
            going = self._look(folder, known, going, design, stage)
            if not going:
                break
        return returned

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


def _runs(call: Call, setting: list[str], seeds: range) -> list[ResolvedRun]:
    return list(call.resolver.runs(seeded([setting], seeds)))
