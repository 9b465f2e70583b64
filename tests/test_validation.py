from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt

from regbench.validation import check_value, validated


class Scaled:
    @validated
    def __init__(self, factor: Annotated[FiniteFloat, Field(ge=0, lt=1)], *rest: int, kind: Literal["a", "b"] = "a",
                 **options: int) -> None:  # fmt: skip
        self.values = (factor, rest, kind, options)


def test_arguments_are_converted_wherever_they_are_given_and_open_ended_ones_are_let_through() -> None:
    assert Scaled("0.5").values == (0.5, (), "a", {})
    assert Scaled(0, "x", kind="b", more="y").values == (0, ("x",), "b", {"more": "y"})
    assert Scaled(factor=0.25).values[0] == 0.25


@pytest.mark.parametrize("arguments", [{}, {"factor": 0.1, "self": 1}])
def test_a_call_that_does_not_fit_the_signature_names_the_function(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"Scaled\.__init__"):
        Scaled(**arguments)


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (Annotated[FiniteFloat, Field(ge=0, lt=1)], 2, "expected a number in [0, 1); received 2"),
        (Annotated[FiniteFloat, Field(gt=0, le=1)], "x", "expected a number in (0, 1]; received 'x'"),
        (Annotated[FiniteFloat, Field(gt=0)], float("inf"), "expected a finite number above 0; received inf"),
        (Annotated[int, Field(le=5)], 6, "expected an integer of at most 5; received 6"),
        (Annotated[FiniteFloat, Field(lt=5)], 5, "expected a finite number below 5; received 5"),
        (NonNegativeInt, -1, "expected an integer of at least 0; received -1"),
        (PositiveInt, True, "expected an integer above 0; received True"),
        (FiniteFloat, float("nan"), "expected a finite number; received nan"),
        (float, False, "expected a number; received False"),
        (int | None, True, "expected an integer; received True"),
        (Literal["a", "b"], "c", "expected 'a' or 'b'; received 'c'"),
        (list[int] | dict[str, int], 5, "expected a valid list or a valid dictionary; received 5"),
        (Scaled, 5, "expected an instance of Scaled; received 5"),
        (Annotated[list[int], Field(min_length=1)], [], "expected at least 1 item; received []"),
    ],
)  # fmt: skip
def test_one_line_tells_the_whole_range_and_what_was_received(hint: Any, value: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole message follows)
        check_value(value, hint, "key")
    assert str(caught.value).startswith(f"key: {message}")
    assert "\n" not in str(caught.value)


def test_the_first_wrong_element_of_a_list_is_named_by_its_index() -> None:
    with pytest.raises(ValueError, match=r"^key\[1\]: expected an integer above 0; received 0$"):
        check_value([3, 0, "x"], list[PositiveInt], "key")
    with pytest.raises(ValueError, match=r"^key\[1\]\[0\]: expected an integer above 0; received -1$"):
        check_value([[1], [-1]], list[list[PositiveInt]], "key")


def test_a_function_whose_annotations_cannot_be_resolved_is_left_to_itself() -> None:
    @validated
    def function(first: "Unknown", second: int) -> Any:  # type: ignore[name-defined]  # noqa: F821
        return first, second

    assert function("a", "b") == ("a", "b")
