"""How the runs of a study stand, read from their folders alone while others train them. Imports no torch."""

import csv
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from regbench.storage.lock import shows_life
from regbench.storage.naming import name_settings, read_settings, setting_folder
from regbench.storage.results import DamagedError, RunResults, read_results
from regbench.storage.schema import CONFIG, DIVERGED, FAILED, FINISHED, HISTORY, RESULTS, read_run_path

State = Literal["finished", "failed", "running", "stopped", "left"]


class Epochs(NamedTuple):
    """What a run's history tells.

    Attributes:
        trained: How many epochs.
        accuracy: On validation images after the last of them; None without any.
        seconds: How long they took in training.
        written: When the last one was written, in seconds since 1970.
    """

    trained: int = 0
    accuracy: float | None = None
    seconds: float = 0.0
    written: float = 0.0


_NONE_YET = Epochs()


@dataclass(frozen=True)
class RunState:
    """How a run stands.

    Attributes:
        run: Its folder below the study's.
        label: What it is called within its setting: `seed 5`.
        state: `failed` is diverged too; `stopped` was interrupted or killed; `left` has not begun.
        epochs: What its history tells; nothing of a finished run.
        budget: Epochs at most; 0 where that is not known.
        pace: Seconds for an epoch with all that belongs to it, where the run tells that.
        reason: Why it failed or was stopped, in one line, where that is known.
        diverged: Whether a loss that was no longer finite is why.
    """

    run: str
    label: str
    state: State
    epochs: Epochs = _NONE_YET
    budget: int = 0
    pace: float | None = None
    reason: str = ""
    diverged: bool = False


@dataclass(frozen=True)
class SettingState:
    """How the runs of a setting stand.

    Attributes:
        name: With its strengths.
        counts: How many are done of how many, by what they are for; None of an unknown number.
        runs: All that are known.
        left: How many nobody works on yet, stopped ones included and those that are not known yet.
    """

    name: str
    counts: Mapping[str, tuple[int, int | None]]
    runs: tuple[RunState, ...]
    left: int

    def of(self, state: State) -> list[RunState]:
        """Return the runs that stand so."""
        return [each for each in self.runs if each.state == state]


class RunReader:
    """Reads how runs stand, again and again: what has ended is read once, a history once it has changed.

    Args:
        study: The study's folder.
        since: When the study was last called for, in seconds since 1970: how fast runs were that ended before is not
            looked at.
        retried: With which status a run that ended before the call is being trained again, so that it counts as left.
    """

    def __init__(self, study: Path, since: float = 0.0, *, retried: Collection[str] = ()) -> None:
        self._study = study
        self._since = since
        self._retried = retried
        self._ended: dict[str, RunState] = {}
        self._histories: dict[str, tuple[int, Epochs]] = {}

    def read(self, run: str, config: Mapping[str, Any]) -> RunState:
        """Return how a run stands.

        Args:
            run: Its folder below the study's.
            config: Its configuration.
        """
        if run not in self._ended:
            state = self._look(run, config)
            if state.state not in {"finished", "failed"}:
                return state
            self._ended[run] = state
            self._histories.pop(run, None)
        return self._ended[run]

    def _look(self, run: str, config: Mapping[str, Any]) -> RunState:
        folder, place, budget = self._study / run, read_run_path(Path(run)), _budget(config)
        label = f"seed {place.seed}" if place is not None else run
        try:
            results, ended = read_results(folder), _written(folder / RESULTS)
        except DamagedError:  # a worker trains the run again
            results, ended = None, 0.0
        is_new = ended >= self._since
        if results is not None and results.status == FINISHED:
            return RunState(run, label, "finished", budget=budget, pace=_whole_pace(results) if is_new else None)
        if (
            results is not None
            and results.status in {FAILED, DIVERGED}
            and (is_new or results.status not in self._retried)
        ):
            reason = " ".join((results.error or results.status).split())
            diverged = results.status == DIVERGED
            return RunState(run, label, "failed", self._history(run), budget, reason=reason, diverged=diverged)
        epochs = self._history(run)
        if shows_life(folder):
            return RunState(run, label, "running", epochs, budget, _pace_so_far(folder, epochs))
        begun = epochs.trained or (folder / CONFIG).exists()
        reason = (results.error or "") if results is not None else ""
        return RunState(run, label, "stopped" if begun else "left", epochs, budget, reason=reason)

    def _history(self, run: str) -> Epochs:
        path = self._study / run / HISTORY
        try:
            stamp = path.stat().st_mtime_ns
        except OSError:
            return _NONE_YET
        if run not in self._histories or self._histories[run][0] != stamp:
            self._histories[run] = stamp, _read_history(path)
        return self._histories[run][1]


class SweepReader:
    """Reads how a study's runs stand, by setting.

    Args:
        study: The study's folder.
        runs: The runs' folders below it, in the order of display.
        since: As `RunReader` takes it.
        retried: Likewise.
    """

    def __init__(self, study: Path, runs: Iterable[str], since: float = 0.0, *, retried: Collection[str] = ()) -> None:
        self._places = {run: setting_folder(run) for run in runs}
        self._settings = read_settings(study, self._places)
        self._names = name_settings(self._settings)
        self._reader = RunReader(study, since, retried=retried)

    def read(self) -> list[SettingState]:
        """Return how each setting's runs stand now."""
        found: dict[str, list[RunState]] = {place: [] for place in self._settings}
        for run, place in self._places.items():
            found[place].append(self._reader.read(run, self._settings[place].config))
        return [
            SettingState(
                self._names[place],
                {"done": (sum(each.state == "finished" for each in runs), len(runs))},
                tuple(runs),
                sum(each.state in {"stopped", "left"} for each in runs),
            )
            for place, runs in found.items()
        ]


class RunNames:
    """Names runs by setting and seed; configurations are read when the first name is wanted.

    Args:
        study: The study's folder.
        runs: The planned runs' folders below it.
    """

    def __init__(self, study: Path, runs: Iterable[str]) -> None:
        self._study = study
        self._runs = list(runs)
        self._settings: dict[str, str] = {}

    def of(self, run: str) -> str:
        """Return a run's name, `dropout p=0.3 seed 1`."""
        place = read_run_path(Path(run))
        return f"{self.setting_of(run)} seed {place.seed}" if place is not None else self.setting_of(run)

    def setting_of(self, run: str) -> str:
        """Return the name of a run's setting, `dropout p=0.3`."""
        place = setting_folder(run)
        if place not in self._settings:
            self._settings = name_settings(read_settings(self._study, dict.fromkeys([*self._runs, run])))
        return self._settings[place]


def _budget(config: Mapping[str, Any]) -> int:
    trainer = config.get("trainer")
    epochs = trainer.get("max_epochs") if isinstance(trainer, Mapping) else None
    return epochs if type(epochs) is int and epochs > 0 else 0


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _read_history(path: Path) -> Epochs:
    """Read a history as far as it can be read: it is replaced while it is being read, or an earlier call left it."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        written = path.stat().st_mtime
    except (OSError, UnicodeError, csv.Error):
        return _NONE_YET
    if not rows:
        return _NONE_YET
    seconds = sum(_number(row.get("seconds")) or 0.0 for row in rows)
    return Epochs(len(rows), _number(rows[-1].get("val/acc")), seconds, written)


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _whole_pace(results: RunResults) -> float | None:
    total, epochs = results.seconds.total, results.epochs_trained
    return total / epochs if total and epochs else None


def _pace_so_far(folder: Path, epochs: Epochs) -> float | None:
    """Return the seconds of an epoch; what is not training is in the time since this call's start, if it began so."""
    if not epochs.trained:
        return None
    since_start = epochs.written - (_written(folder / CONFIG) or epochs.written)
    return max(epochs.seconds, since_start) / epochs.trained


def ago(moment: float) -> float:
    """Return how many seconds ago something was written."""
    return max(0.0, time.time() - moment)
