"""Which classes the configuration of somebody else's run may name: nothing else of it is even imported."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from regbench.storage.moved import current_target

# Modules whose classes do nothing but what a run is made of. Python's own way to a name is not asked before this.
_MODULES = frozenset(
    {
        "torch.nn",
        "torch.optim",
        "torch.optim.lr_scheduler",
        "pytorch_lightning",
        "pytorch_lightning.callbacks",
        "torchmetrics.classification",
    }
)
_OWN = ("regbench.data", "regbench.models", "regbench.regularizers", "regbench.training")


def check_targets(config: Mapping[str, Any], trusted: Collection[str] = ()) -> None:
    """Refuse a configuration that names a class outside the allow-list, before anything is imported.

    Allowed are RegBench's own classes, PyTorch's layers, optimizers and schedules, Lightning's trainer and callbacks,
    torchmetrics' metrics of classification, and what is in a trusted package.

    Args:
        config: A composed configuration.
        trusted: Names of packages, `my_lib` or `my_lib.layers`.

    Raises:
        ValueError: In one line that names the key and the class.
    """
    for key, target in _targets(config, ""):
        if not isinstance(target, str) or not _is_allowed(current_target(target), trusted):
            package = target.partition(".")[0] if isinstance(target, str) else "PACKAGE"
            raise ValueError(
                f"{key}: {target!r} is neither RegBench's nor PyTorch's nor Lightning's, so it is not imported for a "
                f"stored run; if you know where it comes from, trust its package: --trust {package}, "
                f"or trust={package!r} in Python"
            )


def _is_allowed(target: str, trusted: Collection[str]) -> bool:
    parts = target.split(".")
    if not all(part.isidentifier() for part in parts):
        return False
    module = ".".join(parts[:-1])
    return (
        module in _MODULES
        or any(module == own or module.startswith(f"{own}.") for own in _OWN)
        or any(module == package or module.startswith(f"{package}.") for package in trusted)
    )


def _targets(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Give every `_target_` with its place, however deep it lies."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            place = f"{key}.{name}" if key else str(name)
            if name == "_target_":
                yield place, inner
            else:
                yield from _targets(inner, place)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from _targets(inner, f"{key}[{index}]")
