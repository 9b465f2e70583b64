"""Study folders as the experiment leaves them, without training: small, seeded, true to the run folder's contract."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from regbench.drawing.reliability import bin_by_confidence, calibration_error
from regbench.storage.identity import hash_of
from regbench.study import Study
from regbench.study.comparisons import Comparison, comparisons
from regbench.study.statistics import Difference, compare

FOUR_WAY = {"none": 0.890, "batchnorm": 0.902, "dropout p=0.5": 0.885, "weight_decay coefficient=0.001": 0.891}
CLASSES = {
    "fashion_mnist": [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Boot",
    ],
    "digits": [str(digit) for digit in range(10)],
}
PARAMETERS = {"batchnorm": {}, "dropout": {"p": 0.5}, "weight_decay": {"coefficient": 0.001}}


def write_study(
    path: Path,
    settings: Mapping[str, float] = FOUR_WAY,
    seeds: Iterable[int] = range(5),
    *,
    epochs: int = 6,
    dataset: str = "fashion_mnist",
    model: str = "lenet5",
    noise: float = 0.002,
    test_size: int = 1000,
    val_size: int = 1000,
    track_test: bool = False,
    overrides: Mapping[str, Any] | None = None,
    status: Mapping[tuple[str, int], str] | None = None,
) -> Path:
    """Write a study folder of finished runs and return it; a second call adds to it and to its `sweep.json`.

    Args:
        path: The study's folder; its last part is the study's name.
        settings: Mean test accuracy by setting. A setting is the techniques joined by `+`, then, after a space, what
            its parameters are: `"dropout p=0.3"`, or with the technique's name `"dropout+weight_decay dropout.p=0.3"`.
        seeds: One run each. A part of the spread is common to a seed's runs, as it is in real studies.
        noise: Seed-to-seed standard deviation of the accuracy.
        test_size: Test images; reported accuracies are what the stored logits give, so multiples of `1 / test_size`.
        val_size: With 0 there is no validation: empty columns, nulls, and the last checkpoint is the chosen one.
        track_test: Whether the history has the test curves.
        overrides: Values of the composed configuration by dotted key, such as `{"optimizer.lr": 0.01}`.
        status: A status other than finished for (setting, seed); "missing" is only asked for in `sweep.json`, and
            "running" has a `config.yaml` and nothing else.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    sweep_file = path / "sweep.json"
    sweep = json.loads(sweep_file.read_text()) if sweep_file.exists() else {"commands": [], "runs": []}
    chosen = ",".join(setting.split(" ")[0] for setting in settings)
    sweep["commands"].append(
        f"python train.py -m study={path.name} dataset={dataset} model={model} regularizer={chosen}"
    )
    for setting, accuracy in settings.items():
        for seed in seeds:
            state = (status or {}).get((setting, seed), "finished")
            folder = write_run(
                path,
                setting,
                accuracy,
                seed,
                epochs=epochs,
                dataset=dataset,
                model=model,
                noise=noise,
                test_size=test_size,
                val_size=val_size,
                track_test=track_test,
                overrides=overrides,
                status=state,
            )
            name = folder.relative_to(path).as_posix()
            if name not in sweep["runs"]:
                sweep["runs"].append(name)
    sweep_file.write_text(json.dumps(sweep, indent=1))
    return path


def write_run(
    study: Path,
    setting: str = "none",
    accuracy: float = 0.89,
    seed: int = 0,
    *,
    epochs: int = 6,
    dataset: str = "fashion_mnist",
    model: str = "lenet5",
    noise: float = 0.002,
    test_size: int = 1000,
    val_size: int = 1000,
    track_test: bool = False,
    overrides: Mapping[str, Any] | None = None,
    status: str = "finished",
) -> Path:
    """Write one run's folder below the study's and return it."""
    config = _config(study.name, setting, seed, epochs, dataset, model, val_size, track_test)
    for key, value in (overrides or {}).items():
        _set(config, key, value)
    name = "+".join(sorted(config["regularizer"])) or "none"
    config_hash = hash_of(config, {})
    folder = study / f"{config['dataset']['name']}-{config['model']['name']}" / f"{name}-{config_hash}" / f"seed{seed}"
    if status == "missing":
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    composed = {"overrides": [f"regularizer={name}", f"seed={seed}", f"study={study.name}"], "config": config}
    (folder / "config.yaml").write_text(yaml.safe_dump(composed, sort_keys=False))
    if status == "running":
        return folder

    rng = np.random.default_rng([seed, int(config_hash, 16)])
    common = np.random.default_rng(seed).normal()
    wanted = accuracy + noise * (common + rng.normal()) / np.sqrt(2)
    predictions = _predictions(rng, wanted, test_size, len(config["dataset"]["classes"]))
    correct = predictions["logits"].argmax(1) == predictions["labels"]
    rows = _history(rng, float(correct.mean()), config["trainer"]["max_epochs"], val_size > 0, track_test)
    results = _results(config, name, config_hash, rows, predictions, status)
    if status == "finished":
        np.savez(folder / "predictions.npz", **predictions)
    if status in {"finished", "diverged", "interrupted"}:
        with (folder / "history.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    if status == "failed":
        (folder / "error.txt").write_text("Traceback (most recent call last):\nRuntimeError: out of memory\n")
    (folder / "results.json").write_text(json.dumps(results, indent=1))
    return folder


def rehash(folder: Path) -> None:
    """Let the results of a run whose configuration was edited be those of a run that was trained with it."""
    stored = yaml.safe_load((folder / "config.yaml").read_text())
    results = json.loads((folder / "results.json").read_text())
    results["config_hash"] = hash_of(stored["config"], stored.get("code") or {})
    (folder / "results.json").write_text(json.dumps(results))


def _config(
    study: str, setting: str, seed: int, epochs: int, dataset: str, model: str, val_size: int, track_test: bool
) -> dict[str, Any]:
    return {
        "dataset": {
            "_target_": "regbench.data.ImageData",
            "name": dataset,
            "classes": CLASSES.get(dataset, [f"class {number}" for number in range(10)]),
            "root": "data",
            "train_size": None,
            "val_size": val_size,
            "batch_size": 100,
            "split_seed": 0,
        },
        "model": {"_target_": f"regbench.models.{model}", "name": model, "activation": "tanh"},
        "regularizer": _regularizer(setting),
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.001},
        "scheduler": None,
        "trainer": {"max_epochs": epochs},
        "seed": seed,
        "study": study,
        "threads": 1,
        "compile": False,
        "track_test": track_test,
        "monitor": "val/acc",
    }


def _regularizer(setting: str) -> dict[str, dict[str, Any]]:
    name, *values = setting.split(" ")
    techniques = [] if name == "none" else sorted(name.split("+"))
    chosen: dict[str, dict[str, Any]] = {
        technique: {"_target_": f"regbench.regularizers.{technique}", **PARAMETERS.get(technique, {})}
        for technique in techniques
    }
    for value in values:
        key, _, number = value.partition("=")
        technique, _, parameter = key.rpartition(".")
        chosen[technique or techniques[0]][parameter] = yaml.safe_load(number)
    return chosen


def _set(config: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        config = config.setdefault(part, {})
    config[last] = value


def _predictions(rng: np.random.Generator, accuracy: float, size: int, classes: int) -> dict[str, np.ndarray]:
    """Logits of which just `accuracy` are right; a wrong one is most often the next class."""
    labels = np.arange(size) % classes
    guesses = labels.copy()
    wrong = rng.permutation(size)[: round(size * (1 - accuracy))]
    guesses[wrong] = (labels[wrong] + rng.choice([1, 2, 3], size=len(wrong), p=[0.6, 0.3, 0.1])) % classes
    logits = rng.normal(size=(size, classes)).astype(np.float32)
    logits[np.arange(size), guesses] = logits.max(1) + rng.gamma(2.0, 1.5, size=size).astype(np.float32) + 0.01
    confidence = logits.max(1)
    worst = np.sort(wrong)[np.argsort(-confidence[np.sort(wrong)])][:24]
    return {
        "logits": logits,
        "labels": labels.astype(np.int64),
        "sample_images": rng.integers(0, 256, size=(classes * 4, 28, 28), dtype=np.uint8),
        "sample_labels": np.repeat(np.arange(classes), 4).astype(np.int64),
        "mistake_indices": worst.astype(np.int64),
        "mistake_images": rng.integers(0, 256, size=(len(worst), 28, 28), dtype=np.uint8),
    }


def _history(
    rng: np.random.Generator, accuracy: float, epochs: int, validated: bool, tested: bool
) -> list[dict[str, Any]]:
    rows = []
    for epoch in range(epochs):
        reached = accuracy - 0.25 * np.exp(-(epoch + 1) * 4 / epochs) + rng.normal(scale=0.0005)
        row: dict[str, Any] = {"epoch": epoch, "lr": 0.001, "seconds": 1.5}
        row |= {"train/objective": 3.1 * (1 - reached), "train/acc_online": reached + 0.005}
        row |= {"probe/loss": 2.7 * (1 - reached), "probe/acc": reached + 0.02}
        for split in ("val", "test"):
            if split == "val" or tested:
                shown = validated or split == "test"
                row |= {f"{split}/loss": 3 * (1 - reached) if shown else "", f"{split}/acc": reached if shown else ""}
            if split == "val":
                row["val/ece"] = 0.02 if validated else ""
        rows.append(row)
    return rows


def _results(
    config: dict[str, Any],
    name: str,
    config_hash: str,
    rows: list[dict[str, Any]],
    predictions: dict[str, np.ndarray],
    status: str,
) -> dict[str, Any]:
    logits, labels = predictions["logits"].astype(float), predictions["labels"]
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    accuracy = float((logits.argmax(1) == labels).mean())
    loss = float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())
    calibration = calibration_error(bin_by_confidence(probabilities.max(1), logits.argmax(1) == labels))
    validated = rows[0]["val/acc"] != ""
    best = max(range(len(rows)), key=lambda epoch: rows[epoch]["val/acc"]) if validated else len(rows) - 1
    finished = status == "finished"
    metrics = {key: rows[best][key] if validated else None for key in ("val/loss", "val/acc", "val/ece")}
    images = config["dataset"]["train_size"] or 59000
    # Up to 5,000 training images, the probe is all of them.
    training = accuracy + 0.02 if images > 5000 else rows[best]["probe/acc"]
    metrics |= {"train/loss": rows[best]["probe/loss"], "train/acc": training}
    metrics |= {"test/loss": loss, "test/acc": accuracy, "test/ece": calibration, "gap": training - accuracy}
    reason = {"failed": "RuntimeError: out of memory", "diverged": "train/objective is nan at epoch 2"}.get(status)
    return {
        "schema": 2,
        "status": status,
        "study": config["study"],
        "dataset": config["dataset"]["name"],
        "model": config["model"]["name"],
        "setting": name,
        "optimizer": config["optimizer"]["_target_"].rpartition(".")[2].lower(),
        "scheduler": "constant" if config["scheduler"] is None else config["scheduler"]["name"],
        "seed": config["seed"],
        "split_seed": config["dataset"]["split_seed"],
        "config_hash": config_hash,
        "threads": config["threads"],
        "compile": config["compile"],
        "epochs": config["trainer"]["max_epochs"],
        "best_epoch": best if finished else None,
        "checkpoint": ("best" if validated else "last") if finished else None,
        "parameters": 62158 if "batchnorm" in name else 61706,
        "train_size": images,
        "metrics": {key: value if finished else None for key, value in metrics.items()},
        "seconds": {"train": 1.5 * len(rows), "evaluate": 0.8, "total": 1.5 * len(rows) + 1.0},
        "images_per_second": 27300,
        "provenance": {
            "versions": {"torch": "2.10.0", "numpy": "2.4.0"},
            "python": "3.11.7",
            "git": "0123abc",
            "dirty": False,
            "dataset_sha256": "5ac0",
            "device": "cpu",
            "started": f"2026-01-01T00:00:{config['seed']:02d}",
            "host": "bench",
        },
        "error": reason,
    }


def judged(study: Study) -> list[tuple[Comparison, list[Difference]]]:
    """The families of a study with what is found of each."""
    return [(family, compare(family)) for family in comparisons(study)]
