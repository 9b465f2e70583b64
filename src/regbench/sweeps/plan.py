"""A sweep's plan, `sweep.json`: the runs asked for over all calls, and how many are done."""

import contextlib
import itertools
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from regbench.config.checks import check_values
from regbench.config.composing import check_choices, check_given_once, to_plain
from regbench.config.errors import describe_error
from regbench.config.resolvers import program
from regbench.runs.claiming import discard
from regbench.runs.spec import RunSpec
from regbench.storage.results import is_finished, read_status
from regbench.storage.schema import DIVERGED, FAILED, FINISHED, RESULTS, SWEEP, read_run_path
from regbench.storage.study_folder import Plan, read_or_rebuild_plan, write_plan
from regbench.sweeps.design import SEED, Design, check_baseline, design_of


class PlanWriter(Callback):
    """Writes down what a sweep was asked for, over all its calls, before its first run starts.

    It also refuses wrong values, in single runs too: Hydra makes a run's folder before the run's own code sees them.

    Attributes:
        folder: The sweep's folder; None for a run alone and in workers.
        command: What runs the rest of the sweep where the same command would start another.
    """

    folder: Path | None = None
    command: str | None = None

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuse wrong values of a single run."""
        with contextlib.suppress(HydraException, OmegaConfBaseException):  # Hydra itself will meet them next
            HydraConfig.instance().set_config(config)
            with _refusing():
                check_given_once(_given(config))
                _check(config, _given(config))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Compose every run's name and add it to `sweep.json`."""
        folder = Path(config.hydra.sweep.dir)
        plan = read_or_rebuild_plan(folder)
        try:
            with _refusing():
                check_given_once(_given(config))
                design = design_of(config, plan)
            planned, later = _planned_runs(config, design)
        except (HydraException, OmegaConfBaseException, ValueError):
            return  # Hydra's sweeper refuses the same grid next; an error raised here would become a warning.
        rest = _command_for_the_rest(config, forced=any(spec is not None for spec in planned.values()))
        command = rest or f"{program()} {shlex.join(sys.argv[1:])}"
        folder.mkdir(parents=True, exist_ok=True)
        write_plan(folder, _grown(folder, plan, command, list(planned), set(later), design))
        PlanWriter.folder, PlanWriter.command = folder, rest
        for name, spec in {**planned, **later}.items():
            if spec is not None:
                with contextlib.suppress(ValueError, OSError):  # The run itself is refused or fails, and says why.
                    discard(folder / name, spec)
        done = sum(is_finished(folder / name) for name in planned)
        stage = " in stage 1" if design else ""
        print(f"{folder}: {len(planned)} runs{stage}, {done} of them finished before", flush=True)


def planned_folders(folder: Path | None) -> list[Path]:
    """Return the run folders of a sweep; none for a run alone."""
    return [folder / name for name in read_or_rebuild_plan(folder).runs] if folder is not None else []


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
    overrides = OverridesParser.create(loader).parse_overrides(params + list(config.hydra.overrides.task))
    return grid(each for each in overrides if seeded or each.get_key_element() != SEED)


def seeded(jobs: Iterable[list[str]], seeds: Iterable[int]) -> list[list[str]]:
    """Return each setting's overrides with each of the seeds."""
    return [[*job, f"{SEED}={seed}"] for job in jobs for seed in seeds]


def load_job(loader: ConfigLoader, config: DictConfig, job: list[str]) -> DictConfig:
    """Compose one run of a sweep as its launcher will, so that what follows from Hydra's own part is known."""
    composed = loader.load_sweep_config(config, job)
    HydraConfig.instance().set_config(composed)
    return composed


def progress(folder: Path) -> dict[str, int]:
    """Count a sweep's runs: `done`, `failed` (since the last call) and `left`."""
    names = read_or_rebuild_plan(folder).runs
    called = (folder / SWEEP).stat().st_mtime_ns if (folder / SWEEP).exists() else 0
    done = failed = 0
    for name in names:
        status = read_status(folder / name)
        done += status == FINISHED
        failed += status in {FAILED, DIVERGED} and (folder / name / RESULTS).stat().st_mtime_ns >= called
    return {"done": done, "failed": failed, "left": len(names) - done - failed}


def _command_for_the_rest(config: DictConfig, forced: bool) -> str | None:
    """Return the command that runs what is left of this sweep; None where it is the same command again.

    That is another one where the time of the call names the sweep, or where the runs were forced to train again.
    """
    plain: Any = OmegaConf.to_container(config, resolve=False)
    arguments = [each for each in sys.argv[1:] if not (forced and each.startswith("force="))]
    for place, key, value in (
        (plain["hydra"]["sweep"]["dir"], "hydra.sweep.dir", config.hydra.sweep.dir),
        (plain["study"], "study", config.study),
    ):
        if "${now:" in str(place):
            arguments = [*(each for each in arguments if not each.startswith(f"{key}=")), f"{key}={value}"]
            break
    return f"{program()} {shlex.join(arguments)}" if arguments != sys.argv[1:] else None


Specs = dict[str, RunSpec | None]


def _planned_runs(config: DictConfig, design: Design | None) -> tuple[Specs, Specs]:
    """Return the runs of a sweep by name, those to be trained again with their specification.

    Of seeds in stages these are stage 1's; in the second dictionary are those of later stages to be trained again.
    """
    loader = GlobalHydra.instance().config_loader()
    jobs = settings(config, loader, seeded=design is None)
    if design is None:
        return _specs(config, loader, jobs), {}
    with _refusing():
        check_baseline([to_plain(load_job(loader, config, job)) for job in jobs])
    first, last = (design.stages.seeds(stage) for stage in (1, len(design.stages.sizes)))
    planned = _specs(config, loader, seeded(jobs, first))
    forced = any(spec is not None for spec in planned.values())
    return planned, _specs(config, loader, seeded(jobs, last[len(first) :])) if forced else {}


def _specs(config: DictConfig, loader: ConfigLoader, jobs: list[list[str]]) -> Specs:
    specs: Specs = {}
    for job in jobs:
        with _refusing():
            composed = load_job(loader, config, job)
            _check(composed, job)
        name = str(composed.hydra.sweep.subdir)
        specs[name] = RunSpec(to_plain(composed)) if composed.get("force") is True else None
    return specs


def _grown(folder: Path, plan: Plan, command: str, names: list[str], later: set[str], design: Design | None) -> Plan:
    """Return the plan with this call in it; without the later stages' runs that are trained again."""
    kept = [name for name in plan.runs if name not in later]
    grown = replace(
        plan,
        commands=list(dict.fromkeys([*plan.commands, command])),
        runs=list(dict.fromkeys([*kept, *names])),
    )
    if design is not None:
        return replace(grown, stages=list(design.stages.sizes), metric=design.metric)
    return grown if plan.stages else replace(grown, added={**plan.added, **_added(folder, plan, names)})


def _added(folder: Path, plan: Plan, names: list[str]) -> dict[str, int]:
    """Return the new runs of settings that have results to look at, and how many seeds these are of."""
    finished = Counter(str(Path(name).parent) for name in plan.runs if is_finished(folder / name))
    new = [name for name in names if name not in plan.runs and read_run_path(folder / name)]
    return {name: seeds for name in new if (seeds := finished[str(Path(name).parent)]) > 1}


def _given(config: DictConfig) -> list[str]:
    return [*config.hydra.overrides.hydra, *config.hydra.overrides.task]


def _check(config: DictConfig, overrides: Iterable[str]) -> None:
    check_choices(overrides)
    check_values(to_plain(config))


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """End the program in one line where a value is wrong: an exception of a callback would become a warning."""
    try:
        yield
    except ValueError as error:
        sys.exit(f"error: {describe_error(error)}")
