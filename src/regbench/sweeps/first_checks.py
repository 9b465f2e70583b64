"""What is checked before Hydra makes a run's or a sweep's folder."""

import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from regbench.config.checks import check_values
from regbench.config.composing import check_choices, check_defined_once, check_given_once, check_sources, to_plain
from regbench.config.errors import describe_error
from regbench.config.resolvers import program

_SWEEPERS = "hydra_plugins.regbench_sweeper."
_PLAIN_KEYS = ("seed", "threads", "compile", "force")


def given(config: DictConfig, of_hydra: bool = False) -> list[str]:
    """Return the overrides of a call as they were given: `${seed}` in one is that of each run.

    Args:
        config: The composed configuration with Hydra's part.
        of_hydra: Whether those of Hydra's own keys are among them.
    """
    lists: Any = OmegaConf.to_container(config.hydra.overrides, resolve=False)
    return [*(lists["hydra"] if of_hydra else []), *lists["task"]]


class FirstChecks(Callback):
    """Refuses wrong values before anything is written, and notes which sweep is called.

    Attributes:
        sweep: The folder of the sweep that this process was called for; None for a run alone and in workers.
        rest: The command that runs the rest of that sweep, where the same command would start another.
    """

    sweep: Path | None = None
    rest: str | None = None

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuse wrong values of a single run."""
        with contextlib.suppress(HydraException, OmegaConfBaseException):  # Hydra itself will meet them next
            HydraConfig.instance().set_config(config)
            with _refusing():
                check_sources(config)
                check_defined_once(config, GlobalHydra.instance().config_loader())
                lines = given(config, of_hydra=True)
                check_given_once(lines)
                check_choices(lines)
                check_values(to_plain(config))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuse a key that is given twice; the sweeper checks the values of each setting."""
        with contextlib.suppress(HydraException, OmegaConfBaseException), _refusing():
            check_sources(config)
            check_given_once(given(config, of_hydra=True))
            _check_sweep(config)
        FirstChecks.sweep, FirstChecks.rest = Path(config.hydra.sweep.dir), _command_for_the_rest(config)


def _check_sweep(config: DictConfig) -> None:
    """Refuse what cannot be planned: sweepers that make up runs as they go, and seeds that are not called so."""
    if not str(config.hydra.sweeper.get("_target_")).startswith(_SWEEPERS):
        chosen = config.hydra.runtime.choices["hydra/sweeper"]
        raise ValueError(
            f"hydra/sweeper={chosen}: expected grid, or until_sure by seeds=until_sure, which plan all runs; received "
            "another one; regbench tune searches"
        )
    for line in given(config):
        key = line.lstrip("+").partition("=")[0]
        if line.startswith("+") and key in _PLAIN_KEYS:
            raise ValueError(f"{line}: expected {key}=… without a +, since every configuration has it")


def _command_for_the_rest(config: DictConfig) -> str | None:
    """Return the command that runs what is left of this sweep; None where it is the same command again.

    That is another one where the time of the call names the sweep, or where the runs were forced to train again.
    """
    plain: Any = OmegaConf.to_container(config, resolve=False)
    arguments = [each for each in sys.argv[1:] if not each.startswith("force=") or each.lower() == "force=false"]
    for place, key, value in (
        (plain["hydra"]["sweep"]["dir"], "hydra.sweep.dir", config.hydra.sweep.dir),
        (plain["study"], "study", config.study),
    ):
        if "${now:" in str(place):
            arguments = [*(each for each in arguments if not each.startswith(f"{key}=")), f"{key}={value}"]
            break
    return f"{program()} {shlex.join(arguments)}" if arguments != sys.argv[1:] else None


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """End the program in one line where a value is wrong: an exception of a callback would become a warning."""
    try:
        yield
    except ValueError as error:
        sys.exit(f"error: {describe_error(error)}")
