"""All that is Hydra's: resolvers, composing, what a run is called, what a sweep plans, errors in one line.

Importing this module registers the resolvers that `configs/` uses.
"""

import difflib
import errno
import hashlib
import json
import math
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from regbench.run_folder import DIVERGED, FAILED, FINISHED, RESULTS, SWEEP, read_results, write_json

CONFIGS = Path(__file__).parents[2] / "configs"
COMPILE_FROM_STEPS = 2_000
NO_DECAY_HERE = (
    "weight decay is a regularizer here: use regularizer=weight_decay regularizer.weight_decay.coefficient=…"
)

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
_NOT_IDENTITY = ("hydra", "seed", "study", "histograms")
_NOT_IDENTITY_OF_DATASET = ("root", "flip")  # flip reaches the numbers by augmentation's own key alone
_SINGLE_GROUPS = ("dataset", "model", "optimizer", "scheduler", "experiment")
_LIST_GROUPS = ("regularizer", "callbacks")


def compose(overrides: Iterable[str] = ()) -> dict[str, Any]:
    """Return the composed configuration, resolved to plain containers.

    Raises:
        ValueError: The overrides do not compose, in one line.
    """
    overrides = list(overrides)
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            return to_plain(hydra_compose("train", overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(describe_error(error, overrides)) from error


def to_plain(config: DictConfig) -> dict[str, Any]:
    """Return the configuration with all interpolations resolved, as plain containers."""
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    if not isinstance(plain, dict):
        raise TypeError(f"expected a configuration of keys and values, received {type(plain).__name__}")
    return {str(key): value for key, value in plain.items()}


def setting_name(config: Mapping[str, Any]) -> str:
    """Return the regularizers' names in alphabetical order joined by `+`, or `none`."""
    return "+".join(sorted(config.get("regularizer") or {})) or "none"


def config_hash(config: Mapping[str, Any]) -> str:
    """Return six hexadecimal digits that tell configurations apart, seeds and places of files left out."""
    return hashlib.sha256(json.dumps(identity(config), sort_keys=True).encode()).hexdigest()[:6]


def identity(config: Mapping[str, Any]) -> Any:
    """Return the part of a configuration that decides a run's numbers, but for the seed."""
    kept = {key: value for key, value in config.items() if key not in _NOT_IDENTITY}
    if isinstance(dataset := kept.get("dataset"), Mapping):
        kept["dataset"] = {key: value for key, value in dataset.items() if key not in _NOT_IDENTITY_OF_DATASET}
    return _canonical(kept)


def run_name(config: Mapping[str, Any]) -> str:
    """Return a run's folder below `outputs/runs` or its study's."""
    names = "-".join(_name(config.get(group)) for group in ("dataset", "model"))
    return f"{names}/{setting_name(config)}-{config_hash(config)}/seed{config.get('seed')}"


def check_choices(overrides: Iterable[str]) -> None:
    """Refuse what composes silently but makes no sense: two options of one group, one technique given twice.

    Raises:
        ValueError: In one line that names the override.
    """
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        value = override.value()
        if override.key_or_group in _SINGLE_GROUPS and isinstance(value, list):
            raise ValueError(
                f"{override.input_line}: expected one option of {override.key_or_group}, received a list; "
                f"only {' and '.join(_LIST_GROUPS)} take several"
            )
        if override.key_or_group in _LIST_GROUPS and isinstance(value, list) and len(set(map(str, value))) < len(value):
            raise ValueError(
                f"{override.input_line}: expected each of {override.key_or_group} once, received one twice"
            )


class Sweep(Callback):
    """Writes down what a sweep was asked for, over all its calls, before its first run starts."""

    folder: Path | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Compose every run's name and add it to `sweep.json`."""
        try:
            names = _planned_runs(config)
        except (HydraException, OmegaConfBaseException):
            return  # Hydra's sweeper refuses the same grid next; an error raised here would become a warning.
        folder = Path(config.hydra.sweep.dir)
        plan = read_plan(folder)
        command = shlex.join(["python", *sys.argv])
        folder.mkdir(parents=True, exist_ok=True)
        write_json(
            folder / SWEEP,
            {
                "commands": list(dict.fromkeys([*plan["commands"], command])),
                "runs": list(dict.fromkeys([*plan["runs"], *names])),
            },
        )
        Sweep.folder = folder
        done = sum(_status(folder, name) == FINISHED for name in names)
        print(f"{folder}: {len(names)} runs, {done} of them finished before", flush=True)


def read_plan(folder: Path) -> dict[str, list[str]]:
    """Return the sweep's commands and planned runs, both empty before its first call."""
    try:
        plan = json.loads((folder / SWEEP).read_text(encoding="utf-8"))
        return {"commands": list(plan["commands"]), "runs": list(plan["runs"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"commands": [], "runs": []}


def planned_folders(folder: Path | None) -> list[Path]:
    """Return the run folders of a sweep; none for a run alone."""
    return [folder / name for name in read_plan(folder)["runs"]] if folder is not None else []


def progress(folder: Path) -> dict[str, int]:
    """Count a sweep's runs: `done`, `failed` (since the last call) and `left`."""
    names = read_plan(folder)["runs"]
    called = (folder / SWEEP).stat().st_mtime_ns if names else 0
    done = failed = 0
    for name in names:
        status = _status(folder, name)
        done += status == FINISHED
        failed += status in {FAILED, DIVERGED} and (folder / name / RESULTS).stat().st_mtime_ns >= called
    return {"done": done, "failed": failed, "left": len(names) - done - failed}


def describe_error(error: BaseException, overrides: Iterable[str] = ()) -> str:
    """Return what went wrong in one line for the user: the key, what was expected, what was received."""
    if (refused := _file_error(error)) is not None:
        return f"{refused.filename or 'a file of the run'}: cannot be written ({refused.strerror})"
    text = str(error) or (str(error.__cause__) if error.__cause__ else "") or type(error).__name__
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        return f"{group}: expected one of {', '.join(error.options)}; received {option!r}"
    if isinstance(error, OverrideParseException):
        reason = error.message.splitlines()[0]
        return f"{error.override}: expected KEY=VALUE, received what cannot be read as that ({reason})"
    if found := re.search(r"Could not override '([^']+)'\.", text):
        return _unknown_key(found[1], list(overrides))
    if isinstance(error, ConfigCompositionException) and error.__cause__ is not None and len(text.split()) < 3:
        text = str(error.__cause__)
    return " ".join(text.split())


def _file_error(error: BaseException) -> OSError | None:
    """Return the full disk or lost permission behind another error: TensorBoard's logger hides it."""
    cause = error.__cause__ or error.__context__
    while cause is not None and not (isinstance(cause, OSError) and cause.errno in _DISK_ERRORS):
        cause = cause.__cause__ or cause.__context__
    return cause if not isinstance(error, OSError) else None


def _planned_runs(config: DictConfig) -> list[str]:
    loader = GlobalHydra.instance().config_loader()
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    overrides = OverridesParser.create(loader).parse_overrides(params + list(config.hydra.overrides.task))
    names = []
    for job in BasicSweeper.split_arguments(overrides, None)[0]:
        composed = loader.load_sweep_config(config, job)
        HydraConfig.instance().set_config(composed)
        names.append(str(composed.hydra.sweep.subdir))
    return names


def _unknown_key(key: str, overrides: list[str]) -> str:
    if key.startswith("optimizer.") and key.endswith("weight_decay"):
        return f"{key}: {NO_DECAY_HERE}"
    if "." not in key and "/" not in key and key in _SINGLE_GROUPS:
        return f"{key}: no such option"
    parent, _, name = key.rpartition(".")
    choices = [each for each in overrides if re.match(r"\+{0,2}[\w/]+=", each) and not each.startswith(f"{key}=")]
    try:
        known = list(OmegaConf.select(OmegaConf.create(compose(choices)), parent) if parent else compose(choices))
    except (ValueError, TypeError):
        group, _, technique = parent.partition(".")
        if group in _LIST_GROUPS and (CONFIGS / group / f"{technique}.yaml").exists():
            return f"{key}: {technique} is not chosen; add {group}={technique}"
        return f"{key}: no such key"
    known = [each for each in known if each not in {"_target_", "_partial_"}]
    hint = difflib.get_close_matches(name, known, n=1)
    meant = f" (did you mean {hint[0]}?)" if hint else ""
    return f"{key}: no such key{meant}; expected one of {', '.join(known) or 'none'}"


def _status(folder: Path, name: str) -> str | None:
    results = read_results(folder / name)
    return results.get("status") if results else None


def _canonical(value: Any) -> Any:
    """Write equal numbers alike (0 and 0.0), so that they hash alike."""
    if isinstance(value, Mapping):
        return {str(key): _canonical(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _name(node: Any) -> str:
    """Return a safe folder name for a dataset or a model."""
    name = node.get("name") if isinstance(node, Mapping) else None
    return re.sub(r"[^\w.+]+", "_", str(name or "unnamed"))


def _threads() -> int:
    sweeping = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    return 1 if sweeping else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _compile_pays(*, _root_: DictConfig) -> bool:
    """Decide from the configured number of steps, so that all runs of a study decide alike."""
    return bool(_steps(_root_=_root_) >= COMPILE_FROM_STEPS and has_compiler())


def _steps(*, _root_: DictConfig) -> int:
    """Return the run's number of training steps, for schedules that move on at each."""
    try:
        dataset = _root_.dataset
        images = dataset.train_size or dataset.train_images - dataset.val_size
        size = dataset.batch_size
        # A last batch of one joins the batch before it, see `data.Batches`.
        batches = math.ceil(images / size) - (images > size and images % size == 1)
        return int(_root_.trainer.max_epochs * batches)
    except (TypeError, AttributeError, ArithmeticError, ValueError, OmegaConfBaseException):
        return 1  # The constructors will name what is missing or no number.


def _direction(metric: str) -> str:
    """Return whether a metric is better when it is larger (`max`) or smaller (`min`)."""
    return "max" if str(metric).endswith("/acc") else "min"


def has_compiler() -> bool:
    """Tell whether a C++ compiler is there, which compiled steps need on a CPU."""
    return any(map(shutil.which, filter(None, (os.environ.get("CXX"), "g++", "clang++", "c++"))))


def _run_folder(*, _root_: DictConfig) -> str:
    bare = OmegaConf.masked_copy(_root_, [str(key) for key in _root_ if key != "hydra"])
    return run_name(to_plain(bare))


OmegaConf.register_new_resolver("threads", _threads, replace=True)
OmegaConf.register_new_resolver("compile_pays", _compile_pays, replace=True)
OmegaConf.register_new_resolver("steps", _steps, replace=True)
OmegaConf.register_new_resolver("direction", _direction, replace=True)
OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
OmegaConf.register_new_resolver("count", len, replace=True)
