"""The code that a configuration names: its classes, and how records tell one code from another. Imports no torch."""

from collections.abc import Iterator, Mapping
from typing import Any

from regbench.storage.identity import without_measured

# RegBench and what it is made of. Their versions are recorded, and no part of a run's identity.
CORE = frozenset(
    {
        *("regbench", "torch", "torchvision", "pytorch_lightning", "lightning_fabric", "torchmetrics", "numpy"),
        *("scipy", "sklearn", "pandas", "PIL", "pydantic", "filelock", "matplotlib", "tensorboard"),
        *("hydra", "omegaconf", "yaml", "rich", "typer", "jinja2"),
    }
)
KNOWN, NOT_RECORDED = "known", "not recorded"
_REGULARIZER = "regularizer"


def targets(config: Mapping[str, Any]) -> list[str]:
    """Return every class that a configuration names in a `_target_`, but for Hydra's own and loggers: those watch."""
    return sorted(set(_targets({key: value for key, value in config.items() if key not in {"hydra", "logger"}})))


def is_core(path: str) -> bool:
    """Tell whether a class belongs to RegBench or to what it is made of."""
    return path.partition(".")[0] in CORE


def told_apart(config: Mapping[str, Any], counted: Mapping[str, str], recorded: Mapping[str, Any]) -> tuple[str, str]:
    """Return in one text each what code a run's regularizers are and what the rest of it is.

    Runs with different texts are never averaged. Code of RegBench and of its core packages is known unless it counted;
    a class of somebody else that a run of an older version did not record is a code of its own. Metrics that are
    measured alone change no other number: two that differ are told apart by what `results.json` says of them.

    Args:
        config: The run's configuration.
        counted: What `config.yaml` records: the code that is part of the run's identity.
        recorded: What `results.json` records of all code.
    """
    named = targets(without_measured(config))
    measured = set(targets(config)).difference(named)
    code = {name: str(value) for name, value in recorded.items() if not is_core(name) and name not in measured}
    code |= dict(counted)
    code |= {name: NOT_RECORDED for name in named if not is_core(name) and name not in code}
    techniques = set(targets({_REGULARIZER: config.get(_REGULARIZER)}))
    parts = ({name for name in code if name in techniques}, {name for name in code if name not in techniques})
    regularizers, rest = ("; ".join(f"{name} {code[name]}" for name in sorted(part)) or KNOWN for part in parts)
    return regularizers, rest


def _targets(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key == "_target_" and isinstance(each, str):
                yield each
            else:
                yield from _targets(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _targets(each)
