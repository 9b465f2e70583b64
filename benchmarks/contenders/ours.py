"""The path of `train.py`: Lightning, metrics, TensorBoard, CSV and checkpoints, all as a user gets them."""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.gate import Gate, lightning_gate
from benchmarks.problem import options, overrides
from regbench import callbacks, experiment
from regbench.composition import compose


def main() -> None:
    given = options()
    gate = Gate()
    timer: Any = lightning_gate(gate, lambda trainer: trainer.callback_metrics["train/loss"].item())

    class TimedHistory(callbacks.History):
        """The run's own history, timed from outside: no change to what it does."""

        clock = timer()

        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            self.clock.on_train_epoch_start(trainer, pl_module)
            super().on_train_epoch_start(trainer, pl_module)

        def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
            self.clock.on_validation_start(trainer, pl_module)
            super().on_validation_start(trainer, pl_module)

    program: Any = experiment
    program.History = TimedHistory
    with tempfile.TemporaryDirectory() as folder:
        experiment.run(Path(folder), compose(overrides(given)), [])


if __name__ == "__main__":
    main()
