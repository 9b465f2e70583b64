"""The keys of `hydra.launcher` as they are in a sweep. Imports no torch."""

from collections.abc import Callable
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from regbench.validation import annotations, check_value


def launcher_keys(config: DictConfig, schema: Callable[..., Any]) -> dict[str, Any]:
    """Return the launcher's values, converted and checked.

    Hydra makes a launcher before it is known that this is a sweep, in which a run has one thread. So what a launcher
    was made with may be another value of `${threads}` than this.

    Args:
        config: The composed configuration of the call.
        schema: The class or function that has the keys as annotated arguments.

    Raises:
        ValueError: A value is wrong, in one line that names its key.
    """
    HydraConfig.instance().set_config(config)
    given: Any = OmegaConf.to_container(config.hydra.launcher, resolve=True)
    hints = {key: hint for key, hint in annotations(schema).items() if key != "return"}
    keys = [key for key in given if key != "_target_"]
    for key in keys:
        if key not in hints:
            raise ValueError(f"hydra.launcher.{key}: no such key; expected one of {', '.join(sorted(hints))}")
    return {key: check_value(given[key], hints[key], f"hydra.launcher.{key}") for key in keys}
