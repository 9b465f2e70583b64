import math

import pytest

from regbench.study.formatting import amount, config_value, interval, mean_sd, mean_sd_of, p_value, points


def test_a_mean_stands_with_its_deviation_where_there_is_one() -> None:
    assert mean_sd(89.351, 0.139) == "89.35 ± 0.14"
    assert mean_sd(0.03151, 0.00581, digits=4) == "0.0315 ± 0.0058"
    assert mean_sd(89.351, math.nan) == mean_sd(89.351, None) == "89.35"
    assert mean_sd(None, 0.1) == mean_sd(math.nan, 0.1) == "–"


def test_the_deviation_of_values_is_that_of_a_sample() -> None:
    assert mean_sd_of([0.89, 0.90, 0.91, math.nan], 100) == "90.00 ± 1.00"
    assert mean_sd_of([0.89], 100) == "89.00"
    assert mean_sd_of([]) == mean_sd_of([math.nan]) == "–"
    assert mean_sd_of([56.4, 57.0], digits=0) == "57 ± 0"


def test_differences_of_accuracies_are_in_points_with_a_sign() -> None:
    assert (points(0.0113), points(-0.002), points(0.0), points(None)) == ("+1.13", "−0.20", "+0.00", "–")
    assert amount(-0.0077, "test/acc") == "−0.77 points"
    assert amount(0.0031, "gap", sign=False) == "0.31 points"
    assert amount(-0.0123, "test/loss") == "−0.0123"
    assert amount(-0.0123, "seconds/total") == "−0.0123"


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (-0.004, 0.0, "−0.40 to +0.00"),
        (5e-324, 0.012, "just above 0 to +1.20"),
        (-0.03, -5e-324, "−3.00 to just below 0"),
        (math.nan, math.nan, "–"),
        (None, None, "–"),
    ],
)
def test_an_interval_says_where_an_end_stands_open_at_zero(low: float | None, high: float | None, shown: str) -> None:
    assert interval(low, high) == shown


def test_p_values_have_three_decimals() -> None:
    assert [p_value(p) for p in (0.0004, 0.001, 0.0526, 0.29, 1.0)] == ["< 0.001", "0.001", "0.053", "0.290", "1.000"]
    assert p_value(None) == p_value(math.nan) == "–"


def test_configuration_values_are_written_as_in_yaml() -> None:
    values = [0.5, 1e-5, True, None, math.nan, 3.0, "tanh"]
    assert [config_value(value) for value in values] == ["0.5", "1e-05", "true", "null", "null", "3", "tanh"]
