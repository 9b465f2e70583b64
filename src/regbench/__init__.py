"""RegBench: which regularization helps, by how much, and how sure are we?

The public interface; what is behind it is loaded when it is first used, so that importing the package takes no time.

- `train`: one run, from its configuration to its results.
- `sweep`: many runs, as a study.
- `load_study`: finished runs as tables, with what they say, their figures and their report.
- `load_run`: a finished run with its network.
- `compose`: a configuration from YAML groups and overrides.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regbench.config import compose
    from regbench.runs.loading import load_run
    from regbench.runs.run import train
    from regbench.study.loaded import load_study
    from regbench.sweeps.from_python import sweep

__all__ = ["compose", "load_run", "load_study", "sweep", "train"]
__version__ = "0.2.0"

_HOMES = {
    "compose": ("regbench.config", "compose"),
    "load_run": ("regbench.runs.loading", "load_run"),
    "load_study": ("regbench.study.loaded", "load_study"),
    "sweep": ("regbench.sweeps.from_python", "sweep"),
    "train": ("regbench.runs.run", "train"),
}


def __getattr__(name: str) -> Any:
    """Load a public name's module when the name is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    """Let completion in notebooks see the public names before they are loaded."""
    return [*__all__, "__version__"]
