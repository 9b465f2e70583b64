"""Keyword arguments stand for overrides, and are read as the command line reads those."""

from typing import Any

import pytest

from regbench.config import compose
from regbench.config.composing import compose_raw, to_plain
from regbench.overrides import with_keywords


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (3, "3"),
        (0.001, "0.001"),
        (True, "true"),
        (None, "null"),
        ("none,dropout", "none,dropout"),
        (range(5), "range(0,5,1)"),
        (["batchnorm", "dropout"], "[batchnorm,dropout]"),
        ({"p": 0.5, "on": False}, "{p:0.5,on:false}"),
    ],
)
def test_a_value_is_written_as_on_the_command_line(value: Any, written: str) -> None:
    assert with_keywords(["a=1"], {"b": value}) == ["a=1", f"b={written}"]


def test_a_configuration_by_keywords_is_that_of_the_same_overrides() -> None:
    by_keywords = with_keywords([], {"regularizer": ["batchnorm", "dropout"], "seed": 3, "dataset": "digits"})
    written = ["regularizer=[batchnorm,dropout]", "seed=3", "dataset=digits", "study=s"]
    assert compose([*by_keywords, "study=s"]) == to_plain(compose_raw(written))


@pytest.mark.parametrize(
    ("overrides", "values", "message"),
    [
        ([], {"seed": object}, r"^seed: expected text, a number, .*; received <class 'object'>$"),
        ([3], {}, r"^expected overrides as text, such as 'regularizer=dropout'; received 3$"),
    ],
)
def test_what_is_no_override_is_refused_in_one_line(overrides: Any, values: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        with_keywords(overrides, values)
