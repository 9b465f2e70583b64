"""Configurations as files: a run folder's `config.yaml`, and a study's planned runs. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from regbench.storage.files import read_bytes, write_text
from regbench.storage.identity import digest_of
from regbench.storage.results import DamagedError, one_line, shortened
from regbench.storage.schema import CONFIG, PLAN, read_run_path

# LibYAML, where PyYAML was built with it, is ten times faster: 400 folders take a second.
_YamlLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_YamlDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_MOST_VALUES = 100_000
_MOST_BYTES = 1 << 20
_MOST = 2**63  # whole numbers of tables have 64 bits
_GROUPS = ("dataset", "model", "regularizer", "optimizer", "scheduler", "callbacks", "logger", "trainer")
_SEED = "seed"


class _Loader(_YamlLoader):  # type: ignore[misc]  # whichever parser there is
    """Reads YAML without merge keys: no run writes them, and they would be written out before values are counted."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse `<<`."""
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.constructor.ConstructorError(problem="expected no merge key <<", problem_mark=node.start_mark)


class _Dumper(_YamlDumper):  # type: ignore[misc]  # whichever there is
    """Writes a value that stands at two places twice: aliases are for no reader."""

    def ignore_aliases(self, data: Any) -> bool:
        """Whatever it is."""
        return True


@dataclass(frozen=True)
class StoredConfig:
    """What `config.yaml` holds: the composed configuration, what the user changed, and the code that counts."""

    config: dict[str, Any]
    overrides: list[str]
    code: dict[str, str] = field(default_factory=dict)


def write_config(
    folder: Path, config: Mapping[str, Any], overrides: Sequence[str], code: Mapping[str, str] | None = None
) -> None:
    """Write `config.yaml`, in one step."""
    write_text(folder / CONFIG, _text(StoredConfig(dict(config), list(overrides), dict(code or {}))))


def read_config(folder: Path) -> StoredConfig:
    """Return the configuration that a run folder records.

    Raises:
        DamagedError: Its file is missing or not what a run writes.
    """
    return parse_config(read_config_text(folder))


def read_config_text(folder: Path) -> bytes:
    """Return a run folder's `config.yaml` as it stands there, for `parse_config`.

    Raises:
        DamagedError: The file is missing or cannot be read.
    """
    return _text_of(folder / CONFIG)


def parse_config(text: bytes, name: str = CONFIG) -> StoredConfig:
    """Return the configuration that the text of a `config.yaml` holds.

    Args:
        text: The file's content.
        name: What it is called in messages.

    Raises:
        DamagedError: It is not what a run writes.
    """
    try:
        stored = yaml.load(text.decode(), Loader=_Loader)
    except RecursionError as error:
        raise DamagedError(f"{name}: nested too deeply") from error
    # Besides its own errors, PyYAML raises what it meets in values such as 2026-13-45 or !!bool maybe.
    except Exception as error:
        raise DamagedError(f"{name}: not YAML, {one_line(error)}") from error
    return check_config(stored, name)


def check_config(stored: Any, name: str = CONFIG) -> StoredConfig:
    """Return the configuration that a parsed `config.yaml` holds.

    Args:
        stored: What was parsed.
        name: What the file is called in messages.

    Raises:
        DamagedError: It is not what a run writes.
    """
    if _expanded_size(stored, {}) > _MOST_VALUES:
        raise DamagedError(f"{name}: expected at most {_MOST_VALUES:,} values once its aliases are written out")
    if not isinstance(stored, dict) or not isinstance(stored.get("config"), dict):
        raise DamagedError(f"{name}: expected overrides and config, received {shortened(stored)}")
    if (wrong := _not_plain(stored)) is not None:
        raise DamagedError(f"{name}: expected numbers, texts, lists and mappings alone, received {shortened(wrong)}")
    for group_name in _GROUPS:
        group = stored["config"].get(group_name)
        if group is not None and not (isinstance(group, dict) and all(isinstance(key, str) for key in group)):
            raise DamagedError(f"{name}: {group_name}: expected keys and values, received {shortened(group)}")
    if not isinstance(stored.get("overrides") or [], list):
        raise DamagedError(f"{name}: overrides: expected a list, received {shortened(stored['overrides'])}")
    code = stored.get("code") or {}
    if not isinstance(code, dict):
        raise DamagedError(f"{name}: code: expected fingerprints by class, received {shortened(code)}")
    return StoredConfig(
        stored["config"],
        [str(each) for each in stored.get("overrides") or []],
        {str(each): str(value) for each, value in code.items()},
    )


def write_planned(study: Path, run: str, planned: StoredConfig) -> None:
    """Write down what a run of a study is to be: once for all seeds of a setting, without the seed.

    Args:
        study: The study's folder.
        run: The run's folder below it.
        planned: Its configuration, seed included.

    Raises:
        ValueError: Other runs are planned there.
    """
    path, shared = _planned_path(study, run)
    if shared:
        config = {key: value for key, value in planned.config.items() if key != _SEED}
        overrides = [each for each in planned.overrides if not each.startswith(f"{_SEED}=")]
        planned = StoredConfig(config, overrides, planned.code)
    text = _text(planned).encode()
    if path.is_file() and (there := path.read_bytes()) != text:
        _refuse_other_plan(path, there, planned)
    elif path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text.decode())


def read_planned(study: Path, run: str) -> StoredConfig:
    """Return what a run of a study is to be.

    Raises:
        DamagedError: It was not planned, or its file is not what a sweep writes.
    """
    path, shared = _planned_path(study, run)
    try:
        planned = parse_config(_text_of(path), path.name)
    except DamagedError as error:
        raise DamagedError(f"{path}: {str(error).removeprefix(f'{path.name}: ')}") from error
    if not shared:
        return planned
    seed = int(run.rpartition("/seed")[2])
    return StoredConfig({**planned.config, _SEED: seed}, [*planned.overrides, f"{_SEED}={seed}"], planned.code)


def _refuse_other_plan(path: Path, there: bytes, planned: StoredConfig) -> None:
    try:
        other = parse_config(there, path.name)
    except DamagedError:
        return
    if digest_of(other.config, other.code) != digest_of(planned.config, planned.code):
        raise ValueError(
            f"{path}: plans other runs of this name (it was edited, or two hashes begin alike); delete it, or give "
            "another study=NAME"
        )


def _planned_path(study: Path, run: str) -> tuple[Path, bool]:
    """Return where a run is planned, and whether all seeds of its setting are there."""
    if read_run_path(Path(run)) is not None:
        return study / PLAN / f"{run.rpartition('/')[0]}.yaml", True
    return study / PLAN / f"{quote(run, safe='')}.yaml", False


def _text(stored: StoredConfig) -> str:
    document = {"overrides": stored.overrides, "config": stored.config, "code": stored.code}
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def _text_of(path: Path) -> bytes:
    try:
        return read_bytes(path, _MOST_BYTES)
    except FileNotFoundError as error:
        raise DamagedError(f"{path.name}: missing") from error
    except OSError as error:
        raise DamagedError(f"{path.name}: {one_line(error)}") from error


def _expanded_size(value: Any, known: dict[int, float]) -> float:
    """Count the values of a document with its aliases written out; infinite where one holds itself."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        known[id(value)] = float("inf")  # until it is counted: met again within itself, it has no end
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_expanded_size(each, known) for each in inner)
    return known[id(value)]


def _not_plain(value: Any) -> Any:
    """Return the first value, however deep, that no run writes: one of a tag, or beyond 64 bits; else `None`."""
    if isinstance(value, (dict, list)):
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return next((wrong for each in inner if (wrong := _not_plain(each)) is not None), None)
    fits = isinstance(value, (str, float)) or (isinstance(value, int) and abs(value) < _MOST)
    return None if value is None or fits else value
