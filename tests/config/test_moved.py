"""Moving code renames no run: configurations of 0.1.0 keep their hash, and the class paths in them keep working."""

import copy
from typing import Any

import pytest

from regbench.config import compose
from regbench.config.identity import config_hash
from regbench.config.objects import construct
from regbench.data.sources import Digits, Source

# As version 0.1.0 named the folders of these runs.
FOLDERS = {"none": "d6745e", "dropout": "96243a", "weight_decay": "292e67", "batchnorm": "5e7a0d"}


def as_stored_by_0_1_0(config: dict[str, Any]) -> dict[str, Any]:
    stored = copy.deepcopy(config)
    stored["dataset"]["source"]["_target_"] = stored["dataset"]["source"]["_target_"].replace(
        "regbench.data.", "regbench."
    )
    stored["scheduler"]["_target_"] = stored["scheduler"]["_target_"].replace(
        "regbench.training.schedules", "regbench.schedulers"
    )
    for group in ("optimizer", "scheduler"):
        stored[group]["_partial_"] = True
    return stored


@pytest.mark.parametrize(("setting", "expected"), FOLDERS.items())
def test_the_runs_of_0_1_0_are_found_by_todays_configurations_on_their_split(setting: str, expected: str) -> None:
    quick = ["trainer.max_epochs=2", "threads=1", "compile=false"]
    config = compose([f"regularizer={setting}", "dataset.split_seed=0", *quick])
    assert config_hash(config) == expected


@pytest.mark.parametrize("scheduler", ["constant", "warmup_cosine"])
@pytest.mark.parametrize("dataset", ["digits", "mnist"])
def test_a_stored_configuration_has_the_hash_of_the_one_composed_today(dataset: str, scheduler: str) -> None:
    config = compose([f"dataset={dataset}", f"scheduler={scheduler}"])
    stored = as_stored_by_0_1_0(config)
    assert stored != config
    assert config_hash(stored) == config_hash(config)


def test_a_class_is_found_by_the_path_that_it_had() -> None:
    assert isinstance(construct({"_target_": "regbench.sources.Digits"}, Source, "dataset.source"), Digits)
