"""Runs that only pretend to train: they write the results that a test wants, at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regbench.runs.claiming import finished_run, refuse_other_run
from regbench.runs.spec import RunSpec
from regbench.storage.configs import write_config
from regbench.storage.lock import HeldError, hold
from regbench.storage.results import RunResults, Seconds, write_results
from regbench.storage.schema import FAILED, FINISHED, HISTORY, METRICS
from regbench.study.run_folders import CURVES
from regbench.sweeps.launcher import ResilientLauncher
from regbench.sweeps.work import Worker


class Pretender:
    """Stands in for `regbench.runs.run.run`.

    Attributes:
        accuracy: Gives a run's test accuracy by its configuration; what it raises is the run's failure.
        trained: What was trained, as `setting seed`, in this order.
    """

    def __init__(self, accuracy: Callable[[dict[str, Any]], float]) -> None:
        self.accuracy = accuracy
        self.trained: list[str] = []

    def __call__(self, folder: Path, config: dict[str, Any], overrides: Any, **options: Any) -> RunResults:
        spec = RunSpec(config, overrides)
        spec.check()
        folder.mkdir(parents=True, exist_ok=True)
        refuse_other_run(folder, spec)
        if (finished := finished_run(folder)) is not None:
            return finished
        with hold(folder, wait=options.get("wait", True)):
            if (is_taken := options.get("is_taken")) is not None and is_taken():
                raise HeldError
            return self._train(folder, config, spec)

    def _train(self, folder: Path, config: dict[str, Any], spec: RunSpec) -> RunResults:
        self.trained.append(f"{spec.setting} {spec.seed}")
        write_config(folder, config, [], spec.code)
        try:
            accuracy = self.accuracy(config)
        except ValueError as error:
            write_results(folder, RunResults(status=FAILED, error=str(error), **spec.described()))
            raise
        columns = ["epoch", *CURVES]
        (folder / HISTORY).write_text(f"{','.join(columns)}\n0{',0.5' * len(CURVES)}\n")
        results = RunResults(
            status=FINISHED,
            best_epoch=0,
            epochs_trained=1,
            checkpoint="best",
            train_size=config["dataset"]["train_size"],
            seconds=Seconds(train=1.0, evaluate=0.0, total=1.0),
            metrics=dict.fromkeys(METRICS, 0.5) | {"test/acc": accuracy, "gap": 0.5 - accuracy},
            **spec.described(),
        )
        write_results(folder, results)
        return results


def pretend(monkeypatch: pytest.MonkeyPatch, accuracy: Callable[[dict[str, Any]], float]) -> Pretender:
    """Let `train.py` and `regbench work` pretend to train, and the workers of a sweep be this process."""
    pretender = Pretender(accuracy)
    monkeypatch.setattr("regbench.runs.run.run", pretender)
    monkeypatch.setattr("regbench.sweeps.work.run", pretender)
    monkeypatch.setattr(ResilientLauncher, "train_runs", lambda self, folder, names: Worker(folder, names).work())
    return pretender
