"""How many steps a configuration trains, and what follows from it for weight averaging. Imports no torch."""

import math
from collections.abc import Mapping
from typing import Any

# The average covers about the last 1 / (1 − decay) steps: a tenth of the run, and 1,000 steps at most.
LONGEST_DECAY = 0.999
STEPS_PER_WINDOW = 10

NEGLIGIBLE = 0.05  # share of an average that may still be the first step's weights
_AVERAGING = "EMAWeightAveraging"
_AVERAGING_OF_EPOCHS = "averaging.StochasticWeightAveraging"


def training_batches(config: Mapping[str, Any]) -> int:
    """Return the number of batches that a run trains on, over all its epochs."""
    return int(config["trainer"]["max_epochs"] * _batches_per_epoch(config["dataset"]))


def training_steps(config: Mapping[str, Any]) -> int:
    """Return the number of a run's optimizer steps: fewer than its batches where gradients are accumulated."""
    trainer = config["trainer"]
    accumulated = trainer.get("accumulate_grad_batches") or 1
    return int(trainer["max_epochs"] * math.ceil(_batches_per_epoch(config["dataset"]) / accumulated))


def averaging_decay(steps: int) -> float:
    """Return the decay of an average over the last tenth of the steps, and over 1,000 of them at most.

    From the first step's weights w₁ on, a' = d a + (1 − d) w leaves them the share d^(T − 1) in the end: with
    d = 1 − 10/T that is about e⁻¹⁰, nothing; with 0.999 it is 90 % after 100 steps.
    """
    return round(min(LONGEST_DECAY, max(0.0, 1 - STEPS_PER_WINDOW / steps)), 4)


def averaging_warning(config: Mapping[str, Any]) -> str | None:
    """Return one line where averaged weights would be the first step's in part, or those of one epoch; else `None`."""
    for name, node in (config.get("callbacks") or {}).items():
        if str(node.get("_target_")).endswith(_AVERAGING_OF_EPOCHS):
            epochs, start = config["trainer"]["max_epochs"], node.get("start")
            if isinstance(start, (int, float)) and epochs - int(start * epochs) < 2:
                return (
                    f"callbacks.{name}.start={start}: of the {epochs} epochs of this run the last alone is averaged, "
                    "which leaves its weights as they are; a smaller start averages more"
                )
        decay = node.get("decay") if str(node.get("_target_")).endswith(_AVERAGING) else None
        if not isinstance(decay, (int, float)) or not 0 <= decay <= 1:
            continue
        steps = training_steps(config)
        if (share := decay ** (steps - 1)) > NEGLIGIBLE:
            fitting = averaging_decay(steps)
            return (
                f"callbacks.{name}.decay={decay}: after the {steps:,} steps of this run {share:.0%} of the averaged "
                f"weights are still the first step's; "
                + (f"{fitting} would average over the last tenth" if fitting else "it is too short for averaging")
            )
    return None


def _batches_per_epoch(dataset: Mapping[str, Any]) -> int:
    images = dataset["train_size"] or dataset["train_images"] - dataset["val_size"]
    size = dataset["batch_size"]
    # A last batch of one joins the batch before it, see `data.Batches`.
    return int(math.ceil(images / size) - (images > size and images % size == 1))
