"""Functions that take turns: one at a time, each until it asks for something."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from regbench.together.turns import Ask, Turns


def test_each_works_until_it_asks_and_goes_on_with_its_answer() -> None:
    order: list[str] = []

    def function(name: str, questions: int) -> Callable[[Ask], None]:
        def work(ask: Ask) -> None:
            for number in range(questions):
                order.append(f"{name}{number} is {ask(f'{name}{number}')}")

        return work

    with Turns({0: function("a", 1), 5: function("b", 2)}) as turns:
        assert turns.asked == {0: "a0", 5: "b0"}
        turns.answer(5, "first")
        assert turns.asked == {0: "a0", 5: "b1"}
        turns.answer(0, "second")
        assert turns.asked == {5: "b1"}
        turns.answer(5, "third")
        assert not turns.asked
    assert order == ["b0 is first", "a0 is second", "b1 is third"]


def test_no_two_work_at_once() -> None:
    working = threading.Lock()

    def work(ask: Ask) -> None:
        for _ in range(50):
            assert working.acquire(blocking=False)
            sum(range(1000))
            working.release()
            ask(None)

    with Turns(dict.fromkeys(range(4), work)) as turns:
        while asked := turns.asked:
            for number in asked:
                turns.answer(number, None)


def test_an_error_is_raised_where_the_function_asks() -> None:
    caught: list[Any] = []

    def work(ask: Ask) -> None:
        try:
            ask("may I")
        except KeyError as error:
            caught.append(error.args)

    with Turns({0: work}) as turns:
        turns.fail(0, KeyError("no"))
    assert caught == [("no",)]


def test_what_a_function_raises_is_raised_when_all_have_ended() -> None:
    ended: list[str] = []

    def fail(ask: Ask) -> None:
        raise ValueError("broken")

    def work(ask: Ask) -> None:
        ask(None)
        ended.append("whole")

    with pytest.raises(ValueError, match="broken"), Turns({0: fail, 1: work}) as turns:
        turns.answer(1, None)
    assert ended == ["whole"]


def test_a_signal_ends_all_where_they_ask_and_never_two_at_once() -> None:
    ended: list[str] = []

    class Stop(BaseException):
        pass

    def stop(number: int, frame: Any) -> None:
        raise Stop

    def signals_itself(ask: Ask) -> None:
        ask("first")
        os.kill(os.getpid(), signal.SIGUSR1)
        sum(range(100_000))  # the main thread hears of the signal and must go on waiting
        ended.append("worked on")
        try:
            ask("second")
        except Stop:
            ended.append("signalled")

    def waits(ask: Ask) -> None:
        try:
            ask("for ever")
        except Stop:
            ended.append("waiting")

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        with pytest.raises(Stop), Turns({0: signals_itself, 1: waits}) as turns:
            turns.answer(0, None)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ended == ["worked on", "signalled", "waiting"]
