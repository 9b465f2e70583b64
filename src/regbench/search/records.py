"""From Optuna's trials to what `tuning.json` tells of a search. Imports no torch."""

import warnings

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from regbench.search.choosing import choose, find_finalists
from regbench.search.plan import Plan, Setting
from regbench.search.scores import count_epochs, read_outcome
from regbench.search.space import readable
from regbench.storage.schema import DIVERGED, read_run_path
from regbench.storage.study_folder import find_runs
from regbench.storage.tuning import TRIALS, FinalistRecord, SettingRecord, TrialRecord, Tuning

# Fewer say nothing about which key matters.
_LEAST_TRIALS = 8


def setting_record(plan: Plan, setting: Setting, study: optuna.Study) -> SettingRecord:
    """Return what is known of a setting's search, but for the importance of its keys and the epochs."""
    trials = [_trial_record(each, setting, plan.monitor) for each in study.get_trials(deepcopy=False)]
    record = SettingRecord(setting=setting.name, space=setting.space, default=setting.default, trials=trials)
    if len(trials) >= plan.protocol.trials and all(each.state != "open" for each in trials):
        record.finalists = [
            FinalistRecord(
                trial=each.number, scores=[_score(plan, setting, each, seed) for seed in plan.search_seeds[1:]]
            )
            for each in find_finalists(trials, plan.protocol.finalists, plan.monitor)
        ]
        record.choice = choose(record.finalists, plan.monitor)
    return record


def whole_record(plan: Plan, studies: dict[str, optuna.Study]) -> Tuning:
    """Return what `tuning.json` holds."""
    return Tuning(
        study=plan.study,
        monitor=plan.monitor,  # type: ignore[arg-type]  # one of the two, by its check
        sampler=plan.protocol.sampler,
        pruning=plan.protocol.pruning,
        budget=plan.protocol.trials,
        max_epochs=plan.max_epochs,
        seeds=plan.protocol.seeds,
        search_seeds=plan.search_seeds,
        settings=[_whole_setting(plan, each, studies[each.name]) for each in plan.settings],
    )


def _whole_setting(plan: Plan, setting: Setting, study: optuna.Study) -> SettingRecord:
    record = setting_record(plan, setting, study)
    record.importance = _importance(study)
    for folder in find_runs(plan.folder / TRIALS)[0]:  # those of earlier finalists, too
        place = read_run_path(folder)
        if place is not None and place.setting == setting.name:
            record.epochs += count_epochs(folder)
    return record


def _trial_record(trial: FrozenTrial, setting: Setting, monitor: str) -> TrialRecord:
    told = trial.user_attrs
    closed = trial.state in {TrialState.COMPLETE, TrialState.PRUNED}
    score = told["score"] if closed else None
    if score is not None and monitor == "val/loss":  # one that ends far above counts no worse than one that diverged
        score = min(score, setting.chance(monitor))
    return TrialRecord(
        number=trial.number,
        values=readable(trial.params, setting.space),
        state=told["state"] if closed else "open",
        score=score,
        accuracy=told["accuracy"] if closed else None,
        epochs=told["epochs"] if closed else 0,
        folder=told["folder"] if closed else "",
    )


def _score(plan: Plan, setting: Setting, trial: TrialRecord, seed: int) -> float | None:
    """Return a finalist's score on a seed; one that diverged there counts as chance."""
    outcome = read_outcome(plan.trial_folder(setting, trial.values, seed), plan.monitor)
    return setting.chance(plan.monitor) if outcome.status == DIVERGED else outcome.score


def _importance(study: optuna.Study) -> dict[str, float]:
    """Return how much of the scores' variance each key explains, by fANOVA (Hutter et al., 2014)."""
    whole = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if len(whole) < _LEAST_TRIALS or len(whole[0].params) < 2 or len({each.value for each in whole}) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {key: round(float(value), 4) for key, value in found.items()}
