"""What a search writes into its study's folder for readers: `search/tuning.json`. Imports no torch.

A search's own runs lie below `search/`, so that they are never taken for runs of the study.
"""

import math
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from regbench.storage.files import write_text
from regbench.storage.results import DamagedError, one_line
from regbench.storage.schema import SEARCH, TUNING

# How the message of a trial begins that a pruner has stopped: no run to go on with.
PRUNED = "pruned after epoch"
TRIALS, DEFAULTS, EARLIER = (f"{SEARCH}/{name}" for name in ("trials", "defaults", "earlier"))

Value = bool | int | float | str

_EDGE = 0.02  # share of a range that counts as its edge


class Range(BaseModel):
    """What is searched of one value: all between two numbers, or some choices.

    Attributes:
        low: The least.
        high: The largest.
        log: Whether the search is even in the logarithm.
        step: Only every step from `low` on, whole numbers where all three are.
        choices: In place of the others.
    """

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: int | float | None = None
    choices: list[Value] | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.step is not None or self.log:
                raise ValueError("expected choices alone, or low and high")
            if len({*map(repr, self.choices)}) < max(len(self.choices), 1):
                raise ValueError(f"expected different choices, received {self.choices}")
            return self
        if self.low is None or self.high is None:
            raise ValueError("expected low and high, or choices")
        if not self.low < self.high:
            raise ValueError(f"expected low below high, received low {self.low:g} and high {self.high:g}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("expected low above 0 and no step where log is true")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise ValueError(f"expected a step above 0 that fits between low and high, received {self.step:g}")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers are searched."""
        return all(isinstance(each, int) for each in (self.low, self.high, self.step))

    def contains(self, value: object) -> bool:
        """Tell whether a value could be found by the search; steps are not looked at."""
        if self.choices is not None:
            return value in self.choices
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and self.low <= value <= self.high  # type: ignore[operator]  # checked just before

    def edge(self, value: Value) -> Literal["low", "high"] | None:
        """Return the end of the range at which a value lies: within 2 % of it, on the scale that is searched."""
        if self.choices is not None or self.low is None or self.high is None or isinstance(value, (bool, str)):
            return None
        top = self.high
        if self.step is not None:  # the last value that is tried
            top = self.low + self.step * math.floor((self.high - self.low) / self.step + 1e-9)
        low, high, place = (math.log(each) if self.log else each for each in (self.low, top, value))
        share = (place - low) / (high - low)
        return "low" if share <= _EDGE else "high" if share >= 1 - _EDGE else None

    def described(self) -> str:
        """Write the range for people: `1e-06 to 0.1 (log)`, `dense, all`."""
        if self.choices is not None:
            return ", ".join(map(str, self.choices))
        more = ["log"] * self.log + ([f"step {self.step:g}"] if self.step is not None else [])
        return f"{self.low:g} to {self.high:g}" + (f" ({', '.join(more)})" if more else "")


class TrialRecord(BaseModel):
    """One trial: what was tried, and what it scored on validation images.

    Attributes:
        number: Counted from 0 in its setting.
        values: By key of the run's configuration.
        state: `pruned` trials were stopped for falling behind, `diverged` ones count as chance; `open` ones have no
            score yet.
        score: The monitored validation metric.
        accuracy: The validation accuracy of the same epoch.
        epochs: Trained ones.
        folder: The run's, below `search/`.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    number: int
    values: dict[str, Value]
    state: Literal["finished", "pruned", "diverged", "open"]
    score: float | None
    accuracy: float | None
    epochs: int
    folder: str


class FinalistRecord(BaseModel):
    """A setting's good trial, trained again on more search seeds; null for a seed that has no score yet."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    trial: int
    scores: list[float | None]


class SettingRecord(BaseModel):
    """The search of one setting.

    Attributes:
        setting: Its techniques joined by `+`, or `none`.
        space: What is searched, by key of the run's configuration.
        default: The values of the YAML at these keys.
        trials: In their order.
        finalists: The best first.
        choice: The number of the chosen trial; null as long as none is.
        importance: By key, how much of the scores' variance it explains; empty for fewer than two keys.
        epochs: What the search trained in all, the finalists' runs included.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    setting: str
    space: dict[str, Range]
    default: dict[str, Value | None]
    trials: list[TrialRecord] = Field(default_factory=list)
    finalists: list[FinalistRecord] = Field(default_factory=list)
    choice: int | None = None
    importance: dict[str, float] = Field(default_factory=dict)
    epochs: int = 0

    @property
    def chosen(self) -> TrialRecord | None:
        """The chosen trial."""
        return next((each for each in self.trials if each.number == self.choice), None)


class Tuning(BaseModel):
    """What `tuning.json` holds: how a study's settings were searched, all trials, and what was chosen.

    Attributes:
        study: The study's name.
        monitor: What is searched for: `val/acc`, which is to be large, or `val/loss`, which is to be small.
        budget: Trials of each setting.
        max_epochs: Of each run, at most.
        seeds: Confirming seeds, 0, 1, ….
        search_seeds: The trials' seed, then the finalists'. A run of the search is split by its seed, too.
        settings: The baseline first.
    """

    model_config = ConfigDict(strict=True, validate_by_name=True, validate_by_alias=True, allow_inf_nan=False)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    study: str
    monitor: Literal["val/acc", "val/loss"]
    sampler: str
    pruning: str
    budget: int
    max_epochs: int
    seeds: int
    search_seeds: list[int]
    settings: list[SettingRecord]

    @property
    def searched(self) -> list[str]:
        """All keys that were searched for any setting, sorted."""
        return sorted({key for each in self.settings for key in each.space})


def write_tuning(study: Path, tuning: Tuning) -> None:
    """Write `search/tuning.json` into a study's folder, in one step."""
    write_text(study / SEARCH / TUNING, tuning.model_dump_json(by_alias=True, indent=2) + "\n")


def read_tuning(study: Path) -> Tuning | None:
    """Return how a study's settings were searched; `None` where they were not.

    Raises:
        DamagedError: The file is not what a search writes.
    """
    try:
        return Tuning.model_validate_json((study / SEARCH / TUNING).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise DamagedError(f"{SEARCH}/{TUNING}: not what a search writes, {one_line(error)}") from error
