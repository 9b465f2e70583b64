"""What must not change by a single bit when a run is stopped and resumes."""

import csv
from pathlib import Path

import numpy as np
import torch


def final_bits(folder: Path) -> dict[str, bytes]:
    """Return a finished run's weights, history without times, and predictions, by name."""
    state = torch.load(folder / "checkpoints/weights.pt", weights_only=True)
    found = {f"weights {name}": value.numpy().tobytes() for name, value in state.items()}
    with (folder / "history.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            row.pop("seconds")
            found[f"history {row['epoch']}"] = repr(row).encode()
    with np.load(folder / "predictions.npz") as arrays:
        found |= {f"predictions {name}": arrays[name].tobytes() for name in arrays.files}
    return found
