"""Configuration with Hydra: composing, resolvers, a run's name and identity, objects from YAML, error messages."""

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException


def compose(overrides: Iterable[str] = (), config_dir: str | PathLike[str] | None = None) -> dict[str, Any]:
    """Return the composed configuration, resolved to plain containers.

    Args:
        overrides: As on the command line: `"regularizer=dropout"`.
        config_dir: A folder of your own with YAML groups, as `--config-dir` on the command line.

    Raises:
        ValueError: The overrides do not compose, or there is no such folder; in one line.
    """
    from regbench.config.composing import compose_raw, to_plain
    from regbench.config.errors import describe_error

    overrides = list(overrides)
    if config_dir is not None and not Path(config_dir).is_dir():
        raise ValueError(f"--config-dir {config_dir}: no such folder")
    own = [] if config_dir is None else [f"hydra.searchpath=['file://{Path(config_dir).absolute()}']"]
    try:
        return to_plain(compose_raw([*overrides, *own]))
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(describe_error(error, overrides)) from error


def compose_checked(overrides: Iterable[str], config_dir: str | PathLike[str] | None = None) -> dict[str, Any]:
    """Return the configuration as `compose` does, and refuse what the command line refuses.

    Args:
        overrides: As in `compose`.
        config_dir: As in `compose`.

    Raises:
        ValueError: A key is given twice, two options of one group are, or the overrides do not compose; in one line.
    """
    from regbench.config.composing import check_choices, check_given_once
    from regbench.config.errors import describe_error

    overrides = list(overrides)
    try:
        check_given_once(overrides)
        check_choices(overrides)
    except HydraException as error:
        raise ValueError(describe_error(error, overrides)) from error
    return compose(overrides, config_dir)
