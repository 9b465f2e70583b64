"""What Lightning does at every step though nothing needs it here, taken away: a small network's step is soon over."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.profilers import PassThroughProfiler

STEP_HOOKS = (
    *("on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward"),
    *("on_before_optimizer_step", "on_train_batch_end"),
)
_NVML_CHECK = "PYTORCH_NVML_BASED_CUDA_CHECK"
_NOTHING = contextlib.nullcontext()


class NoProfiler(PassThroughProfiler):
    """Profiles nothing, without a generator for each of some thirty measured actions a step."""

    def profile(self, action_name: str) -> Any:
        """Return a context that does nothing."""
        return _NOTHING


def skip_empty_hooks(trainer: pl.Trainer, module: pl.LightningModule) -> None:
    """Let Lightning pass by the hooks of a step that a callback or the module leaves empty.

    It calls a hook only if it is callable, but else enters it with all ceremony even if there is nothing in it.
    """
    owners: list[tuple[Any, type]] = [(module, pl.LightningModule)]
    owners += [(callback, pl.Callback) for callback in trainer.callbacks]  # type: ignore[attr-defined]  # set at run time
    for owner, base in owners:
        for hook in STEP_HOOKS:
            if getattr(type(owner), hook) is getattr(base, hook):
                setattr(owner, hook, None)


@contextlib.contextmanager
def cheap_device_check() -> Iterator[None]:
    """Let Adam's question for a GPU, asked at each step, be answered by the CUDA runtime.

    Importing Lightning has it answered by NVML, so that asking does not keep a process from forking; where there is no
    GPU, each answer loads a library in vain then.
    """
    asked = os.environ.pop(_NVML_CHECK, None)
    try:
        yield
    finally:
        if asked is not None:
            os.environ[_NVML_CHECK] = asked
