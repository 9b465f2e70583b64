"""Measure how long studies of many runs take to be read and reported: `python -m benchmarks.many_runs --help`.

Runs are not trained but written, each folder true to the contract of docs/run-folder.md, with small test sets.
"""

import argparse
import io
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from regbench.storage.identity import hash_of
from regbench.storage.schema import CONFIG, HISTORY, PREDICTIONS, RESULTS, SWEEP, run_path
from regbench.study.verification import score

# What `regbench.load_study` keeps of runs that it has read.
TABLE = ".results.sqlite"

_CLASSES = 10
_EPOCHS = 6
_CONFIG = """\
overrides:
- dataset=digits
- trainer.max_epochs=6
- threads=1
- seed=0
- study=STUDY
config:
  regularizer: REGULARIZER
  callbacks: {}
  seed: 0
  study: STUDY
  threads: 1
  compile: false
  monitor: val/acc
  histograms: false
  force: false
  track_test: false
  trainer:
    _target_: pytorch_lightning.Trainer
    max_epochs: 6
    accelerator: cpu
    devices: 1
    precision: 32-true
    gradient_clip_val: null
  dataset:
    _target_: regbench.data.ImageData
    name: digits
    source:
      _target_: regbench.data.sources.Digits
    classes: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']
    mean: 0.306
    std: 0.3251
    train_images: 1437
    root: data
    image_size: 28
    batch_size: 50
    val_size: 237
    train_size: null
    split_seed: null
    flip: false
    margin: 0.01
  model:
    _target_: regbench.models.LeNet5
    name: lenet5
    image_size: 28
    padding: 2
    activation: tanh
    pooling: average
    num_classes: 10
    mean: 0.306
    std: 0.3251
  optimizer:
    _target_: torch.optim.Adam
    name: adam
    lr: 0.001
    betas: [0.9, 0.999]
    eps: 1.0e-08
    fused: true
  scheduler:
    _target_: torch.optim.lr_scheduler.ConstantLR
    name: constant
    factor: 1.0
    total_iters: 0
code: {}
"""
# A grid of strengths; the first value of each technique is to be without it.
_GRID: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "dropout": ("regbench.regularizers.dropout.Dropout", "p", (0, *(round(0.05 * step, 2) for step in range(1, 10)))),
    "label_smoothing": (
        "regbench.regularizers.label_smoothing.LabelSmoothing",
        "smoothing",
        (0, *(round(0.02 * step, 2) for step in range(1, 10))),
    ),
    "weight_decay": (
        "regbench.regularizers.weight_decay.WeightDecay",
        "coefficient",
        (0, *(10.0**power for power in range(-9, 0))),
    ),
}


def write_study(study: Path, settings: int, seeds: int, images: int) -> None:
    """Write a study of finished runs."""
    names = []
    grid = itertools.islice(itertools.product(*(values for _, _, values in _GRID.values())), settings)
    for number, strengths in enumerate(grid):
        regularizer = {
            name: {"_target_": target, key: value}
            for (name, (target, key, _)), value in zip(_GRID.items(), strengths, strict=True)
            if value
        }
        setting = "+".join(sorted(regularizer)) or "none"
        text = _CONFIG.replace("STUDY", study.name).replace("REGULARIZER", json.dumps(regularizer))
        config_hash = hash_of(yaml.safe_load(text)["config"], {})
        effect = 0.0 if not regularizer else float(np.random.default_rng(number).normal(scale=0.01))
        for seed in range(seeds):
            name = run_path("digits", "lenet5", setting, config_hash, seed)
            config = text.replace("seed: 0\n", f"seed: {seed}\n").replace("seed=0", f"seed={seed}")
            write_run(study / name, config, setting, config_hash, seed, 0.9 + effect, images)
            names.append(name)
    (study / SWEEP).write_text(json.dumps({"commands": [f"python train.py -m study={study.name}"], "runs": names}))


def write_run(
    folder: Path, config: str, setting: str, config_hash: str, seed: int, accuracy: float, images: int
) -> None:
    """Write one finished run's folder."""
    folder.mkdir(parents=True)
    random = np.random.default_rng([int(config_hash, 16), seed])
    common = np.random.default_rng(seed).normal()
    labels = np.arange(images) % _CLASSES
    right = random.random(images) < accuracy + 0.01 * (common + random.normal()) / 2
    guesses = np.where(right, labels, (labels + random.integers(1, _CLASSES, images)) % _CLASSES)
    logits = random.normal(size=(images, _CLASSES)).astype(np.float32)
    logits[np.arange(images), guesses] += 5
    found = score(logits, labels)
    wrong = np.flatnonzero(logits.argmax(axis=1) != labels)[:24]
    archive = io.BytesIO()
    np.savez(
        archive,
        logits=logits,
        labels=labels,
        sample_images=random.integers(0, 256, (4 * _CLASSES, 8, 8), dtype=np.uint8),
        mistake_indices=wrong,
        mistake_images=random.integers(0, 256, (len(wrong), 8, 8), dtype=np.uint8),
    )
    names = ("epoch", "lr", "seconds", "train/objective", "train/acc_online", "probe/loss", "probe/acc")
    names += ("val/loss", "val/acc", "val/ece")
    values = np.round(random.random((_EPOCHS, len(names))) / 10 + 0.8, 7)
    values[:, 0] = range(_EPOCHS)
    rows = [dict(zip(names, row, strict=True)) for row in values.tolist()]
    best = max(range(_EPOCHS), key=lambda epoch: rows[epoch]["val/acc"])
    lines = [
        ",".join(names),
        *(",".join([str(epoch), *map(str, row[1:])]) for epoch, row in enumerate(values.tolist())),
    ]
    (folder / CONFIG).write_text(config)
    (folder / HISTORY).write_text("\n".join(lines) + "\n")
    (folder / PREDICTIONS).write_bytes(archive.getvalue())
    (folder / RESULTS).write_text(
        json.dumps(_results(folder, setting, config_hash, seed, rows[best] | {"epoch": best}, found), indent=2)
    )


def _results(
    folder: Path, setting: str, config_hash: str, seed: int, best: dict[str, Any], found: Any
) -> dict[str, Any]:
    metrics = {"train/loss": best["probe/loss"], "train/acc": best["probe/acc"]}
    metrics |= {name: best[name] for name in ("val/loss", "val/acc", "val/ece")}
    metrics |= {"test/loss": found.loss, "test/acc": found.acc, "test/ece": found.ece}
    return {
        "schema": 2,
        "status": "finished",
        "error": None,
        "study": folder.parents[2].name,
        "dataset": "digits",
        "model": "lenet5",
        "setting": setting,
        "optimizer": "adam",
        "scheduler": "constant",
        "seed": seed,
        "split_seed": seed,
        "config_hash": config_hash,
        "threads": 1,
        "compile": False,
        "epochs": _EPOCHS,
        "epochs_trained": _EPOCHS,
        "best_epoch": best["epoch"],
        "checkpoint": "best",
        "parameters": 61706,
        "train_size": 1200,
        "acted": {} if setting == "none" else dict.fromkeys(setting.split("+"), True),
        "metrics": metrics | {"gap": best["probe/acc"] - found.acc},
        "seconds": {"train": 2.1 + seed / 1000, "evaluate": 2.2, "total": 5.0 + seed / 1000},
        "images_per_second": 1132.4 + seed,
        "provenance": {
            "versions": {"regbench": "0.2.0", "torch": "2.14.1", "numpy": "2.4.6", "pytorch-lightning": "2.6.6"},
            "code": {"regbench.data.ImageData": "6d8fa712da9e", "regbench.models.LeNet5": "3cecea15b076"},
            "python": "3.11.7",
            "git": "67cb731c4a4e14796bcc9bc502d8f3df4a6a7341",
            "dirty": False,
            "started": f"2026-11-25T{seed // 3600 % 24:02d}:{seed // 60 % 60:02d}:{seed % 60:02d}+00:00",
            "host": "bench",
            "device": "cpu",
            "dataset_sha256": "8dddb89a96187e74ac3da0a080794821b4e65b8aa7fe91960b2a8340f375e9a0",
            "resumed_after": None,
        },
    }


def measured(*command: str) -> dict[str, float]:
    """Run a Python process; return its wall and processor seconds, and the peak memory in GiB."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    script = "import resource, runpy, sys; sys.argv = sys.argv[1:]; exec(sys.argv[0]); "
    script += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    ended = subprocess.run(
        [sys.executable, "-c", script, *command], check=True, capture_output=True, text=True, cwd="/"
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    seconds = [float(line.partition(" ")[2]) for line in ended.stdout.splitlines() if line.startswith("seconds ")]
    gib = int(ended.stdout.splitlines()[-1]) / 2**20
    return {"wall": round(wall, 2), "cpu": round(cpu, 2), "inside": round(sum(seconds), 2), "gib": round(gib, 2)}


_LOAD = """
import time, regbench
import regbench.study
start = time.perf_counter()
study = regbench.load_study(sys.argv[1])
print("seconds", time.perf_counter() - start)
assert study.unfinished.empty, study.unfinished
"""
_REPORT = """
from typer.testing import CliRunner
from regbench.cli import app
ended = CliRunner().invoke(app, ["report", sys.argv[1]])
assert ended.exit_code == 0, ended.output
"""


def main() -> None:
    """Print a line of JSON for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", default=["40x25", "40x100", "100x100"], help="SETTINGSxSEEDS of a study")
    parser.add_argument("--images", type=int, default=200, help="test images of a run")
    parser.add_argument("--folder", type=Path, help="where the study is written and kept; a temporary one unless given")
    given = parser.parse_args()
    for size in given.sizes:
        settings, seeds = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as temporary:
            study = (given.folder or Path(temporary)) / f"s{size}"
            if not study.exists():
                write_study(study, settings, seeds, given.images)
                time.sleep(3)  # what was changed just now is not remembered
            (study / TABLE).unlink(missing_ok=True)
            times = {"cold": measured(_LOAD, str(study)), "warm": measured(_LOAD, str(study))}
            times["report"] = measured(_REPORT, str(study))
            print(json.dumps({"runs": settings * seeds, "settings": settings, "seeds": seeds, **times}), flush=True)


if __name__ == "__main__":
    main()
