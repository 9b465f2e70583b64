"""What launchers for clusters share: their options, as they are in a sweep. Imports no torch."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from regbench.sweeps.launcher import PlannedLauncher
from regbench.validation import annotations, check_value

Options = TypeVar("Options")


class ClusterLauncher(PlannedLauncher, Generic[Options]):
    """A launcher that has options of a class of its own.

    Hydra makes a launcher before it is known that this is a sweep, in which a run has one thread. So what it was made
    with may be another value of `${threads}`, and the options are read when it is set up.

    Args:
        keys: Those of the options.

    Attributes:
        make_options: The options' class; its annotated arguments are the keys.
    """

    make_options: Callable[..., Options]

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        self._options: Options | None = None

    @property
    def options(self) -> Options:
        """What the user asks of the cluster."""
        if self._options is None:
            raise RuntimeError("launch was called before setup")
        return self._options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives.

        Raises:
            ValueError: A key of `hydra.launcher` is unknown or has a wrong value, in one line that names it.
        """
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self._options = self.make_options(**_keys(config, self.make_options))


def _keys(config: DictConfig, schema: Callable[..., Any]) -> dict[str, Any]:
    """Return the launcher's values, converted and checked."""
    HydraConfig.instance().set_config(config)
    given: Any = OmegaConf.to_container(config.hydra.launcher, resolve=True)
    hints = {key: hint for key, hint in annotations(schema).items() if key != "return"}
    keys = [key for key in given if key != "_target_"]
    for key in keys:
        if key not in hints:
            raise ValueError(f"hydra.launcher.{key}: no such key; expected one of {', '.join(sorted(hints))}")
    return {key: check_value(given[key], hints[key], f"hydra.launcher.{key}") for key in keys}
