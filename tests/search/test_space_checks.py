"""A search that could try what a run refuses is refused itself, before its first trial."""

from dataclasses import replace
from typing import Any

import pytest

from regbench.search.plan import Setting, make_plan
from regbench.search.space_checks import check_spaces
from regbench.storage.tuning import Range

WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "the upper end": (
        "regularizer.dropout.p",
        {"low": 0.1, "high": 1.5},
        "space.regularizer.dropout.p.high: expected a number in [0, 1); received 1.5",
    ),
    "the lower end": (
        "regularizer.dropout.p",
        {"low": -0.1, "high": 0.5},
        "space.regularizer.dropout.p.low: expected a number in [0, 1); received -0.1",
    ),
    "a choice": (
        "regularizer.dropout.layers",
        {"choices": ["all", "most"]},
        "space.regularizer.dropout.layers.choices: expected 'dense', 'all' or 'f6'; received 'most'",
    ),
    "between whole ends": (
        "regularizer.cutout.size",
        {"low": 2, "high": 16},
        "space.regularizer.cutout.size: expected an integer of at least 0; received 7.348; whole numbers are searched "
        "by low, high and step: 1",
    ),
    "a rate of torch's": (
        "optimizer.lr",
        {"low": -1.0, "high": 1.0},
        "space.optimizer.lr.low: expected a finite number of at least 0; received -1.0",
    ),
    "momentum of torch's": (
        "optimizer.momentum",
        {"low": 0.5, "high": 1.0},
        "space.optimizer.momentum.high: expected a number in [0, 1); received 1.0",
    ),
    "a schedule": (
        "scheduler.warmup",
        {"low": 0.0, "high": 1.0},
        "space.scheduler.warmup.high: expected a number in [0, 1); received 1.0",
    ),
    "a callback": (
        "callbacks.ema.decay",
        {"low": 0.9, "high": 1.1},
        "space.callbacks.ema.decay.high: expected a number in [0, 1]; received 1.1",
    ),
}


@pytest.fixture(scope="module")
def setting() -> Setting:
    parts = ["regularizer=[dropout,cutout]", "optimizer=sgd", "scheduler=warmup_cosine", "callbacks=ema"]
    (found,) = make_plan(["study=s", "dataset=digits", *parts]).settings
    return found


@pytest.mark.parametrize("case", WRONG)
def test_what_a_part_would_refuse_is_refused_by_its_place_in_the_range(case: str, setting: Setting) -> None:
    key, node, message = WRONG[case]
    with pytest.raises(ValueError) as refused:  # noqa: PT011 (the whole message is compared)
        check_spaces([replace(setting, space={**setting.space, key: Range(**node)})])
    assert str(refused.value) == message


def test_ends_that_a_part_takes_and_whole_numbers_by_steps_pass(setting: Setting) -> None:
    space = {
        "regularizer.dropout.p": Range(low=0.0, high=0.999),
        "regularizer.cutout.size": Range(low=0, high=16, step=1),
        "optimizer.lr": Range(low=1e-9, high=10.0, log=True),
        "optimizer.nesterov": Range(choices=[True, False]),
    }
    check_spaces([replace(setting, space=space)])


def test_a_given_value_that_a_part_would_refuse_is_refused_by_its_own_key() -> None:
    with pytest.raises(ValueError, match=r"^regularizer\.dropout\.p: expected a number in \[0, 1\); received 1\.5$"):
        make_plan(["study=s", "dataset=digits", "regularizer=dropout", "regularizer.dropout.p=1.5"])
