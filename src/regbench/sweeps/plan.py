"""What a call of a sweep asks for: its runs, resolved and written down before the first one starts."""

import itertools
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from regbench.config.resolvers import program
from regbench.runs.claiming import discard, finished_run, lacking_metrics, refuse_other_run
from regbench.storage.lock import forget_deaths
from regbench.storage.results import is_finished
from regbench.storage.schema import CONFIG, read_run_path
from regbench.storage.study_folder import Plan, added_runs, held_plan, is_search, read_or_rebuild_plan, write_plan
from regbench.sweeps.design import Design, check_baseline, design_of
from regbench.sweeps.first_checks import FirstChecks, given
from regbench.sweeps.resolving import SEED, ResolvedRun, Resolver, write_runs


@dataclass(frozen=True)
class Call:
    """What one call of a sweep asks for.

    Attributes:
        folder: The study's.
        runs: Its runs; of seeds in stages, those of the first.
        settings: Each setting's overrides, without the seed.
        resolver: Resolves further runs.
        design: The stages; None of a grid.
        finished: How many of the runs were finished before.
    """

    folder: Path
    runs: list[ResolvedRun]
    settings: list[list[str]]
    resolver: Resolver
    design: Design | None
    finished: int

    @property
    def described(self) -> str:
        """What the call asks for, in a line."""
        stage = " in stage 1" if self.design else ""
        return f"{self.folder}: {len(self.runs)} runs{stage}, {self.finished} of them finished before"


def plan_call(config: DictConfig, loader: ConfigLoader) -> Call:
    """Resolve a call's runs, write them down beside those of earlier calls, and clear those that `force` trains again.

    Args:
        config: The composed configuration with Hydra's part.
        loader: Hydra's.

    Raises:
        ValueError: A value is wrong; in one line that names its key.
        hydra.errors.HydraException: The overrides do not compose.
    """
    folder = Path(config.hydra.sweep.dir)
    if is_search(folder):
        raise ValueError(
            f"study: expected a sweep's or a new one; {folder} holds a search of regbench tune, beside whose settings "
            "others would be compared untuned; give another study=NAME"
        )
    design = design_of(config, read_or_rebuild_plan(folder))
    resolver = Resolver(config, loader)
    without_seeds = settings(config, loader, seeded=False)
    if design is None:
        runs, later = list(resolver.runs(settings(config, loader, seeded=True))), []
    else:
        check_baseline([resolver.setting(each) for each in without_seeds])
        first, last = (design.stages.seeds(stage) for stage in (1, len(design.stages.sizes)))
        runs = list(resolver.runs(seeded(without_seeds, first)))
        forced = any(each.spec.force for each in runs)
        later = list(resolver.runs(seeded(without_seeds, last[len(first) :]))) if forced else []
    _check_folders([*runs, *later])
    _refuse_others(folder, runs)
    command = FirstChecks.rest or f"{program()} {shlex.join(sys.argv[1:])}"
    folder.mkdir(parents=True, exist_ok=True)
    write_runs(folder, runs)
    with held_plan(folder) as plan:  # another call of the same sweep may have added to it meanwhile
        done = {name for name in {*plan.runs, *(each.name for each in runs)} if is_finished(folder / name)}
        write_plan(folder, _grown(plan, command, [each.name for each in runs], later, design, done))
    for each in [*runs, *later]:
        if each.spec.force:
            done.discard(each.name)
            discard(folder / each.name, each.spec)
        elif each.name not in done:
            forget_deaths(folder / each.name)
    _tell_lacking_metrics(folder, [each for each in runs if each.name in done])
    return Call(folder, runs, without_seeds, resolver, design, sum(each.name in done for each in runs))


def _tell_lacking_metrics(folder: Path, finished: Iterable[ResolvedRun]) -> None:
    """Say in one line which finished runs lack metrics that the call asks for."""
    lacking: dict[str, list[str]] = {}
    for each in finished:
        results = finished_run(folder / each.name) if each.spec.config.get("metrics") else None
        for name in lacking_metrics(results, each.spec.config) if results is not None else ():
            lacking.setdefault(name, []).append(each.name)
    for name, runs in lacking.items():
        others = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        print(
            f"{folder}: {runs[0]}{others} finished without metrics={name} as it is now; force=true trains them again",
            file=sys.stderr,
            flush=True,
        )


def grid(overrides: Iterable[Override]) -> list[list[str]]:
    """Return the overrides of each run of a sweep: every combination, as Hydra's own sweeper makes it.

    Of two for one key the later one counts: the command line's, after those of an experiment's YAML.

    Raises:
        ValueError: An override asks for what only other sweepers do, such as `interval(0, 1)`.
    """
    choices: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            choices[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            choices[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise ValueError(f"{override.input_line}: expected values to choose from, as in KEY=A,B or range(3)")
    return [list(each) for each in itertools.product(*choices.values())]


def settings(config: DictConfig, loader: ConfigLoader, seeded: bool) -> list[list[str]]:
    """Return the overrides of each run of a sweep, or without the seeds those of each setting.

    Raises:
        ValueError: As `grid` does.
    """
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    overrides = OverridesParser.create(loader).parse_overrides(params + given(config))
    return grid(each for each in overrides if seeded or each.get_key_element() != SEED)


def seeded(jobs: Iterable[list[str]], seeds: Iterable[int]) -> list[list[str]]:
    """Return each setting's overrides with each of the seeds."""
    return [[*job, f"{SEED}={seed}"] for job in jobs for seed in seeds]


def _check_folders(runs: Iterable[ResolvedRun]) -> None:
    """Refuse two different runs of a sweep in one folder: a name of one's own, or six digits of a hash by chance."""
    there: dict[str, ResolvedRun] = {}
    for each in runs:
        first = there.setdefault(each.name, each)
        if first is not each and (first.spec.config_digest, first.spec.seed) != (
            each.spec.config_digest,
            each.spec.seed,
        ):
            raise ValueError(
                f"hydra.sweep.subdir: expected a folder of its own for each run, received {each.name} for "
                f"{shlex.join(first.overrides)} and for {shlex.join(each.overrides)}; leave it as it is, or where only "
                "the hash in it is the same, give each of them a study of its own"
            )


def _refuse_others(folder: Path, runs: Iterable[ResolvedRun]) -> None:
    """Refuse folders that hold other runs than these: one for each setting, where its runs share a folder."""
    seen: set[str] = set()
    for each in runs:
        place = each.name.rpartition("/")[0] if read_run_path(Path(each.name)) else each.name
        if place not in seen and (folder / each.name / CONFIG).exists():
            refuse_other_run(folder / each.name, each.spec)
            seen.add(place)


def _grown(
    plan: Plan,
    command: str,
    names: Sequence[str],
    later: Iterable[ResolvedRun],
    design: Design | None,
    done: set[str],
) -> Plan:
    """Return the plan with this call in it; without the later stages' runs that are trained again."""
    dropped = {each.name for each in later}
    kept = [name for name in plan.runs if name not in dropped]
    grown = replace(
        plan,
        commands=list(dict.fromkeys([*plan.commands, command])),
        runs=list(dict.fromkeys([*kept, *names])),
    )
    if design is not None:
        return replace(grown, stages=list(design.stages.sizes), metric=design.metric)
    return grown if plan.stages else replace(grown, added={**plan.added, **added_runs(plan, names, done)})
