"""A run's specification: its configuration, its name and hash, and the checks before anything is built."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from regbench.config.checks import check_values
from regbench.config.composing import check_choices, check_given_once
from regbench.config.fingerprint import counted_code
from regbench.config.identity import config_digest, config_hash, setting_name
from regbench.config.loaded_code import check_files
from regbench.storage.schema import label_of


@dataclass(frozen=True)
class RunSpec:
    """What a run was asked for, and what follows from it alone.

    Args:
        config: The composed configuration in plain containers.
        overrides: What the user changed.
    """

    config: Mapping[str, Any]
    overrides: Sequence[str] = ()

    @cached_property
    def setting(self) -> str:
        """The regularizers' names, or `none`."""
        return setting_name(self.config)

    @cached_property
    def code(self) -> dict[str, str]:
        """What counts of the code that the configuration names, by class."""
        return counted_code(self.config)

    @cached_property
    def config_hash(self) -> str:
        """Six digits that tell configurations and their code apart, but for the seed."""
        return config_hash(self.config, self.code)

    @cached_property
    def config_digest(self) -> str:
        """The whole hash, where six digits might be the same by chance."""
        return config_digest(self.config, self.code)

    @property
    def force(self) -> bool:
        """Whether a finished run is trained again."""
        return self.config.get("force") is True

    @property
    def is_lean(self) -> bool:
        """Whether a finished run keeps its results alone."""
        return self.config.get("keep") == "results"

    @property
    def seed(self) -> Any:
        """The seed as it was given."""
        return self.config.get("seed")

    @property
    def split_seed(self) -> Any:
        """The seed of the split: the run's own, unless the dataset states one; `None` where it has no such key."""
        dataset = _node(self.config, "dataset")
        return self.seed if dataset.get("split_seed", 0) is None else dataset.get("split_seed")

    def with_seed(self, seed: Any, overrides: Sequence[str]) -> "RunSpec":
        """Return the specification of another seed; what does not depend on it is not worked out again."""
        other = RunSpec({**self.config, "seed": seed}, overrides)
        other.__dict__.update(setting=self.setting, code=self.code, config_hash=self.config_hash)
        return other

    def check(self) -> None:
        """Refuse what composes but makes no sense, or no comparison.

        Raises:
            ValueError: In one line that names the override.
        """
        check_given_once(self.overrides)
        check_choices(self.overrides)
        check_values(self.config)
        check_files(self.config)

    def described(self) -> dict[str, Any]:
        """Return the values of `results.json` that follow from the configuration alone; `None` where one is invalid."""
        config = self.config
        names = {group: label_of(config.get(group)) for group in ("dataset", "model", "optimizer", "scheduler")}
        return names | {
            "study": _typed(config.get("study"), str),
            "setting": self.setting,
            "seed": _typed(self.seed, int),
            "split_seed": _typed(self.split_seed, int),
            "config_hash": self.config_hash,
            "threads": _typed(config.get("threads"), int),
            "compile": _typed(config.get("compile"), bool),
            "epochs": _typed(_node(config, "trainer").get("max_epochs"), int),
        }


def _node(config: Mapping[str, Any], group: str) -> Mapping[str, Any]:
    node = config.get(group)
    return node if isinstance(node, Mapping) else {}


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind or (isinstance(value, int) and value < 0):
        return None
    return value
