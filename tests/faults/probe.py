"""Regularizers that change no number: they stop a run at a chosen point, so that a test can break it there."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from regbench.regularizers import Regularizer

ASK, REACHED, GO_ON = "ask", "reached", "go_on"
WRITTEN = {
    "checkpoint": ("best.ckpt", "next.ckpt", "last.ckpt"),
    "results": ("weights.pt", "predictions.npz", "results.json"),
    "history": ("history.csv",),
}


class Probe(Regularizer):
    """Waits where the file `ask` of the working folder says, until it is killed or told to go on.

    `ask` holds a phase and a number: the batch of `training`, the forward pass through a slot in `validation`, or the
    step (opening, syncing, renaming) of writing what `WRITTEN` names. `reached` is written on arrival.
    """

    def __init__(self) -> None:
        ask = Path(ASK)
        phase, number = ask.read_text().split() if ask.exists() else ("", "0")
        self.phase, self.left = phase, int(number)
        if phase in WRITTEN:
            sys.addaudithook(self._watch)

    def after_activation(self, features: int, dims: int) -> list[nn.Module]:
        return [Slot(self)] if self.phase == "validation" else []

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        self.pass_by("training")
        return images, targets

    def pass_by(self, phase: str) -> None:
        """Wait if this is the point."""
        if phase != self.phase:
            return
        self.left -= 1
        if self.left == 0:
            self.phase = ""
            Path(REACHED).touch()
            while not Path(GO_ON).exists():
                time.sleep(0.01)

    def _watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        """See each step at a file, as the interpreter reports it before doing it."""
        if event in {"open", "os.rename", "os.chmod"} and isinstance(arguments[0], str | os.PathLike):
            name = os.path.basename(arguments[0])  # noqa: PTH119 (an audit hook is called very often)
            if any(name == each or name.startswith(f".{each}.") for each in WRITTEN.get(self.phase, ())):
                self.pass_by(self.phase)


class Slot(nn.Module):
    """Reports each pass in evaluation mode."""

    def __init__(self, probe: Probe) -> None:
        super().__init__()
        self.probe = probe

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            self.probe.pass_by("validation")
        return features


class Slow(Regularizer):
    """Takes its time on each batch.

    Args:
        seconds: How long.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        time.sleep(self.seconds)
        return images, targets


class Deadly(Slow):
    """Kills its process, as the kernel does when memory runs out.

    Args:
        seconds: How long each batch takes before.
        dies: Whether it does.
    """

    def __init__(self, seconds: float, dies: bool) -> None:
        super().__init__(seconds)
        self.dies = dies

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().on_batch(images, targets)
