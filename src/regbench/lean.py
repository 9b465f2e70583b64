"""What Lightning does at every step though nothing needs it here, taken away: a small network's step is soon over."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.profilers import PassThroughProfiler

STEP_HOOKS = (
    *("on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward"),
    *("on_before_optimizer_step", "on_train_batch_end"),
)
_NVML_CHECK = "PYTORCH_NVML_BASED_CUDA_CHECK"
# Of glibc's malloc.h: above how much free memory, and for how large a block, memory goes back to the system; in bytes.
_MALLOPT = {-1: 1 << 30, -3: 1 << 25}  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
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


def keep_freed_memory() -> None:
    """Let freed memory be used again by the process instead of going back to the system.

    A step frees some 12 MB of activations. Where glibc gives them back, the next step gets them as pages that the
    system fills with zeros first: 2,900 pages in 6 ms, most of what the step itself takes. Elsewhere nothing is done.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for parameter, value in _MALLOPT.items():
            libc.mallopt(parameter, value)
