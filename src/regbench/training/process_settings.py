"""Settings of the process without which a small network's steps wait for the system."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

_NVML_CHECK = "PYTORCH_NVML_BASED_CUDA_CHECK"
# Of glibc's malloc.h: above how much free memory, and for how large a block, memory goes back to the system; in bytes.
_MALLOPT = {-1: 1 << 30, -3: 1 << 25}  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD


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
