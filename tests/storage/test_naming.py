"""What settings are called: by techniques, strengths, and what else tells them apart."""

from pathlib import Path
from typing import Any

import pytest

from regbench.storage.configs import StoredConfig, write_planned
from regbench.storage.naming import name_settings, read_settings, with_strengths
from tests.study.synthetic import write_study

DROPOUT = {"dropout": {"_target_": "x", "p": 0.5, "layers": "dense"}}


@pytest.mark.parametrize(
    ("regularizer", "name"),
    [
        ({}, "none"),
        (DROPOUT, "dropout p=0.5"),
        ({"batchnorm": {"momentum": 0.1, "eps": 1e-5, "layers": "all"}}, "batchnorm"),
        ({"weight_decay": {"coefficient": 1e-4}, **DROPOUT}, "dropout+weight_decay p=0.5 coefficient=0.0001"),
        ({"l1": {"coefficient": 1e-5}, "sam": {"coefficient": 2}}, "l1+sam l1.coefficient=1e-05 sam.coefficient=2"),
        ({"augmentation": {"flip": True, "shift": 2}, "own": None}, "augmentation+own shift=2"),
    ],
)
def test_a_setting_is_named_by_its_techniques_and_their_strengths(regularizer: dict[str, Any], name: str) -> None:
    assert with_strengths(regularizer) == name


def test_settings_of_one_strength_are_told_apart_by_what_the_user_changed_between_them() -> None:
    shared = ["regularizer=dropout", "study=s", "seed=0", "trainer.max_epochs=5"]
    stored = {"regularizer": DROPOUT}
    settings = {
        "digits-lenet5/dropout-aaaaaa": StoredConfig(stored, [*shared, "optimizer=sgd", "optimizer.lr=0.1"]),
        "digits-lenet5/dropout-bbbbbb": StoredConfig(stored, [*shared, "+callbacks.ema.decay=0.9"]),
        "digits-lenet5/dropout-cccccc": StoredConfig(stored, [*shared, "regularizer.dropout.layers=all"]),
        "digits-lenet5/dropout-dddddd": StoredConfig(stored, [*shared, "regularizer.dropout.p=0.50"]),
        "digits-lenet5/dropout-eeeeee": StoredConfig(stored, shared),
        "digits-lenet5/batchnorm-ffffff": StoredConfig({}, shared),
    }
    assert list(name_settings(settings).values()) == [
        "dropout p=0.5 optimizer=sgd lr=0.1",
        "dropout p=0.5 decay=0.9",
        "dropout p=0.5 layers=all",
        "dropout p=0.5 [dddddd]",
        "dropout p=0.5 [eeeeee]",
        "batchnorm",
    ]


def test_configurations_are_read_from_the_plan_or_from_any_run(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", {"none": 0.9, "dropout p=0.3": 0.9}, range(2), status={("none", 0): "missing"})
    runs = [each.parent.relative_to(study).as_posix() for each in sorted(study.glob("*/*/*/config.yaml"))]
    planned = "digits-lenet5/dropout-abcdef/seed0"
    write_planned(study, planned, StoredConfig({"regularizer": DROPOUT, "seed": 0}, ["seed=0"]))
    gone = "digits-lenet5/mixup-abcdef/seed0"
    assert sorted(name_settings(read_settings(study, [*runs, planned, gone])).values()) == [
        "dropout p=0.3",
        "dropout p=0.5",
        "mixup",
        "none",
    ]
