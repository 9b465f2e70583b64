"""What is recorded of a run: the keys of `results.json`, how it failed, and TensorBoard's HParams tab."""

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import TensorBoardLogger

from regbench import run_folder
from regbench.callbacks import DivergedError
from regbench.composition import config_hash, describe_error, setting_name
from regbench.evaluation import METRICS
from regbench.provenance import provenance


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
    run_folder.write_text(folder / run_folder.ERROR, "".join(traceback.format_exception(error)))
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
    logger.log_hyperparams(parameters, {**metrics, "chosen/epoch": results["best_epoch"] + 1})
    logger.finalize("success")
