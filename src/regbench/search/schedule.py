"""What is to be trained next, so that any number of workers and machines share a search. Imports no torch.

All of it follows from the journal and the run folders. A worker claims what it trains by a lock that the operating
system frees when the worker dies; what is open in the journal and claimed by nobody is taken up again.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.trial import TrialState

from regbench.config.identity import run_name
from regbench.search.choosing import find_finalists
from regbench.search.confirming import take_back
from regbench.search.journal import open_journal, open_study, reopened
from regbench.search.plan import Plan, Setting
from regbench.search.records import setting_record
from regbench.search.scores import read_outcome
from regbench.search.space import suggest
from regbench.storage.lock import HOLDER, forget_deaths
from regbench.storage.schema import SEARCH
from regbench.storage.tuning import DEFAULTS, TRIALS, SettingRecord, Value

_CLAIMS = f"{SEARCH}/.claims"
_LEFT = ".left"


@dataclass
class Job:
    """A run to be trained: a trial of the search, or one whose configuration is settled.

    Attributes:
        title: For people: `dropout, trial 3 of 30`.
        folder: The run's.
        trial: The open trial whose score this run is; None where it is no trial.
    """

    title: str
    folder: Path
    config: dict[str, Any]
    overrides: list[str]
    setting: Setting
    trial: optuna.Trial | None
    claim: FileLock

    @property
    def name(self) -> str:
        """What the job is claimed by."""
        return Path(self.claim.lock_file).stem


@dataclass
class Schedule:
    """Hands out the jobs of a tuned comparison.

    Args:
        plan: What was asked for.
    """

    plan: Plan
    _ended: set[Path] = field(default_factory=set)
    _known: dict[Any, "_Run"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.storage = open_journal(self.plan.folder)
        self.studies = {each.name: open_study(self.storage, self.plan, each) for each in self.plan.settings}
        (self.plan.folder / _CLAIMS).mkdir(parents=True, exist_ok=True)

    def next_job(self) -> Job | None:
        """Claim the next job that nobody works on; `None` where there is none now."""
        with FileLock(self.plan.folder / _CLAIMS / "next.lock"):
            job = self._open_trial() or self._new_trial()
            return job or next(filter(None, map(self._claim_run, self._settled_runs())), None)

    def is_done(self) -> bool:
        """Tell whether nothing is left but what this call has given up."""
        with FileLock(self.plan.folder / _CLAIMS / "next.lock"):
            for setting in self.plan.settings:
                trials = self.studies[setting.name].get_trials(deepcopy=False)
                waiting = [each for each in trials if each.state == TrialState.RUNNING]
                if any(not self._is_left(self._trial_claim(setting, each.number)) for each in waiting):
                    return False
                if len(trials) < self.plan.protocol.trials:
                    return False
            return all(self._has_ended(run.folder) or self._is_left(run.claim) for run in self._settled_runs())

    def leave(self, name: str) -> None:
        """Give a job up until the next call."""
        (self.plan.folder / _CLAIMS / f"{name}{_LEFT}").touch()

    def left(self) -> list[str]:
        """Return the jobs that this call has given up."""
        return sorted(each.stem for each in (self.plan.folder / _CLAIMS).glob(f"*{_LEFT}"))

    def forget_left(self) -> None:
        """Try again, from now on, what an earlier call has given up."""
        for each in (self.plan.folder / _CLAIMS).glob(f"*{_LEFT}"):
            each.unlink(missing_ok=True)
        for each in self.plan.folder.rglob(HOLDER):
            forget_deaths(each.parent)

    def record(self, setting: Setting) -> SettingRecord:
        """Return what is known of a setting's search."""
        return setting_record(self.plan, setting, self.studies[setting.name])

    def _open_trial(self) -> Job | None:
        for setting in self.plan.settings:
            study = self.studies[setting.name]
            for frozen in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
                name = self._trial_claim(setting, frozen.number)
                if not self._is_left(name) and (claim := self._try_claim(name)) is not None:
                    if setting.space.keys() <= frozen.params.keys():
                        study = reopened(study)
                    return self._trial_job(setting, optuna.Trial(study, frozen._trial_id), claim)
        return None

    def _new_trial(self) -> Job | None:
        """Ask for a trial of the setting that has the fewest, so that all are equally far at any time."""
        counts = {each.name: len(self.studies[each.name].get_trials(deepcopy=False)) for each in self.plan.settings}
        setting = min(self.plan.settings, key=lambda each: counts[each.name])
        if counts[setting.name] >= self.plan.protocol.trials:
            return None
        trial = self.studies[setting.name].ask()
        claim = self._try_claim(self._trial_claim(setting, trial.number))
        return self._trial_job(setting, trial, claim) if claim is not None else None

    def _trial_job(self, setting: Setting, trial: optuna.Trial, claim: FileLock) -> Job:
        values = suggest(trial, setting.space)
        seed = self.plan.search_seeds[0]
        config = setting.trial_config(values, seed)
        return Job(
            f"{setting.name}, trial {trial.number + 1} of {self.plan.protocol.trials}",
            self.plan.folder / TRIALS / run_name(config),
            config,
            setting.run_overrides(values, seed),
            setting,
            trial,
            claim,
        )

    def _settled_runs(self) -> Iterator["_Run"]:
        """Give all runs whose configuration is settled by now: finalists', then confirming ones, then defaults'."""
        chosen: list[tuple[Setting, dict[str, Value]]] = []
        for setting in self.plan.settings:
            record = self.record(setting)
            yield from self._finalists(setting, record)
            if record.chosen is not None and self._is_searched(record):
                chosen.append((setting, record.chosen.values))
        for seed in range(self.plan.protocol.seeds):
            for setting, values in chosen:
                yield self._run(setting, "", f"confirmed on seed {seed}", values, seed)
        if self.plan.protocol.defaults_too:
            for seed in range(self.plan.protocol.seeds):
                for setting in self.plan.settings:
                    yield self._run(setting, DEFAULTS, f"default on seed {seed}", {}, seed)

    def _finalists(self, setting: Setting, record: SettingRecord) -> Iterator["_Run"]:
        if not self._is_searched(record):
            return
        for seed in self.plan.search_seeds[1:]:
            for each in find_finalists(record.trials, self.plan.protocol.finalists, self.plan.monitor):
                title = f"finalist {each.number + 1} on search seed {seed}"
                yield self._run(setting, TRIALS, title, each.values, seed)

    def _is_searched(self, record: SettingRecord) -> bool:
        closed = [each for each in record.trials if each.state != "open"]
        return len(closed) >= self.plan.protocol.trials and len(closed) == len(record.trials)

    def _run(self, setting: Setting, below: str, title: str, values: dict[str, Value], seed: int) -> "_Run":
        title = f"{setting.name}, {title}"
        key = (title, tuple(values.items()))
        if key not in self._known:  # composing takes milliseconds, and there are hundreds
            config = (setting.trial_config if below == TRIALS else setting.confirming_config)(values, seed)
            place = Path(below) / run_name(config)
            claim = f"run-{hashlib.sha256(place.as_posix().encode()).hexdigest()[:16]}"
            overrides = setting.run_overrides(values, seed)
            self._known[key] = _Run(title, self.plan.folder / place, config, overrides, setting, claim)
        return self._known[key]

    def _claim_run(self, run: "_Run") -> Job | None:
        if self._has_ended(run.folder) or self._is_left(run.claim):
            return None
        take_back(self.plan, run.folder)
        if self._has_ended(run.folder) or (claim := self._try_claim(run.claim)) is None:
            return None
        return Job(run.title, run.folder, run.config, run.overrides, run.setting, None, claim)

    def _has_ended(self, folder: Path) -> bool:
        if folder not in self._ended and read_outcome(folder, self.plan.monitor).status is not None:
            self._ended.add(folder)
        return folder in self._ended

    def _trial_claim(self, setting: Setting, number: int) -> str:
        return f"{setting.name}-trial{number}"

    def _try_claim(self, name: str) -> FileLock | None:
        lock = FileLock(self.plan.folder / _CLAIMS / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock

    def _is_left(self, name: str) -> bool:
        return (self.plan.folder / _CLAIMS / f"{name}{_LEFT}").exists()


@dataclass(frozen=True)
class _Run:
    title: str
    folder: Path
    config: dict[str, Any]
    overrides: list[str]
    setting: Setting
    claim: str
