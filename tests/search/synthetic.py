"""Searches without training: a function of the configuration stands in for a run, and leaves a run's folder."""

import copy
import functools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from regbench.config.composing import compose_raw
from regbench.config.identity import config_hash, setting_name
from regbench.runs.spec import RunSpec
from regbench.search import worker
from regbench.search.command import save
from regbench.search.plan import Plan, make_plan
from regbench.search.schedule import Schedule
from regbench.storage.configs import write_config
from regbench.storage.results import RunResults, is_finished, write_results
from regbench.storage.schema import METRICS
from regbench.storage.tuning import Tuning

QUICK = ["study=s", "dataset=digits", "trainer.max_epochs=4", "compile=false"]
OPTIMUM = 2e-3

Config = Mapping[str, Any]
Score = Callable[[Config], float]


def planted(config: Config) -> float:
    """A validation accuracy that is best where the rate is 2e-3, the same for all settings and seeds."""
    return 0.9 - 0.05 * math.log10(float(config["optimizer"]["lr"]) / OPTIMUM) ** 2


class Trainer:
    """Stands in for `regbench.runs.run.run`.

    Attributes:
        trained: How often each folder was trained.
        stops_at: Before which training it is interrupted, counted from 1.
    """

    def __init__(self, score: Score, test: Score = lambda config: 0.5, stops_at: int | None = None) -> None:
        self.score = score
        self.test = test
        self.stops_at = stops_at
        self.trained: Counter[Path] = Counter()
        self.configs: dict[Path, Config] = {}

    def __call__(self, folder: Path, config: Config, overrides: list[str], *, callbacks: Any = ()) -> None:
        if is_finished(folder):
            return
        if self.trained.total() + 1 == self.stops_at:
            raise KeyboardInterrupt
        self.trained[folder] += 1
        self.configs[folder] = config
        folder.mkdir(parents=True, exist_ok=True)
        write_config(folder, config, overrides)
        epochs = config["trainer"]["max_epochs"]
        names = "epoch,lr,seconds,train/objective,train/acc_online,probe/loss,probe/acc,val/loss,val/acc,val/ece"
        score = self.score(config)
        rows = [f"{epoch},0.1,1,0.5,0.5,0.5,0.5,{1 - score},{score},0.1" for epoch in range(epochs)]
        (folder / "history.csv").write_text("\n".join([names, *rows]) + "\n")
        test = self.test(config)
        validated = {"val/acc": score, "val/loss": 1 - score, "val/ece": 0.1}
        metrics = dict.fromkeys(METRICS, 0.5) | validated | {"test/acc": test, "gap": 0.5 - test}
        write_results(
            folder,
            RunResults(
                status="finished",
                study=config["study"],
                dataset="digits",
                model="lenet5",
                setting=setting_name(config),
                seed=config["seed"],
                split_seed=RunSpec(config).split_seed,
                config_hash=config_hash(config),
                optimizer=config["optimizer"]["name"],
                scheduler=config["scheduler"]["name"],
                threads=1,
                compile=False,
                epochs=epochs,
                epochs_trained=epochs,
                best_epoch=0,
                checkpoint="best",
                parameters=61_706,
                train_size=1_200,
                metrics=metrics,
            ),
        )


def search(monkeypatch: pytest.MonkeyPatch, trainer: Trainer, *arguments: str) -> tuple[Plan, Tuning]:
    """Search and confirm in this process; return the plan, and what is recorded at the end.

    Composing takes longer than all else, so Hydra is called once for the same overrides.
    """
    monkeypatch.setattr("regbench.search.plan.compose_raw", _compose_once)
    given = {each.partition("=")[0] for each in arguments}
    plan = make_plan([*(each for each in QUICK if each.partition("=")[0] not in given), *arguments])
    monkeypatch.setattr(worker, "run", trainer)
    schedule = Schedule(plan)
    schedule.forget_left()
    try:
        assert worker.SearchWorker(plan).work(wait=True)
    finally:
        tuning = save(plan, schedule, "regbench tune")
    return plan, tuning


def _compose_once(overrides: Iterable[str], name: str) -> DictConfig:
    return copy.deepcopy(_composed(tuple(overrides), name))


@functools.cache
def _composed(overrides: tuple[str, ...], name: str) -> DictConfig:
    return compose_raw(overrides, name)
