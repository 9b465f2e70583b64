"""`Group`: trains members together, answering what they ask for all at once."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from regbench.runs.engine import Engine
from regbench.seeding import stream_seed
from regbench.together.drawing import draw_all
from regbench.together.forming import Formed
from regbench.together.images import Images
from regbench.together.member import MemberEngine
from regbench.together.program import Program, evaluate, without_notices
from regbench.together.questions import Drawing, Predictions, Scores, Steps
from regbench.together.stack import Member, Stack, named_state
from regbench.together.turns import Ask, Turns
from regbench.together.updates import update_of
from regbench.training.fitting import lightning_as_a_library
from regbench.training.interruption import CTRL_C, Terminated, terminable

_Question = TypeVar("_Question", Steps, Scores, Predictions)


class TooManyMembersError(Terminated):
    """The device has no memory for so many members; their runs stay unfinished."""


class Group:
    """Trains members of one kind.

    Noise is drawn for all rows at once, those of finished runs included. So a member's numbers depend on its row and on
    how many there are, and on nothing else of the others.

    Args:
        formed: Who they are.
        images: The data set's.
        classes: C.
        compile: Whether forward pass and loss are compiled.
    """

    def __init__(self, formed: Formed, images: Images, classes: int, *, compile: bool) -> None:
        self._formed = formed
        self._images = images
        self._classes = classes
        self._compile = compile
        self._program: Program | None = None
        self._stacked_rows: frozenset[int] = frozenset()

    def train(self, run: Callable[[str, Engine], object], started: Callable[[], None] | None = None) -> None:
        """Train members until each has ended, however it does.

        Args:
            run: Runs one, given its name and its engine.
            started: Called when each has begun, so that its folder is held.

        Raises:
            TooManyMembersError: They need more memory than the device has.
            regbench.training.interruption.Terminated: The process was told to end; each run is recorded as interrupted.
        """
        formed = self._formed

        def member(row: int, ask: Ask) -> object:
            return run(formed.runs[row], MemberEngine(ask, self._images, formed, row))

        members = {row: partial(member, row) for row in formed.runs}
        with terminable(), lightning_as_a_library(), without_notices(), Turns(members) as turns:
            try:
                if started is not None:
                    started()
                while asked := turns.asked:
                    self._respond(turns, asked)
            except KeyboardInterrupt:
                turns.end(Terminated(CTRL_C))  # Lightning answers the other one by what the main thread alone may do
                raise

    def _respond(self, turns: Turns, asked: Mapping[int, Any]) -> None:
        """Answer one kind of question; whoever waits for predictions waits for the end, when all are predicted."""
        responses: list[tuple[type, Callable[[Any], Mapping[int, Any]]]] = [
            (Drawing, draw_all),  # first, so that whoever draws before its first step is there when the stack is built
            (Steps, self._take_steps),
            (Scores, self._score),
            (Predictions, self._predict),
        ]
        for kind, respond in responses:
            if of_kind := {row: each for row, each in asked.items() if isinstance(each, kind)}:
                _answer(turns, list(of_kind), partial(respond, of_kind))
                return

    def _take_steps(self, asked: Mapping[int, Steps]) -> dict[int, None]:
        program = self._program = self._program or self._stacked(asked)
        if late := asked.keys() - self._stacked_rows:
            raise RuntimeError(f"members {sorted(late)} took their first steps after the others")
        if any(each.begins for each in asked.values()):
            epochs = sorted({each.epoch for each in asked.values()})  # one, as they go in step
            torch.manual_seed(stream_seed(0, self._formed.stream, *epochs))
        everyone = self._each_row(asked)
        if len({each.sizes for each in everyone}) > 1:
            raise ValueError("dataset.batch_size: expected the same batches for all members")
        places = torch.stack([each.places for each in everyone])
        rates = torch.stack([each.rates for each in everyone], 1)
        program.take_steps(places, everyone[0].sizes, rates)
        return dict.fromkeys(asked)

    def _score(self, asked: Mapping[int, Scores]) -> dict[int, tuple[Tensor, list[Tensor]]]:
        if self._program is None:
            raise RuntimeError("scores were asked for before any step")
        stack = self._program.stack
        stack.show()
        totals = self._program.take_totals()
        everyone = self._each_row(asked)
        weights = {**stack.parameters, **stack.buffers}
        logits = [
            evaluate(self._program.net, weights, self._images, places)
            for places in zip(*(each.places for each in everyone), strict=True)
        ]
        return {row: (totals[row], [each[row] for each in logits]) for row in asked}

    def _predict(self, asked: Mapping[int, Predictions]) -> dict[int, list[Tensor]]:
        everyone = self._each_row(asked)
        weights = _stacked_weights([each.net for each in everyone], self._images.device)
        logits = [
            evaluate(everyone[0].net, weights, self._images, places)
            for places in zip(*(each.places for each in everyone), strict=True)
        ]
        return {row: [each[row] for each in logits] for row in asked}

    def _stacked(self, asked: Mapping[int, Steps]) -> Program:
        first = asked[min(asked)]
        update = update_of(first.optimizer)
        self._stacked_rows = frozenset(asked)
        members = {row: Member(each.net, each.optimizer) for row, each in asked.items()}
        stack = Stack(members, len(self._formed.names), update, self._images.device)
        return Program(first.net, first.regularizer, stack, update, self._images, self._classes, compile=self._compile)

    def _each_row(self, asked: Mapping[int, _Question]) -> list[_Question]:
        """Return what each row is asked to do: those of no member do as the first one does."""
        first = asked[min(asked)]
        return [asked.get(row, first) for row in range(len(self._formed.names))]


def _answer(turns: Turns, rows: Sequence[int], respond: Callable[[], Mapping[int, Any]]) -> None:
    try:
        answers = respond()
    except torch.OutOfMemoryError as error:
        raise TooManyMembersError("stopped: the device has no memory for so many members") from error
    except Exception as error:
        for row in rows:
            turns.fail(row, error)
        return
    for row in rows:
        turns.answer(row, answers[row])


def _stacked_weights(nets: Sequence[nn.Module], device: torch.device) -> dict[str, Tensor]:
    states = [named_state(net) for net in nets]
    return {name: torch.stack([state[name].detach() for state in states]).to(device) for name in states[0]}
