"""`Stack`: the weights, buffers and optimizer states of all members, of which each member's own objects are views."""

from collections.abc import Mapping
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regbench.together.updates import Update, decay_of

# So that each parameter of each member begins where a device reads quickly.
_ALIGNMENT = 32

STRENGTHS = "p"


class Member(NamedTuple):
    """A member's own network and optimizer."""

    net: nn.Module
    optimizer: Optimizer


class Stack:
    """All members' state, a row for each, on the device; and on the CPU, where the members see it.

    Rows of no member hold what the first member began with, and are trained like the others, to no effect: so what a
    row is trained to does not depend on which of the others are still there.

    Args:
        members: By row; networks of one shape, on the CPU.
        rows: How many there are.
        update: That of all their optimizers.
        device: Where steps are taken.
    """

    def __init__(self, members: Mapping[int, Member], rows: int, update: Update, device: torch.device) -> None:
        first = members[min(members)].net
        trained = {name: value for name, value in first.named_parameters() if value.requires_grad}
        lengths = [-(-value.numel() // _ALIGNMENT) * _ALIGNMENT for value in trained.values()]
        begins = [0, *accumulate(lengths)]
        self.length = begins[-1]
        self.shapes = {name: value.shape for name, value in trained.items()}
        self._places = {
            name: slice(begin, begin + value.numel())
            for (name, value), begin in zip(trained.items(), begins)  # noqa: B905 (begins holds the end too)
        }
        kind = next(iter(trained.values())).dtype
        self._weights = torch.zeros(rows, self.length, dtype=kind)
        self._state = {name: torch.zeros_like(self._weights) for name in update.moments}
        if update.counts:
            self._state["step"] = torch.zeros(rows, 1)
        self._buffers = {
            name: torch.stack([value.detach()] * rows)
            for name, value in named_state(first).items()
            if name not in trained
        }
        decay = torch.zeros(rows, self.length, dtype=torch.float64)
        strengths = {name: torch.zeros(rows, dtype=torch.float64) for name in strengths_of(first)}
        for row in range(rows):
            member = members.get(row, members[min(members)])
            self._take_in(row, member, update, is_here=row in members)
            places: dict[Tensor, slice] = {
                value: self._places[name] for name, value in member.net.named_parameters() if name in trained
            }
            decay[row] = decay_of(member.optimizer, places, self.length)
            for name, strength in strengths_of(member.net).items():
                strengths[name][row] = strength

        self.weights = self._weights.to(device)
        self.gradients = torch.zeros_like(self.weights)
        self.state = {name: value.to(device) for name, value in self._state.items()}
        self.buffers = {name: value.to(device) for name, value in self._buffers.items()}
        self.decay = decay.to(device, kind) if decay.any() else None
        # One for each row even where all are the same now: what is drawn must not depend on who is still there.
        self.strengths = {name: value.to(device, kind) for name, value in strengths.items()}
        self.parameters = {name: self._view(self.weights, name).detach().requires_grad_() for name in self.shapes}
        self.gradient_views = [self._view(self.gradients, name) for name in self.shapes]

    def show(self) -> None:
        """Let the members see what they have become: nothing to be done where the device is the CPU."""
        if self.weights is not self._weights:
            self._weights.copy_(self.weights)
            for ours, theirs in ((self.state, self._state), (self.buffers, self._buffers)):
                for name, value in ours.items():
                    theirs[name].copy_(value)

    def _take_in(self, row: int, member: Member, update: Update, *, is_here: bool) -> None:
        """Copy what a member has by now, and make its own objects views of its row."""
        net, optimizer = member
        for name, value in named_state(net).items():
            place = self._buffers[name][row] if name in self._buffers else self._place(self._weights, row, name)
            place.copy_(value.detach())
            if name in self.shapes:
                own = optimizer.state[value] if is_here else dict(optimizer.state.get(value, {}))
                self._take_in_state(row, name, own, update)
            if is_here:
                value.data = place

    def _take_in_state(self, row: int, name: str, own: dict[str, Any], update: Update) -> None:
        for key in update.moments:
            place = self._place(self._state[key], row, name)
            if (before := own.get(key)) is not None:
                place.copy_(before)
            own[key] = place
        if update.counts:
            if "step" in own:
                self._state["step"][row] = float(own["step"])
            own["step"] = self._state["step"][row, 0]

    def _place(self, rows: Tensor, row: int, name: str) -> Tensor:
        return rows[row, self._places[name]].view(self.shapes[name])

    def _view(self, rows: Tensor, name: str) -> Tensor:
        return rows[:, self._places[name]].view(len(rows), *self.shapes[name])


def leave(net: nn.Module) -> None:
    """Give a network memory of its own again, apart from the stack's."""
    for value in (*net.parameters(), *net.buffers()):
        value.data = value.data.clone()


def strengths_of(net: nn.Module) -> dict[str, float]:
    """Return the strengths that members may have each their own of: dropout's p, by layer."""
    return {f"{name}.{STRENGTHS}": each.p for name, each in net.named_modules() if type(each) is nn.Dropout}


def named_state(net: nn.Module) -> dict[str, Tensor]:
    """Return all parameters and buffers by name, those included that checkpoints leave out."""
    return dict([*net.named_parameters(), *net.named_buffers()])
