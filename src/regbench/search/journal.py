"""The search's storage: Optuna's journal in the study's folder, one Optuna study for each setting. Imports no torch."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from regbench.config.fingerprint import counted_code
from regbench.search.plan import Plan, Setting
from regbench.storage.identity import identity
from regbench.storage.schema import JOURNAL, SEARCH
from regbench.study.flat_config import flatten

# Of the samplers. The same for all settings, so that they try the same rates as far as their spaces agree.
_SAMPLER_SEED = 0
_REDUCTION = 3
_ASKED = "asked"
_PLACE = "dataset.root"


def open_journal(study: Path) -> JournalStorage:
    """Open the journal in a study's folder, made if missing; a line that a killed process left half-written is cut off.

    Raises:
        ValueError: The file is no journal of Optuna's.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = study / SEARCH / JOURNAL
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _KernelLock(path)
    lock.acquire()
    try:
        _cut_half_line(path)
    finally:
        lock.release()
    _check_lines(path)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def open_study(storage: JournalStorage, plan: Plan, setting: Setting) -> optuna.Study:
    """Open the Optuna study of a setting, made if missing.

    Raises:
        ValueError: It belongs to another search, in one line that names what differs.
    """
    study = optuna.create_study(
        storage=storage,
        study_name=setting.name,
        direction="maximize" if plan.monitor == "val/acc" else "minimize",
        sampler=make_sampler(plan.protocol.sampler),
        pruner=make_pruner(plan.protocol.pruning, plan.max_epochs),
        load_if_exists=True,
    )
    asked = _asked(plan, setting)
    known = study.user_attrs.get(_ASKED)
    if known is None and not study.trials:
        study.set_user_attr(_ASKED, asked)
    elif known is None:
        raise ValueError(f"{plan.folder / SEARCH / JOURNAL}: expected a search of regbench tune, received another's")
    elif known != asked:
        raise ValueError(
            f"{plan.folder / SEARCH}: holds the search of another study: {_difference(known, asked)} for "
            f"{setting.name}; give another study=NAME"
        )
    return study


def reopened(study: optuna.Study) -> optuna.Study:
    """Return the same study for a trial that has all its values, so that its own sampler proposes nothing for it.

    A quasi-random one would count that as a point of its sequence.
    """
    return optuna.load_study(
        study_name=study.study_name, storage=study._storage, sampler=RandomSampler(_SAMPLER_SEED), pruner=study.pruner
    )


def make_sampler(name: str) -> BaseSampler:
    """Return the sampler of that name, whose draws for a trial depend on its number and the trials before it alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if name == "quasi_random":
            return QMCSampler(scramble=True, seed=_SAMPLER_SEED, warn_independent_sampling=False)
        return _SeededByTrial()


def make_pruner(name: str, max_epochs: int) -> BasePruner:
    """Return the pruner of that name, which looks at an epoch as the unit of a trial's budget."""
    if name == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=max_epochs, reduction_factor=_REDUCTION)
    if name == "halving":
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=_REDUCTION)
    return NopPruner()


class _SeededByTrial(BaseSampler):
    """TPE, seeded anew before each trial: so neither other workers nor an earlier call's end change what is tried."""

    def __init__(self) -> None:
        self._tpe = TPESampler()

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        (seed,) = np.random.SeedSequence([_SAMPLER_SEED, trial.number]).generate_state(1)
        self._tpe = TPESampler(seed=int(seed))
        self._tpe.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self._tpe.after_trial(study, trial, state, values)


class _KernelLock(JournalFileOpenLock):
    """A lock that the operating system frees when its holder dies, where Optuna's own lasts for another 30 seconds."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        self._lock.release()


def _cut_half_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        if content and not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)


def _check_lines(path: Path) -> None:
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else [], start=1):
        try:
            known = "op_code" in json.loads(line)
        except (ValueError, TypeError):
            known = False
        if not known:
            raise ValueError(f"{path}: line {number}: expected a line of Optuna's journal, received {line[:60]!r}")


def _asked(plan: Plan, setting: Setting) -> dict[str, Any]:
    """Return what must stay the same from call to call, flat; trials and seeds may grow in number."""
    config = setting.confirming_config({}, 0)
    kept = {key: value for key, value in flatten(identity(config)) if key not in setting.space and key != _PLACE}
    space = {f"space.{key}": each.described() for key, each in setting.space.items()}
    code = {f"code of {name}": value for name, value in counted_code(config).items()}
    protocol = {name: getattr(plan.protocol, name) for name in ("sampler", "pruning", "finalists", "finalist_seeds")}
    asked = kept | space | code | protocol
    return json.loads(json.dumps(asked, default=str))  # type: ignore[no-any-return]  # as the journal gives it back


def _difference(known: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    key = next(key for key in sorted({*known, *asked}) if known.get(key) != asked.get(key))
    return f"{key} is {known.get(key, 'not there')} there and {asked.get(key, 'not there')} here"
