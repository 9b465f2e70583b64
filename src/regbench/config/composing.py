"""Composing one configuration from YAML groups and overrides."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from regbench.config import resolvers  # noqa: F401 (registers what the YAMLs use)
from regbench.config.identity import with_names

_PACKAGED = Path(__file__).parents[1] / "configs"  # in an installed wheel; a checkout has them at its top
CONFIGS = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[3] / "configs"
SINGLE_GROUPS = ("dataset", "model", "optimizer", "scheduler", "experiment", "seeds")
LIST_GROUPS = ("regularizer", "callbacks", "metrics", "logger")

_OF_THE_WHOLE = re.compile(r"^#\s*@package\s+_global_\s*$", re.MULTILINE)  # a file with keys of the whole configuration


def compose_raw(overrides: Iterable[str] = (), name: str = "train") -> DictConfig:
    """Return the composed configuration with its interpolations, Hydra's part included; its errors are left as are."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = hydra.compose(name, list(overrides), return_hydra_config=True)
        check_sources(config)
        check_defined_once(config, GlobalHydra.instance().config_loader())
    return config


def to_plain(config: DictConfig, choices: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the configuration without Hydra's part, all interpolations resolved and all parts named.

    Args:
        config: The composed configuration.
        choices: The option of each group; from Hydra's part of the configuration unless given.
    """
    if choices is None:
        choices = OmegaConf.select(config, "hydra.runtime.choices") or {}
    own = without_hydra(config) if "hydra" in config else config
    plain = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    if not isinstance(plain, dict):
        raise TypeError(f"expected a configuration of keys and values, received {type(plain).__name__}")
    return with_names({str(key): value for key, value in plain.items()}, choices)


def without_hydra(config: DictConfig) -> DictConfig:
    """Return the configuration without Hydra's part; the time of the call is still the same in it."""
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    OmegaConf.copy_cache(from_config=config, to_config=own)
    return own


def check_sources(config: DictConfig) -> None:
    """Refuse a YAML of one's own under a name that RegBench has: Hydra takes RegBench's and says nothing.

    Args:
        config: The composed configuration with Hydra's part.

    Raises:
        ValueError: In one line that names the file.
    """
    for folder in _own_folders(config):
        for own in sorted([*folder.glob("*/*.yaml"), *folder.glob("*/*/*.yaml")]):
            shipped = CONFIGS / own.relative_to(folder)
            if shipped.is_file() and shipped.read_bytes() != own.read_bytes():
                raise ValueError(
                    f"{own}: expected a name that RegBench does not have, received its own "
                    f"{own.relative_to(folder).parent}={own.stem}, which would be used instead; rename the file"
                )


def check_defined_once(config: DictConfig, loader: ConfigLoader) -> None:
    """Refuse a list of options of which two define one name: Hydra makes a blend of both and says nothing.

    Args:
        config: The composed configuration of one run, with Hydra's part.
        loader: Hydra's, by which it was composed.

    Raises:
        ValueError: In one line that names both files.
    """
    # RegBench's own options have names of their own, and Hydra tells the choice of a group unless it is a list.
    lists = [group for group in LIST_GROUPS if group not in config.hydra.runtime.choices]
    if not lists or not _own_folders(config):
        return
    overrides = [*config.hydra.overrides.hydra, *config.hydra.overrides.task]
    composed = loader.compute_defaults_list(config.hydra.job.config_name, overrides, RunMode.RUN).defaults
    parents = {each.config_path: each.parent for each in composed}
    defined: dict[tuple[str, str], str] = {}
    for option in (str(each.config_path) for each in composed):
        group = option.partition("/")[0]
        if group not in lists:
            continue
        chosen = option
        while str(parents[chosen]).startswith(f"{group}/"):  # options within an option's defaults are its own affair
            chosen = str(parents[chosen])
        for name in _names_in(option, config):
            if (other := defined.setdefault((group, name), chosen)) != chosen:
                raise ValueError(
                    f"{group}.{name}: expected one option that defines it, received {other}.yaml and {chosen}.yaml, of "
                    "which Hydra would make a blend; give it another name in one of them"
                )


def _own_folders(config: DictConfig) -> list[Path]:
    """Return the folders of YAMLs of one's own that a configuration was composed with."""
    folders = [Path(each.path) for each in config.hydra.runtime.config_sources if each.schema == "file"]
    return [each for each in folders if each != CONFIGS]


def _names_in(option: str, config: DictConfig) -> list[str]:
    """Return the names that an option's file defines."""
    for folder in (CONFIGS, *_own_folders(config)):
        if (path := folder / f"{option}.yaml").is_file():
            content: Any = OmegaConf.load(path)
            if _OF_THE_WHOLE.search(path.read_text(encoding="utf-8")):
                content = content.get(option.partition("/")[0]) or {}
            return [str(name) for name in content if name != "defaults"]
    return []


def check_choices(overrides: Iterable[str]) -> None:
    """Refuse what composes without an error but makes no sense: two options of one group, one technique given twice.

    Raises:
        ValueError: In one line that names the override.
    """
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        value = override.value()
        if override.key_or_group in SINGLE_GROUPS and isinstance(value, list):
            raise ValueError(
                f"{override.input_line}: expected one option of {override.key_or_group}, received a list; "
                f"only {', '.join(LIST_GROUPS[:-1])} and {LIST_GROUPS[-1]} take several"
            )
        if override.key_or_group in LIST_GROUPS and isinstance(value, list) and len(set(map(str, value))) < len(value):
            raise ValueError(
                f"{override.input_line}: expected each of {override.key_or_group} once, received one twice"
            )


def check_given_once(overrides: Iterable[str]) -> None:
    """Refuse a key or a group that is given twice: Hydra takes the last and says nothing.

    Raises:
        ValueError: In one line that names both overrides.
    """
    given: dict[str, str] = {}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        if override.is_delete():
            continue
        # One option may stand at two places: that is another package.
        key = f"{override.key_or_group}@{override.package}" if override.package else override.key_or_group
        line = str(override.input_line)
        if key in given:
            raise ValueError(f"{line}: expected {key} once, received {given[key]} before it")
        given[key] = line
