"""What is measured: the metrics of a study's runs beside those of every run, and quantities as people read them."""

from collections.abc import Mapping
from dataclasses import dataclass

from regbench.storage.results import Measured
from regbench.storage.schema import KINDS, Kind, kind_of

TEST_ACCURACY = "test/acc"
_WORDS = {"train": "training", "val": "validation"} | {name: kind.words for name, kind in KINDS.items()}


@dataclass(frozen=True)
class StudyMetric:
    """A metric of the group `metrics` that runs of a study have.

    Attributes:
        kind: What it is.
        by_class: Whether there is a value for each class.
        definitions: What the runs that have it mean by it, each once; more than one makes them incomparable.
        verified: Whether it was computed anew, of the predictions of each run that has it.
    """

    kind: Kind
    by_class: bool
    definitions: tuple[str, ...]
    verified: bool

    @classmethod
    def of(cls, measured: Measured, verified: bool) -> "StudyMetric":
        """Return what one run says."""
        direction = "higher" if measured.higher_is_better else "lower"
        definition = f"{measured.definition}, {direction} is better"
        return cls(measured.kind, measured.by_class, (definition,), verified)

    def described(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {**self.kind._asdict(), "by_class": self.by_class, "definitions": list(self.definitions)}

    def joined(self, other: "StudyMetric") -> "StudyMetric":
        """Return what this and another run's say together."""
        definitions = tuple(dict.fromkeys([*self.definitions, *other.definitions]))
        verified = self.verified and other.verified
        return StudyMetric(self.kind, self.by_class or other.by_class, definitions, verified)


@dataclass(frozen=True)
class Quantity:
    """A column of the runs in words, and in the unit in which people read it.

    Attributes:
        column: Such as `test/acc`.
        kind: What it is.
    """

    column: str
    kind: Kind

    @classmethod
    def of(cls, column: str, own: Mapping[str, Kind] | None = None) -> "Quantity":
        """Return what a column holds; one of no known metric is a plain number."""
        kind = kind_of(column, own)
        return cls(column, kind or Kind(column, higher_is_better=False, fraction=False))

    @property
    def words(self) -> str:
        """The metric with its split: `test accuracy`."""
        return metric_words(self.column, self.kind)

    @property
    def title(self) -> str:
        """The words at the beginning of a sentence."""
        return self.words[:1].upper() + self.words[1:]

    @property
    def scale(self) -> float:
        """What a value is multiplied by: fractions are shown in percent."""
        return 100.0 if self.kind.fraction else 1.0

    @property
    def digits(self) -> int:
        """Decimals that are shown."""
        return 2 if self.kind.fraction else 4

    @property
    def unit(self) -> str:
        """The unit of differences, with the comma before it; nothing for a plain number."""
        return ", points" if self.kind.fraction else ""

    def size(self, difference: float) -> str:
        """Write a difference of so much, as a margin is: `0.3 points`."""
        return f"{self.scale * difference:g}{self.unit.removeprefix(',')}"

    @property
    def axis(self) -> str:
        """The words with the unit: `test accuracy, %`."""
        return f"{self.words}, %" if self.kind.fraction else self.words

    @property
    def is_test_accuracy(self) -> bool:
        """Whether it is what reports are on unless another metric is asked for."""
        return self.column == TEST_ACCURACY


ACCURACY = Quantity.of(TEST_ACCURACY)


def is_accuracy(metric: str) -> bool:
    """Tell whether a column is an accuracy of all images, which has the data set's margin."""
    return metric.rpartition("/")[2] == "acc"


def metric_words(metric: str, kind: Kind | None = None) -> str:
    """Return a metric in words: `test/acc` is test accuracy.

    Args:
        metric: Its name.
        kind: What it is, where it is no metric that every run has.
    """
    parts = metric.split("/")
    words = [_WORDS.get(part, part) for part in parts]
    if kind is not None and len(parts) > 1:
        words[1] = kind.words
        words[2:] = [f"of class {each}" for each in parts[2:]]
    return " ".join(words)


def check_metric(metric: str, measured: Mapping[str, StudyMetric], columns: list[str]) -> None:
    """Refuse a metric that the runs do not have, or by which they mean different things.

    Args:
        metric: A column.
        measured: The study's further metrics.
        columns: Those that there are.

    Raises:
        ValueError: In one line.
    """
    if metric not in columns:
        whole = [name for name in columns if name.count("/") < 2]
        by_class = ", or one by class" if len(whole) < len(columns) else ""
        meant = f"; did you mean test/{metric}?" if f"test/{metric}" in columns else ""
        raise ValueError(f"metric: expected one of {', '.join(whole)}{by_class}; received {metric!r}{meant}")
    found = measured.get(metric.split("/")[1]) if "/" in metric else None
    if found is not None and len(found.definitions) > 1:
        raise ValueError(
            f"metric: expected runs that mean the same by {metric}; received {' and '.join(found.definitions)}; "
            "force=true trains them again with one definition"
        )
