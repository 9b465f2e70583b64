"""What is recorded of a run: its configuration, its results, how it failed, and TensorBoard's HParams tab."""

import contextlib
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning.loggers import TensorBoardLogger

from regbench import run_folder
from regbench.callbacks import DivergedError
from regbench.composition import config_hash, describe_error, setting_name
from regbench.evaluation import METRICS
from regbench.provenance import provenance


def refuse_other_run(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse a folder that holds the run of another configuration or seed.

    Raises:
        ValueError: In one line that names both.
    """
    if not (folder / run_folder.CONFIG).exists():
        return
    there = read_config(folder)
    held, asked = ((config_hash(each), each.get("seed")) for each in (there, config))
    if held != asked:
        raise ValueError(
            f"hydra.run.dir={folder}: holds the run of another configuration ({setting_name(there)}-{held[0]} "
            f"seed {held[1]}), asked for {setting_name(config)}-{asked[0]} seed {asked[1]}; give another folder"
        )


def read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration that a run folder records.

    Raises:
        ValueError: Its file is missing or damaged.
    """
    path = folder / run_folder.CONFIG
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))["config"]
    except (OSError, UnicodeError, yaml.YAMLError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: missing or damaged; delete the folder to run anew") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path}: expected keys and values under config, received {type(config).__name__}")
    return config


def empty_results(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return `results.json` with all its keys, as far as the configuration alone tells, and its provenance."""

    def name(group: str) -> Any:
        node = config.get(group)
        return node.get("name") if isinstance(node, Mapping) else None

    unknown = dict.fromkeys(("best_epoch", "checkpoint", "parameters", "train_size"))
    dataset = config.get("dataset")
    return {
        "schema": 1,
        "status": None,
        "error": None,
        "study": config.get("study"),
        **{group: name(group) for group in ("dataset", "model")},
        "setting": setting_name(config),
        **{group: name(group) for group in ("optimizer", "scheduler")},
        "seed": config.get("seed"),
        "split_seed": dataset.get("split_seed") if isinstance(dataset, Mapping) else None,
        "config_hash": config_hash(config),
        "threads": config.get("threads"),
        "compile": config.get("compile"),
        "epochs": trainer.get("max_epochs") if isinstance(trainer := config.get("trainer"), Mapping) else None,
        "epochs_trained": None,
        **unknown,
        "metrics": dict.fromkeys(METRICS),
        "seconds": dict.fromkeys(("train", "evaluate", "total")),
        "images_per_second": None,
        "provenance": provenance(),
    }


def record_failure(folder: Path, results: dict[str, Any], error: BaseException) -> None:
    """Write how a run ended: `error.txt` with the traceback, `results.json` with the status and one line."""
    if isinstance(error, DivergedError):
        status = run_folder.DIVERGED
    elif isinstance(error, Exception):
        status = run_folder.FAILED
    else:
        status = run_folder.INTERRUPTED
    message = describe_error(error)
    # Where nothing can be written any more, the error itself is still told by whoever called the run.
    with contextlib.suppress(OSError):
        run_folder.write_text(folder / run_folder.ERROR, "".join(traceback.format_exception(error)))
    with contextlib.suppress(OSError):
        run_folder.write_json(folder / run_folder.RESULTS, {**results, "status": status, "error": message})


def log_hyperparameters(logger: TensorBoardLogger, config: Mapping[str, Any], results: Mapping[str, Any]) -> None:
    """Fill TensorBoard's HParams tab with the same keys for every run, as it takes its columns from one of them."""
    strengths = {
        f"{technique}.{key}": value
        for technique, node in sorted(config["regularizer"].items())
        for key, value in node.items()
        if key != "_target_"
    }
    columns = (
        "dataset",
        "model",
        "setting",
        "optimizer",
        "scheduler",
        "seed",
        "epochs",
        "train_size",
        "threads",
        "compile",
    )
    parameters = {
        **{key: results[key] for key in columns},
        "callbacks": "+".join(sorted(config.get("callbacks") or {})) or "none",
        "strengths": ", ".join(f"{key}={value}" for key, value in strengths.items()) or "none",
        "learning_rate": config["optimizer"].get("lr"),
        "batch_size": config["dataset"]["batch_size"],
    }
    metrics = {f"chosen/{key}": float("nan") if value is None else value for key, value in results["metrics"].items()}
    # One step after the last epoch: a run that goes on after it drops these values and writes them again.
    step = results["epochs"] + 1
    logger.log_hyperparams(parameters, {**metrics, "chosen/epoch": results["best_epoch"] + 1}, step=step)
    logger.finalize("success")
