"""Resuming an unfinished run after its last whole epoch, from a checkpoint that is its own and undamaged."""

import contextlib
import importlib.metadata
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from regbench.runs.spec import RunSpec
from regbench.storage.schema import CHECKPOINTS, HISTORY, TENSORBOARD
from regbench.training.attributes import TECHNIQUES
from regbench.training.checkpoints import BEST, LAST, PREVIOUS, RUN, read_checkpoint


class Start(NamedTuple):
    """Where training starts: from scratch, or after a checkpoint's whole epochs."""

    checkpoint: Path | None = None
    epochs: int = 0
    seconds: float = 0.0


def run_identity(spec: RunSpec) -> dict[str, Any]:
    """Return what must be the same for a run to resume from a checkpoint with the same numbers."""
    versions = {name: importlib.metadata.version(name) for name in ("regbench", "torch", "pytorch-lightning")}
    return {"configuration": spec.config_hash, "seed": spec.seed, **versions}


def recorded_states(folder: Path, identity: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a run's usable checkpoints say of how far it is, the newest first; nothing is changed."""
    found = []
    for name in (LAST, PREVIOUS):
        with contextlib.suppress(ValueError):
            found.append(_read_state(folder / CHECKPOINTS / name, identity))
    return found


def find_start(folder: Path, identity: Mapping[str, Any], *, validated: bool, most: int | None = None) -> Start:
    """Return where training starts: after its last whole epoch, or the one before where that checkpoint is unusable.

    What cannot be used is set aside under another name, with a message. Where nothing is left, the run starts from
    scratch and nothing else of an earlier call stays in its folder.

    Args:
        folder: The run folder.
        identity: What `run_identity` gives.
        validated: Whether the run chooses a best checkpoint, which must be there too.
        most: After how many epochs at most; a checkpoint of later ones is passed over.
    """
    checkpoints = folder / CHECKPOINTS
    tried = (checkpoints / LAST).exists() or (checkpoints / PREVIOUS).exists()
    start = _find_checkpoint(checkpoints, identity, validated, most)
    if start.checkpoint is not None:
        print(f"{folder}: resumes after epoch {start.epochs}", file=sys.stderr, flush=True)
        return start
    if tried and most != 0:
        print(f"{folder}: no usable checkpoint is left, so the run starts from scratch", file=sys.stderr, flush=True)
    (folder / HISTORY).unlink(missing_ok=True)
    for path in (*checkpoints.glob("*.ckpt"), *checkpoints.glob("*.pt")):
        path.unlink()
    if (folder / TENSORBOARD).exists():
        shutil.rmtree(folder / TENSORBOARD)
    return start


def _find_checkpoint(folder: Path, identity: Mapping[str, Any], validated: bool, most: int | None) -> Start:
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            state = _read_state(path, identity)
        except ValueError as error:
            _set_aside(path, str(error))
            continue
        if most is not None and state["epochs"] > most:
            continue
        if validated and (reason := _why_best_is_unusable(folder / BEST, identity, state)):
            _set_aside(folder / BEST, reason)
            break
        return Start(path, state["epochs"], state["seconds"])
    return Start()


def _read_state(path: Path, identity: Mapping[str, Any]) -> dict[str, Any]:
    checkpoint = read_checkpoint(path)
    state = checkpoint.get(RUN)
    if not isinstance(state, dict) or not isinstance(received := state.get("identity"), dict):
        raise ValueError(f"{path}: expected a checkpoint of this run, received one that names no run")
    for key, expected in identity.items():
        if received.get(key) != expected:
            raise ValueError(f"{path}: belongs to another run: expected {key} {expected}, received {received.get(key)}")
    if TECHNIQUES not in checkpoint:
        raise ValueError(f"{path}: expected the techniques' state, received a checkpoint of before it was kept")
    return state


def _why_best_is_unusable(path: Path, identity: Mapping[str, Any], state: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the best checkpoint, if anything.

    It may be ahead of the last one, when the process ended between writing the two: that epoch is trained again.
    """
    try:
        epochs = _read_state(path, identity)["epochs"]
    except ValueError as error:
        return str(error)
    if epochs == state["best_epoch"] + 1 or epochs > state["epochs"]:
        return None
    return f"{path}: expected the checkpoint of epoch {state['best_epoch'] + 1}, received that of epoch {epochs}"


def _set_aside(path: Path, reason: str) -> None:
    aside = path.with_name(f"{path.name}.refused")
    if path.exists():
        path.replace(aside)
        reason += f"; set aside as {aside.name}"
    print(reason, file=sys.stderr, flush=True)


class Stopwatch:
    """Seconds since a run began, those of earlier calls up to their last checkpoint included."""

    def __init__(self) -> None:
        self.earlier = 0.0
        self._started = time.perf_counter()

    def __call__(self) -> float:
        """Return the seconds so far."""
        return self.earlier + time.perf_counter() - self._started
