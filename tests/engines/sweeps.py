"""What a test sees of a sweep from outside: who is at its runs, what became of them, and every bit of the results."""

import json
from pathlib import Path
from typing import Any

from regbench.storage.tuning import read_tuning
from tests.bits import final_bits
from tests.faults.processes import held

PACED = "+regularizer.paced._target_=tests.engines.paced.Paced"
STUDY = "outputs/sweeps/s"
# Quasi-random trials do not depend on who was quicker.
SEARCH = [
    *("tune", "study=s", "regularizer=none,dropout", "trials=3", "finalists=2", "finalist_seeds=1", "seeds=1"),
    *("sampler=quasi_random", "defaults_too=false", "dataset=digits", "model=mlp_small", "trainer.max_epochs=12"),
]


def grid(settings: str, seeds: int, epochs: int = 20) -> list[str]:
    """Return the arguments of a sweep whose pace a test sets."""
    return ["-m", "study=s", f"regularizer={settings}", f"seed=range({seeds})", f"trainer.max_epochs={epochs}", PACED]


def tuned(study: Path) -> dict[str, Any]:
    """Return all that a tuned comparison says of its trials, finalists and choices."""
    found = read_tuning(study)
    assert found is not None
    return found.model_dump()


def held_after_epochs(study: Path, epochs: int = 1) -> list[int]:
    """Return the processes that work on the study's runs, once so many of these have ended an epoch."""
    return held(study) if epochs_ended(study) >= epochs else []


def both_held(study: Path) -> bool:
    """Tell whether two nodes work on a run each, of which two have ended an epoch."""
    return len(held_after_epochs(study, 2)) == 2


def epochs_ended(study: Path) -> int:
    """Return how many runs have a checkpoint."""
    return len(list(study.rglob("last.ckpt")))


def statuses(study: Path) -> list[str]:
    """Return how the study's runs ended, sorted."""
    return sorted(json.loads(path.read_text())["status"] for path in study.rglob("results.json"))


def outcomes(study: Path) -> dict[str, Any]:
    """Return the metrics and the bits of each finished run, by its folder's name."""
    found = {}
    for path in study.rglob("results.json"):
        results = json.loads(path.read_text())
        if results["status"] == "finished":
            name = path.parent.relative_to(study).as_posix()
            found[name] = (results["metrics"], results["acted"], final_bits(path.parent))
    return found
