"""Configuration with Hydra: composing, resolvers, a run's name and identity, objects from YAML, error messages."""

from collections.abc import Iterable
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException


def compose(overrides: Iterable[str] = ()) -> dict[str, Any]:
    """Return the composed configuration, resolved to plain containers.

    Raises:
        ValueError: The overrides do not compose, in one line.
    """
    from regbench.config.composing import compose_raw, to_plain
    from regbench.config.errors import describe_error

    overrides = list(overrides)
    try:
        return to_plain(compose_raw(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(describe_error(error, overrides)) from error
