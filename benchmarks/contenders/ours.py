"""The path of `train.py`: Lightning, metrics, TensorBoard, CSV and checkpoints, all as a user gets them."""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.gate import Gate, lightning_gate
from benchmarks.problem import options, overrides
from regbench.config import compose
from regbench.runs.run import run


def main() -> None:
    given = options()
    gate = Gate()
    timer: Any = lightning_gate(gate, lambda trainer: trainer.callback_metrics["probe/loss"].item())

    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), compose(overrides(given)), callbacks=[timer()])


if __name__ == "__main__":
    main()
