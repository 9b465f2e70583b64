"""A sweep's runs are those that Hydra composes one by one, and are composed once for each setting."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from regbench.config.composing import CONFIGS, to_plain
from regbench.storage.configs import read_planned
from regbench.sweeps.resolving import Resolver, write_runs

QUICK = ["dataset=digits", "trainer.max_epochs=2"]


class Counting:
    """Hydra's loader, with every composition counted."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self.composed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def load_sweep_config(self, config: DictConfig, overrides: list[str]) -> DictConfig:
        self.composed += 1
        return self._loader.load_sweep_config(config, overrides)  # type: ignore[no-any-return]


@pytest.fixture
def loader() -> Iterator[Counting]:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        yield Counting(GlobalHydra.instance().config_loader())


def resolver(loader: Counting, *overrides: str) -> Resolver:
    return Resolver(compose("train", ["study=s", *overrides], return_hydra_config=True), loader)  # type: ignore[arg-type]


GRIDS = [
    [
        ["regularizer=none", "regularizer=[batchnorm,dropout]"],
        ["optimizer=adam", "optimizer=sgd"],
        ["seed=0", "seed=7"],
    ],
    [["regularizer=dropout"], ["regularizer.dropout.p=0.1", "regularizer.dropout.p=0.5"], ["seed=1", "seed=2"]],
    [["seed=3"], ["optimizer.lr=1e-3", "optimizer.lr=0.01"], ["trainer.max_epochs=1", "trainer.max_epochs=3"]],
    [["+regularizer.own._target_=a.B"], ["+regularizer.own.x=1", "+regularizer.own.x=[1,2]"], ["seed=0"]],
    [["~model.padding", "model.padding=2"], ["seed=0", "seed=1"]],
    [["callbacks=ema"], ["dataset.train_size=100", "dataset.train_size=1000"], ["seed=0"]],
    [["dataset.split_seed=null", "dataset.split_seed=${seed}"], ["seed=4", "seed=5"]],
    [["scheduler=one_cycle"], ["compile=true", "compile=false"], ["threads=1", "threads=2"], ["seed=0"]],
    [["dataset.classes=[a,b]", "dataset.classes=[c,d,e]"], ["seed=0"]],
    [["optimizer={lr: 0.1}", "optimizer={lr: 0.2}"], ["seed=0"]],
    [["monitor='val/loss'", 'monitor="val/acc"'], ["seed=0"]],
    [["regularizer=none"], ["trainer.max_epochs=1", "trainer.max_epochs=2"]],
    [["optimizer.lr=0.1"], ["optimizer={lr: 0.2}", "optimizer={lr: 0.3}"], ["seed=0"]],
    [["optimizer={lr: 0.2}"], ["optimizer.lr=0.1", "optimizer.lr=0.3"], ["seed=0"]],
]


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: " ".join(values[0] for values in grid))
def test_every_run_is_what_hydra_composes(grid: list[list[str]], loader: Counting) -> None:
    found = resolver(loader, *QUICK[:1])
    jobs = [["study=s", "dataset=digits", *job] for job in product(*grid)]
    for job, run in zip(jobs, found.runs(jobs), strict=True):
        composed = loader._loader.load_sweep_config(found.config, job)
        HydraConfig.instance().set_config(composed)
        assert run.spec.config == to_plain(composed), job
        assert run.name == composed.hydra.sweep.subdir, job
        assert run.overrides == job
        assert run.spec.config_hash in run.name


def test_options_are_composed_once_whatever_the_seeds_and_values(loader: Counting) -> None:
    grid = [["regularizer=none", "regularizer=dropout"], [f"optimizer.lr={n}e-3" for n in range(1, 6)]]
    jobs = [[*job, f"seed={seed}"] for job in product(*grid) for seed in range(40)]
    runs = list(resolver(loader, *QUICK).runs(jobs))
    assert len({run.name for run in runs}) == len(jobs) == 400
    assert loader.composed == 2


def test_a_folder_of_ones_own_name_is_composed_run_by_run(loader: Counting, tmp_path: Path) -> None:
    given = "hydra.sweep.subdir=${optimizer.lr}/${seed}"
    found = resolver(loader, *QUICK, given)
    jobs = [[given, f"optimizer.lr={lr}", f"seed={seed}"] for lr in (0.1, 0.2) for seed in (0, 1)]
    runs = list(found.runs(jobs))
    assert [run.name for run in runs] == ["0.1/0", "0.1/1", "0.2/0", "0.2/1"]
    write_runs(tmp_path, runs)
    planned = [read_planned(tmp_path, run.name).config for run in runs]
    assert [(each["optimizer"]["lr"], each["seed"]) for each in planned] == [(0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)]


def test_a_plan_gives_back_every_run_and_has_one_file_for_each_setting(loader: Counting, tmp_path: Path) -> None:
    jobs = [[*QUICK, f"regularizer={name}", f"seed={seed}"] for name in ("none", "dropout") for seed in range(3)]
    runs = list(resolver(loader).runs(jobs))
    write_runs(tmp_path, runs)
    assert len(list((tmp_path / "plan").rglob("*.yaml"))) == 2
    for run in runs:
        stored = read_planned(tmp_path, run.name)
        assert stored.config == {**run.spec.config, "force": False}
        assert sorted(stored.overrides) == sorted(run.overrides)


def test_other_launchers_are_told_what_machines_may_decide_differently(loader: Counting) -> None:
    (run,) = resolver(loader, *QUICK).runs([[*QUICK, "threads=2", "seed=1"]])
    assert run.job() == [*QUICK, "threads=2", "seed=1", "compile=False"]


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (["seed=-1"], "seed: expected an integer of at least 0"),
        (["seed=1e3"], "seed: expected an integer of at least 0"),
        (["threads=5000", "seed=0"], "threads: expected at most 1,024"),
        (["regularizer=[dropout,dropout]", "seed=0"], "expected each of regularizer once"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(job: list[str], message: str, loader: Counting) -> None:
    with pytest.raises(ValueError, match=rf"^[^\n]*{message}[^\n]*$"):
        list(resolver(loader, *QUICK).runs([["seed=0"], job]))
