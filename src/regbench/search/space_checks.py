"""Whether what a search may try is what the parts of a run take: asked when it is planned, before any trial."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from regbench.config.checks import check_values
from regbench.config.declared_types import check_declared
from regbench.storage.tuning import Range, Value

if TYPE_CHECKING:
    from regbench.search.plan import Setting

_SEED = 0  # of no trial: no value depends on it
_WITHIN = 0.382  # of a range, from its lower end: a place where no whole number is


def check_spaces(settings: Iterable["Setting"]) -> None:
    """Refuse given values, choices and ends of ranges that a run's parts would refuse.

    Args:
        settings: Those of a tuned comparison.

    Raises:
        ValueError: In one line that names the key, what was expected and the value.
    """
    checked: set[tuple[str, str]] = set()
    for setting in settings:
        _check(setting.trial_config({}, _SEED))
        for key, searched in setting.space.items():
            for place, value in _tried(searched):
                if (key, repr(value)) in checked:  # of another setting
                    continue
                checked.add((key, repr(value)))
                try:
                    _check(setting.trial_config({key: value}, _SEED))
                except ValueError as error:
                    hint = "; whole numbers are searched by low, high and step: 1" if not place else ""
                    reason = str(error).removeprefix(f"{key}: ")
                    raise ValueError(f"space.{key}{place}: {reason}{hint}") from error


def _check(config: dict[str, Any]) -> None:
    check_values(config)
    check_declared(config)


def _tried(searched: Range) -> Iterator[tuple[str, Value]]:
    """Yield values that show what a search may try, each with its place in the range."""
    if searched.choices is not None:
        yield from ((".choices", value) for value in searched.choices)
        return
    if searched.low is None or searched.high is None:
        return
    yield from ((".low", searched.low), (".high", searched.high))
    if not searched.is_whole:
        step = (searched.high - searched.low) * _WITHIN if searched.step is None else searched.step
        yield "", float(searched.low + step)
