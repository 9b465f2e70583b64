"""How a tuned comparison stands, read from its folder alone while others work on it. No torch, no Optuna."""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from regbench.storage.schema import read_run_path
from regbench.storage.study_folder import find_runs
from regbench.storage.tuning import DEFAULTS, PRUNED, TRIALS, SettingRecord, Tuning
from regbench.sweeps.states import RunReader, RunState, SettingState


class TunedReader:
    """Reads how the runs of a tuned comparison stand, by setting.

    Args:
        study: The study's folder.
        tuning: How its settings are searched.
        since: As `RunReader` takes it.
        retried: Likewise.
    """

    def __init__(self, study: Path, tuning: Tuning, since: float = 0.0, *, retried: Collection[str] = ()) -> None:
        self._study = study
        self._tuning = tuning
        self._reader = RunReader(study, since, retried=retried)
        self._config = {"trainer": {"max_epochs": tuning.max_epochs}}

    def read(self) -> list[SettingState]:
        """Return how each setting stands now."""
        first = self._tuning.search_seeds[0]
        searching = self._found(
            TRIALS, lambda seed, key: f"trial {key}" if seed == first else f"finalist {key} #{seed - first}"
        )
        confirming = self._found("", lambda seed, _: f"confirming seed {seed}")
        defaults = self._found(DEFAULTS, lambda seed, _: f"default seed {seed}")
        return [
            self._setting(each, *(found.get(each.setting, []) for found in (searching, confirming, defaults)))
            for each in self._tuning.settings
        ]

    def _found(self, below: str, named: Callable[[int, str], str]) -> dict[str, list[RunState]]:
        """Return how the runs in a folder stand, by setting."""
        found: dict[str, list[RunState]] = {}
        for folder in find_runs(self._study / below)[0]:
            place = read_run_path(folder)
            if place is not None:
                state = self._reader.read(folder.relative_to(self._study).as_posix(), self._config)
                label = named(place.seed, place.config_hash)
                found.setdefault(place.setting, []).append(replace(state, label=label))
        return found

    def _setting(
        self,
        record: SettingRecord,
        searching: list[RunState],
        confirming: list[RunState],
        defaults: list[RunState],
    ) -> SettingState:
        trials = [self._judged(each) for each in searching if each.label.startswith("trial")]
        finalists = [each for each in searching if not each.label.startswith("trial")]
        chosen = len(record.finalists) * (len(self._tuning.search_seeds) - 1) or None
        closed = [each.folder for each in record.trials if each.state != "open"]
        shared = len(closed) - len(set(closed))  # trials of the same values share a run
        parts = {
            "trials": (trials, self._tuning.budget - shared),
            "finalists": (finalists, chosen),
            "confirmed": (confirming, self._tuning.seeds),
            **({"defaults": (defaults, self._tuning.seeds)} if (self._study / DEFAULTS).exists() else {}),
        }
        counts = {name: (_done(runs, planned), planned) for name, (runs, planned) in parts.items()}
        counts["trials"] = counts["trials"][0] + shared, self._tuning.budget
        left = sum(_left(runs, planned) for runs, planned in parts.values())
        return SettingState(record.setting, counts, tuple(run for runs, _ in parts.values() for run in runs), left)

    def _judged(self, trial: RunState) -> RunState:
        """Return a trial as done that diverged, which is a score, or that the pruner stopped, which is no stop."""
        pruned = trial.state == "stopped" and trial.reason.startswith(PRUNED)
        return replace(trial, state="finished") if trial.diverged or pruned else trial


def _done(runs: list[RunState], planned: int | None) -> int:
    done = sum(each.state == "finished" for each in runs)
    return done if planned is None else min(done, planned)  # runs of earlier finalists stay


def _left(runs: list[RunState], planned: int | None) -> int:
    begun = sum(each.state not in {"stopped", "left"} for each in runs)
    return max(0, planned - begun) if planned is not None else len(runs) - begun
