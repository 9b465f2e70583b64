"""What a run folder holds already: a finished run, another one, one of other code. Imports no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regbench.config.identity import config_digest, config_hash, setting_name
from regbench.config.metrics import definitions
from regbench.runs.spec import RunSpec
from regbench.storage.code import NOT_RECORDED
from regbench.storage.configs import StoredConfig, read_config
from regbench.storage.lock import hold
from regbench.storage.results import DamagedError, RunResults, clear_run, read_results
from regbench.storage.schema import CHECKPOINTS, CONFIG, FINISHED, LOGS
from regbench.storage.study_folder import find_runs


def finished_run(folder: Path) -> RunResults | None:
    """Return the results of the finished run that a folder holds, if it does."""
    try:
        results = read_results(folder)
    except DamagedError:
        return None
    return results.model_copy(update={"reused": True}) if results and results.status == FINISHED else None


def lacking_metrics(results: RunResults, config: Mapping[str, Any]) -> list[str]:
    """Return the metrics of a configuration that a finished run was not scored by, or by another definition of them.

    They are no part of a run's identity, so a run that was finished without them is the one that is asked for.
    """
    recorded = {name: each.definition for name, each in results.measured.items()}
    return [name for name, text in definitions(config.get("metrics") or {}).items() if recorded.get(name) != text]


def refuse_other_run(folder: Path, spec: RunSpec) -> None:
    """Refuse a folder that holds the run of another configuration, seed or code; `force` replaces one of other code.

    A folder that holds runs, or files that no run of RegBench left, is refused too: reports would see one run instead
    of many, and a run from scratch clears its folder.

    Raises:
        ValueError: In one line that names both.
    """
    if not (folder / CONFIG).exists():
        _refuse_other_files(folder)
        _refuse_same_digits(folder, spec)
        return
    try:
        there = read_config(folder)
    except DamagedError as error:
        raise ValueError(f"{folder / CONFIG}: damaged ({error}); delete the folder to run from scratch") from error
    if (config_digest(there.config, there.code), there.config.get("seed")) == (spec.config_digest, spec.seed):
        return
    if _is_of_other_code(there, spec):
        if spec.force:
            return
        raise ValueError(
            f"hydra.run.dir={folder}: holds this run of other code ({differing_code(there.code, spec.code)}); "
            "give another folder, or force=true to replace it"
        )
    raise ValueError(
        f"hydra.run.dir={folder}: holds the run of another configuration ({_described(there)}), asked for "
        f"{spec.setting}-{spec.config_hash} seed {spec.seed}; give another folder"
    )


def other_code_beside(folder: Path, spec: RunSpec) -> str | None:
    """Return a line about the same run of other code, where one stands beside this folder."""
    if not spec.code or folder.parent.name != f"{spec.setting}-{spec.config_hash}":
        return None
    for path in sorted(folder.parent.parent.glob(f"{spec.setting}-*/{folder.name}/{CONFIG}")):
        try:
            there = read_config(path.parent)
        except DamagedError:
            continue
        if _is_of_other_code(there, spec):
            what = differing_code(there.code, spec.code)
            return f"{folder}: trained from scratch, beside {path.parent}, which is of other code: {what}"
    return None


def discard(folder: Path, spec: RunSpec) -> None:
    """Clear what a folder holds of a run, also of other code, so that it is trained from scratch.

    Raises:
        ValueError: The folder holds another run.
    """
    if folder.exists():
        with hold(folder):
            refuse_other_run(folder, spec)
            clear_run(folder)
            (folder / CONFIG).unlink(missing_ok=True)


def differing_code(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Say in which classes two codes differ, and how; empty where they are the same."""
    names = [name for name in sorted({*then, *now}) if then.get(name) != now.get(name)]
    return "; ".join(f"{name} {then.get(name, NOT_RECORDED)}, now {now.get(name, NOT_RECORDED)}" for name in names)


def _refuse_other_files(folder: Path) -> None:
    runs, sweeps = find_runs(folder)
    if others := [path for path in (*runs, *sweeps) if path != folder]:
        raise ValueError(f"hydra.run.dir={folder}: holds other runs ({others[0]}); give another folder")
    for name in (CHECKPOINTS, *LOGS):
        if (folder / name).is_dir() and any((folder / name).iterdir()):
            raise ValueError(
                f"hydra.run.dir={folder}: holds {name} of something else (there is no {CONFIG}), which a run would "
                "clear; give another folder"
            )


def _refuse_same_digits(folder: Path, spec: RunSpec) -> None:
    """Refuse a place beside the other seeds of another configuration whose six digits are the same by chance."""
    if folder.parent.name != f"{spec.setting}-{spec.config_hash}":
        return
    for path in sorted(folder.parent.glob(f"*/{CONFIG}")):
        try:
            there = read_config(path.parent)
        except DamagedError:
            continue
        if config_hash(there.config, there.code) == spec.config_hash:
            if config_digest(there.config, there.code) != spec.config_digest:
                raise ValueError(
                    f"hydra.run.dir={folder}: lies beside a run of another configuration whose hash begins alike "
                    f"({path.parent}), and a report would average the two; give another folder, in a sweep study=…"
                )
            return


def _described(there: StoredConfig) -> str:
    digits = config_hash(there.config, there.code)
    return f"{setting_name(there.config)}-{digits} seed {there.config.get('seed')}"


def _is_of_other_code(there: StoredConfig, spec: RunSpec) -> bool:
    """Tell whether a stored run differs from this one in its code alone."""
    same = config_hash(there.config, {}) == config_hash(spec.config, {}) and there.config.get("seed") == spec.seed
    return same and there.code != spec.code
