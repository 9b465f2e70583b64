"""Resolvers for `configs/`: values that follow from other keys, the machine or how the program was called.

Importing this module registers them.
"""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from regbench.config.budget import averaging_decay, training_batches, training_steps
from regbench.config.identity import run_name, with_names
from regbench.config.metrics import higher_is_better

COMPILE_FROM_STEPS = 2_000
# Nearly all of their step on a CPU is convolutions, in which compiling saves nothing: ResNet-20 took 0.41 s a step on
# one core, and compiled 0.44 s and more, after a minute of compiling.
_QUICKER_UNCOMPILED = frozenset({"regbench.models.ResNet"})


def program() -> str:
    """Return how the program was called, for texts that show commands."""
    return sys.argv[0] if sys.argv[0].startswith("regbench ") else "python train.py"


def has_compiler() -> bool:
    """Tell whether a C++ compiler is there, which compiled steps need on a CPU."""
    return any(map(shutil.which, filter(None, (os.environ.get("CXX"), "g++", "clang++", "c++"))))


def _threads() -> int:
    sweeping = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    return 1 if sweeping else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _compile_pays(*, _root_: DictConfig) -> bool:
    """Decide from the configured number of batches, so that all runs of a study decide alike."""
    target, accelerator = (OmegaConf.select(_root_, key) for key in ("model._target_", "trainer.accelerator"))
    if target in _QUICKER_UNCOMPILED and accelerator == "cpu":
        return False
    return bool(_counted(training_batches, _root_) >= COMPILE_FROM_STEPS and has_compiler())


def _steps(*, _root_: DictConfig) -> int:
    """Return the run's number of training steps, for schedules that move on at each."""
    return _counted(training_steps, _root_)


def _averaging_decay(*, _root_: DictConfig) -> float:
    return averaging_decay(_counted(training_steps, _root_))


def _counted(count: Callable[[Mapping[str, Any]], int], root: DictConfig) -> int:
    try:
        return count(cast(Mapping[str, Any], root))
    except (TypeError, AttributeError, ArithmeticError, ValueError, OmegaConfBaseException):
        return 1  # The constructors will name what is missing or no number.


def _direction(metric: str, *, _root_: DictConfig) -> str:
    """Return whether a metric is better when it is larger (`max`) or smaller (`min`)."""
    return "max" if higher_is_better(metric, OmegaConf.select(_root_, "metrics")) else "min"


def _run_folder(*, _root_: DictConfig) -> str:
    bare = OmegaConf.masked_copy(_root_, [str(key) for key in _root_ if key != "hydra"])
    config = OmegaConf.to_container(bare, resolve=True, throw_on_missing=True)
    choices = OmegaConf.select(_root_, "hydra.runtime.choices") or {}
    return run_name(with_names(config, choices))  # type: ignore[arg-type]  # keys and values, as the root is


OmegaConf.register_new_resolver("program", program, replace=True)
OmegaConf.register_new_resolver("threads", _threads, replace=True)
OmegaConf.register_new_resolver("compile_pays", _compile_pays, replace=True)
OmegaConf.register_new_resolver("steps", _steps, replace=True)
OmegaConf.register_new_resolver("averaging_decay", _averaging_decay, replace=True)
OmegaConf.register_new_resolver("direction", _direction, replace=True)
OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
OmegaConf.register_new_resolver("count", len, replace=True)
