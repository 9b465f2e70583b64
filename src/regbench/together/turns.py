"""`Turns`: functions that take turns, so that what each of them asks for can be answered for all at once."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

Ask = Callable[[Any], Any]


class Turns:
    """Runs functions in threads of their own, one at a time: each works until it asks for something, or ends.

    So code that knows nothing of others, a trainer's whole loop, can wait in its midst for a step that all take
    together; and nothing that belongs to the process, such as random streams, is used by two at once.

    Args:
        functions: By number; each is given what it asks with, which returns the answer.
    """

    def __init__(self, functions: Mapping[int, Callable[[Ask], object]]) -> None:
        self._turns = {number: _Turn(number, function) for number, function in functions.items()}

    def __enter__(self) -> "Turns":
        """Let each function work until it asks for the first time."""
        try:
            for turn in self._turns.values():
                turn.start()
        except BaseException as stop:
            self.end(stop)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Raise what stands in the way of going on in each function that still waits; then raise what one raised."""
        if error is not None:
            self.end(error)
            return
        for turn in self._turns.values():
            if turn.error is not None:
                raise turn.error

    @property
    def asked(self) -> dict[int, Any]:
        """What each function that has not ended asks for, by its number."""
        return {number: turn.question for number, turn in self._turns.items() if turn.waits}

    def answer(self, number: int, value: Any) -> None:
        """Give an answer, and wait until the function asks again or ends.

        Raises:
            BaseException: What stopped the process meanwhile, a signal as a rule; the function waits or has ended then.
        """
        self._turns[number].go_on(value)

    def fail(self, number: int, error: BaseException) -> None:
        """Raise an error where the function asks, and wait until it asks again or ends."""
        self._turns[number].go_on(None, error)

    def end(self, error: BaseException) -> None:
        """Raise an error in each function that waits, until all have ended; further signals change nothing."""
        for turn in self._turns.values():
            while turn.waits:
                try:
                    turn.go_on(None, error)
                except BaseException:  # the end is under way already
                    continue


class _Turn:
    """One function in its thread."""

    def __init__(self, number: int, function: Callable[[Ask], object]) -> None:
        self.question: Any = None
        self.waits = False
        self.error: BaseException | None = None
        self._function = function
        self._answer: Any = None
        self._obstacle: BaseException | None = None
        self._may_go = threading.Semaphore(0)
        self._is_back = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"regbench-member-{number}", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._wait()

    def go_on(self, answer: Any, error: BaseException | None = None) -> None:
        self._answer, self._obstacle = answer, error
        self.waits, self.question = False, None
        self._is_back.clear()
        self._may_go.release()
        self._wait()

    def _wait(self) -> None:
        """Wait for the function, also where a signal raises something here: two must not work at once."""
        stop: BaseException | None = None
        while not self._is_back.is_set():
            try:
                self._is_back.wait()
            except BaseException as error:  # whatever a signal's handler raises
                stop = stop or error
        if stop is not None:
            raise stop

    def _work(self) -> None:
        try:
            self._function(self._ask)
        except BaseException as error:  # for the main thread
            self.error = error
        finally:
            self._is_back.set()

    def _ask(self, question: Any) -> Any:
        self.question, self.waits = question, True
        self._is_back.set()
        self._may_go.acquire()
        if self._obstacle is not None:
            raise self._obstacle
        return self._answer
