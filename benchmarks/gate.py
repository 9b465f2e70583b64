"""How the harness and a contender talk: a line in starts an epoch, a line of JSON out ends it."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any


class Gate:
    """A contender's side. What it prints otherwise goes to standard error."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def wait(self) -> bool:
        """Wait for the next epoch; false when there is none."""
        return bool(sys.stdin.readline())

    def report(self, **numbers: float) -> None:
        """Say how the epoch went: seconds and processor seconds of its training part, seconds of the whole, loss."""
        print(json.dumps(numbers), file=self._answers, flush=True)


def serve(epoch: Callable[[int], dict[str, float]]) -> None:
    """Run an epoch whenever the harness asks for one."""
    gate = Gate()
    number = 0
    while gate.wait():
        gate.report(**epoch(number))
        number += 1


def lightning_gate(gate: Gate, loss: Callable[[Any], float]) -> type:
    """Return a callback class that times a trainer's epochs; one lasts until the next could begin.

    Validation is part of the epoch, and so is what the trainer's other callbacks write at its end.
    """
    import time

    import pytorch_lightning as pl

    class EpochGate(pl.Callback):
        started: float | None = None
        trained = cpu = cpu_started = 0.0

        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            now = time.perf_counter()
            if self.started is not None:
                gate.report(
                    train=self.trained - self.started, cpu=self.cpu, epoch=now - self.started, loss=loss(trainer)
                )
            if not gate.wait():
                os._exit(0)
            self.cpu_started, self.started = time.process_time(), time.perf_counter()

        def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            self.cpu, self.trained = time.process_time() - self.cpu_started, time.perf_counter()

    return EpochGate
