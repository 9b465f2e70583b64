"""Typed reading and writing of a run folder's `results.json`, and clearing the folder. Imports no torch."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from regbench.storage.files import TEMPORARY, read_bytes, write_json
from regbench.storage.schema import (
    CHECKPOINTS,
    ERROR,
    FINISHED,
    HISTORY,
    LOGS,
    METRICS,
    PREDICTIONS,
    RESULTS,
    SCHEMA,
    TENSORBOARD,
    Kind,
    Status,
)

_MOST = 2**63  # whole numbers of tables have 64 bits


class DamagedError(ValueError):
    """A file of a run folder is not what a run writes there; the message names the file and what is wrong."""


class Seconds(BaseModel):
    """How long a run took, over all its calls; null where it did not come so far."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    train: float | None = None
    evaluate: float | None = None
    total: float | None = None


class Measured(BaseModel):
    """What a metric of the group `metrics` is, so that readers need neither torch nor the code that computed it.

    Attributes:
        words: Its name for people.
        higher_is_better: Whether a higher value is better.
        fraction: Whether it is shown in percent, and differences of it in points.
        by_class: Whether it has a value for each class; the one without a class is their mean then.
        definition: Its class and arguments, with the fingerprint of code of one's own.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    words: str = Field(min_length=1)
    higher_is_better: bool
    fraction: bool
    by_class: bool
    definition: str

    @property
    def kind(self) -> Kind:
        """What tables and figures need to know of it."""
        return Kind(self.words, self.higher_is_better, self.fraction)


class RunResults(BaseModel):
    """What `results.json` holds: how a run ended, what it was, and its numbers.

    Metrics are fractions or losses of the chosen checkpoint, by the names of `METRICS`, and after them those of the
    group `metrics`, `test/f1` or `test/class_accuracy/3`. Values are `None` where they are unknown; of a finished run
    all are known but the validation metrics of a run without validation images.

    Attributes:
        schema_version: The format's number, `schema` in the file.
        best_epoch: Of the chosen checkpoint, from 0.
        epochs: The budget; `epochs_trained` is what was trained.
        parameters: Trainable ones.
        acted: By technique, whether training with it differs from training without it.
        measured: What the metrics of the group `metrics` are, by name; empty where there are none.
        reused: Whether the run was there before this call; not in the file.
    """

    model_config = ConfigDict(strict=True, validate_by_name=True, validate_by_alias=True, allow_inf_nan=False)

    schema_version: Literal[1, 2] = Field(default=SCHEMA, alias="schema")
    status: Status
    error: str | None = None
    study: str | None = None
    dataset: str | None = None
    model: str | None = None
    setting: str | None = None
    optimizer: str | None = None
    scheduler: str | None = None
    seed: int | None = None
    split_seed: int | None = None
    config_hash: str | None = None
    threads: int | None = None
    compile: bool | None = None
    epochs: int | None = None
    epochs_trained: int | None = None
    best_epoch: int | None = None
    checkpoint: Literal["best", "last"] | None = None
    parameters: int | None = None
    train_size: int | None = None
    acted: dict[str, bool] | None = None
    metrics: dict[str, float | None] = Field(default_factory=lambda: dict.fromkeys(METRICS))
    measured: dict[str, Measured] = Field(default_factory=dict)
    seconds: Seconds = Field(default_factory=Seconds)
    images_per_second: float | None = None
    provenance: dict[str, Any] = Field(default_factory=dict)
    reused: bool = Field(default=False, exclude=True)

    @field_validator("seed", "best_epoch", "epochs")
    @classmethod
    def _counts_from_zero(cls, value: int | None) -> int | None:
        if value is not None and value < 0:
            raise ValueError("expected a number from 0 on")
        return value

    @model_validator(mode="after")
    def _fits_into_tables(self) -> Self:
        for name, value in vars(self).items():
            if isinstance(value, int) and abs(value) >= _MOST:
                raise ValueError(f"{name}: expected a number of at most 64 bits")
        return self

    @model_validator(mode="after")
    def _is_whole_where_finished(self) -> Self:
        if self.status != FINISHED:
            return self
        for name in ("setting", "config_hash", "seed", "epochs", "best_epoch"):
            if getattr(self, name) is None:
                raise ValueError(f"{name}: a finished run has it, received null")
        for name in ("train/acc", "val/acc", "test/acc"):
            value = self.metrics.get(name)
            if (value is None and name != "val/acc") or (value is not None and not 0 <= value <= 1):
                raise ValueError(f"metrics: {name}: expected a fraction from 0 to 1, received {value}")
        for name in self.measured:
            if self.metrics.get(f"test/{name}") is None:
                raise ValueError(f"metrics: test/{name}: expected a number, since measured names it, received null")
        return self

    @property
    def inert(self) -> list[str]:
        """The techniques that are known to have done nothing."""
        return [name for name, acted in (self.acted or {}).items() if not acted]


def write_results(folder: Path, results: RunResults) -> None:
    """Write `results.json`, in one step."""
    write_json(folder / RESULTS, results.model_dump(by_alias=True))


def read_results(folder: Path) -> RunResults | None:
    """Return how a run ended; `None` without the file: the run is still training or was killed.

    Raises:
        DamagedError: The file is not what a run writes.
    """
    try:
        text = read_bytes(folder / RESULTS)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedError(f"{RESULTS}: {one_line(error)}") from error
    try:
        return RunResults.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ": ".join(map(str, first["loc"]))
        received = "" if isinstance(first["input"], Mapping) else f", received {shortened(first['input'])}"
        message = first["msg"].removeprefix("Value error, ").replace("Input should be ", "expected ")
        message = message.replace("Invalid JSON: ", "not JSON, ")
        raise DamagedError(f"{RESULTS}: {place}{': ' if place else ''}{message}{received}") from error


def read_status(folder: Path) -> str | None:
    """Return how a run ended, or `None` without a whole `results.json`."""
    try:
        results = read_results(folder)
    except DamagedError:
        return None
    return results.status if results else None


def is_finished(folder: Path) -> bool:
    """Tell whether the folder holds a whole run."""
    return read_status(folder) == FINISHED


def clear_outcome(folder: Path) -> None:
    """Remove how an earlier call ended, and the temporary files that a killed process left."""
    for name in (RESULTS, ERROR, PREDICTIONS):
        (folder / name).unlink(missing_ok=True)
    for place in (folder, folder / CHECKPOINTS):
        for path in place.glob(f".*{TEMPORARY}"):
            path.unlink(missing_ok=True)


def clear_run(folder: Path) -> None:
    """Remove all that earlier calls left of a run; other files, such as a report, stay."""
    clear_outcome(folder)
    (folder / HISTORY).unlink(missing_ok=True)
    for name in (CHECKPOINTS, *LOGS):
        _remove_folder(folder / name)


def clear_weights(folder: Path) -> None:
    """Remove checkpoints, weights and TensorBoard's files, which no report reads."""
    for name in (CHECKPOINTS, TENSORBOARD):
        _remove_folder(folder / name)


def _remove_folder(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def one_line(error: Exception) -> str:
    """Return an error's text in one line of at most 120 characters."""
    return _cut(str(error) or type(error).__name__)


def shortened(value: object) -> str:
    """Return a value as a message shows it: one line of at most 120 characters."""
    return _cut(repr(value))


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 120 else f"{text[:117]}…"
