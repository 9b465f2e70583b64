"""Ray without Ray: a task runs, in this process, when it is submitted."""

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class LostError(Exception):
    """A task's process or node was lost."""


class RaisedError(LostError):
    """A task raised an error. Ray's class of these is one of all errors, too."""


class Ray:
    """The module.

    Args:
        cores: Of the cluster.

    Attributes:
        asked: With what each remote function was made.
        submitted: The tasks' names.
    """

    exceptions = SimpleNamespace(RayError=LostError, RayTaskError=RaisedError)

    def __init__(self, cores: int) -> None:
        self.asked: list[dict[str, Any]] = []
        self.submitted: list[str] = []
        self._cores = cores
        self._outcomes: dict[int, Any] = {}
        self._numbers = itertools.count()

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(self._cores)}

    def remote(self, **asked: Any) -> Callable[[Callable[..., Any]], Any]:
        self.asked.append(asked)
        return lambda function: SimpleNamespace(
            options=lambda name: SimpleNamespace(remote=lambda *given: self._run(name, function, given))
        )

    def _run(self, name: str, function: Callable[..., Any], given: tuple[Any, ...]) -> int:
        self.submitted.append(name)
        task = next(self._numbers)
        try:
            self._outcomes[task] = function(*given)
        except LostError as error:
            self._outcomes[task] = error
        except Exception as error:
            self._outcomes[task] = RaisedError(f"ray::{name}\nTraceback\n{type(error).__name__}: {error}")
        return task

    def wait(self, tasks: list[int], timeout: float) -> tuple[list[int], list[int]]:
        return tasks[:1], tasks[1:]

    def get(self, task: int) -> Any:
        outcome = self._outcomes[task]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def shutdown(self) -> None: ...
