"""Measure everything, write `benchmarks/results.md` and the table of `docs/speed.md`: `make bench`; or show a part."""

import argparse
import datetime
import importlib.metadata
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.rounds import Epoch, interleave
from benchmarks.table import Row, put, table

RESULTS = Path(__file__).parent / "results.md"
PAGE = RESULTS.parents[1] / "docs/speed.md"
FULL_SWEEP = 55_000
SECTIONS = ("loops", "startup", "sweep")
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "jax", "flax", "numpy")


def problem(folder: Path, train_size: int, threads: int) -> list[str]:
    """Write the contenders' common file and return the options that name it."""
    options = ["--problem", str(folder / f"problem-{train_size}.npz"), "--train-size", str(train_size)]
    options += ["--threads", str(threads)]
    subprocess.run([sys.executable, "-m", "benchmarks.problem", *options], check=True)
    return options


def ratios(above: list[Epoch], below: list[Epoch], over: str = "train", under: str = "train") -> list[float]:
    """Return the ratio of each round after the one for warming up."""
    return [first[over] / second[under] for first, second in zip(above[1:], below[1:], strict=True)]


def speeds(found: dict[str, list[Epoch]], train_size: int) -> str:
    """Return each contender's median speeds."""
    lines = [
        "| loop | training, images/s | whole epochs, images/s | training, images per second of processor time |",
        "|---|---|---|---|",
    ]
    for name, epochs in found.items():
        middle = (statistics.median(epoch[key] for epoch in epochs[1:]) for key in ("train", "epoch", "cpu"))
        lines.append(f"| {name} | " + " | ".join(f"{train_size / each:,.0f}" for each in middle) + " |")
    return "\n".join(lines)


def loops(folder: Path, given: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """Compare training loops."""
    check = interleave(["handwritten", "ours"], 0, problem(folder, 10_000, given.threads))
    losses = [check[name][0]["loss"] for name in check]
    if abs(losses[0] - losses[1]) > 1e-4:
        raise RuntimeError(f"after 100 steps the losses differ: {losses}")
    near = interleave(["handwritten", "ours"], given.rounds, problem(folder, given.train_size, given.threads))
    far_size = min(given.train_size, 20_000)
    names = ["ours", "plain", "ordinary_lightning"]
    notes = [f"After 100 steps the loss is {losses[1]:.7f}, and {losses[0]:.7f} in the hand-written loop."]
    if all(importlib.util.find_spec(name) for name in ("jax", "flax", "optax")):
        names.append("flax_loop")
    else:
        notes.append("The JAX loop was left out: install it by `pip install -e '.[bench]'`.")
    far = interleave(names, max(2, given.rounds // 2), problem(folder, far_size, given.threads))
    hand, ours = near["handwritten"], near["ours"]
    rows = [
        Row("training, images/s: `train.py` / hand-written compiled loop", ratios(hand, ours), 0.9, True),
        Row("the same in processor time", ratios(hand, ours, "cpu", "cpu"), 0.9, True),
        Row(
            "whole epoch with validation, curves, checkpoints / hand-written training alone",
            ratios(hand, ours, "train", "epoch"),
            0.8,
            True,
        ),
        Row("training: `train.py` / plain PyTorch with a DataLoader", ratios(far["plain"], far["ours"]), 2.5, True),
        Row(
            "whole epochs: `train.py` / ordinary Lightning module",
            ratios(far["ordinary_lightning"], far["ours"], "epoch", "epoch"),
            3,
            True,
        ),
    ]
    if "flax_loop" in far:
        rows.append(Row("training: `train.py` / jitted JAX loop", ratios(far["flax_loop"], far["ours"]), 1.5, True))
    notes.append(f"Epochs of {given.train_size:,} images:\n\n{speeds(near, given.train_size)}")
    notes.append(f"Epochs of {far_size:,} images:\n\n{speeds(far, far_size)}")
    return rows, notes


def seconds(*command: str, cache: Path | None = None) -> float:
    """Return how long a command takes, with a compiler's cache of its own if one is given."""
    environment = os.environ | ({"TORCHINDUCTOR_CACHE_DIR": str(cache)} if cache else {})
    started = time.perf_counter()
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {ended.returncode}:\n{ended.stderr}")
    return time.perf_counter() - started


def startup(folder: Path, given: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """Compare the time to the first step, the time to a help text, and a run's memory with their bounds."""
    options = problem(folder, 10_000, given.threads)
    run = ["compile=true", f"threads={given.threads}"]
    starts = []
    for number in range(4):
        place = f"hydra.run.dir={folder / f'start-{number}'}"
        program = seconds(sys.executable, "-m", "benchmarks.startup", "program", *run, place)
        starts.append(program / seconds(sys.executable, "-m", "benchmarks.startup", "bare", *options))
    tool = str(Path(sys.executable).with_name("regbench"))
    command = [tool] if Path(tool).exists() else [sys.executable, "-c", "from regbench.cli import app; app()"]
    helps = [max(seconds(*command, "--help"), seconds(*command, "report", "--help")) for _ in range(5)]
    rows = [
        Row("start to first step: `train.py` / bare imports and compile", starts[1:], 1.5, False),
        Row("`regbench --help`, `report --help`", helps, 1, False, " s"),
        Row("peak memory of a run", [peak_memory(folder, run)], 1.5, False, " GB"),
    ]
    return rows, []


def peak_memory(folder: Path, run: list[str]) -> float:
    """Return the peak of a whole run's resident memory, in gigabytes."""
    place = f"hydra.run.dir={folder / 'memory'}"
    child = subprocess.Popen(
        [sys.executable, "train.py", *run, "trainer.max_epochs=1", place], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise RuntimeError(f"the run ended with status {status}")
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_maxrss * unit / 1e9


def sweep(folder: Path, given: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """Compare the four settings side by side with one after another, start-up and compilation counted.

    Each way starts with an empty compiler's cache: the first would otherwise compile for all.
    """
    settings = ["-m", "regularizer=none,dropout,weight_decay,batchnorm", "compile=true", "trainer.max_epochs=20"]
    settings += [f"dataset.train_size={given.sweep_size}", f"dataset.val_size={min(given.sweep_size // 10, 5_000)}"]
    ways = {
        "two workers": ["hydra.launcher.n_jobs=2", "threads=1"],
        "one thread": ["hydra/launcher=basic", "threads=1"],
        "two threads": ["hydra/launcher=basic", "threads=2"],
    }
    taken = {}
    for name, way in ways.items():
        place = folder / name.replace(" ", "-")
        command = [sys.executable, "train.py", *settings, *way, f"hydra.sweep.dir={place}"]
        taken[name] = seconds(*command, cache=place.with_suffix(".cache"))
    in_full = given.sweep_size == FULL_SWEEP
    rows = [
        Row(
            f"four settings of {given.sweep_size:,} images: two workers / serial, {name}",
            [taken["two workers"] / taken[name]],
            bound if in_full else None,
            False,
        )
        for name, bound in (("one thread", 0.6), ("two threads", 1))
    ]
    note = "The four settings took " + ", ".join(f"{value:.0f} s ({name})" for name, value in taken.items())
    note += f": {given.sweep_size:,} images, 20 epochs, compiled from scratch for each of the three."
    if not in_full:
        note += (
            f" Start-up and compilation weigh much in runs so small. The targets, 0.6 and 1, are for {FULL_SWEEP:,} "
            f"images: `make bench ARGS='--sweep-size {FULL_SWEEP}'`, half an hour."
        )
    return rows, [note]


def machine(given: argparse.Namespace) -> str:
    """Return where and how it was measured."""
    found = {name: version(name) for name in PACKAGES}
    versions = ", ".join(f"{name} {each}" for name, each in found.items() if each)
    load = os.getloadavg()[0]
    return (
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores (load {load:.1f} at the end), Python "
        f"{platform.python_version()}, {versions}. Loops and start-up on {given.threads} thread(s); LeNet-5, "
        "Fashion-MNIST, batch 100, Adam, float32."
    )


def version(name: str) -> str | None:
    """Return a package's version."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Run the sections and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--train-size", type=int, default=55_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sweep-size", type=int, default=2_000)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    given = parser.parse_args()
    rows: list[Row] = []
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in given.only:
            measure = {"loops": loops, "startup": startup, "sweep": sweep}[name]
            more, told = measure(Path(folder), given)
            print(table(more), *told, sep="\n\n", flush=True)
            rows, notes = rows + more, notes + told
    if set(given.only) != set(SECTIONS):
        return
    page = [
        "# Measured speed",
        machine(given),
        "Ratios of epochs that took turns, round by round; the first round is for warming up. Other programs may share "
        "the machine, so only these ratios mean anything.",
        table(rows),
        *notes,
    ]
    RESULTS.write_text("\n\n".join(page) + "\n", encoding="utf-8")
    PAGE.write_text(put(table(rows), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"written: {RESULTS} and the table of {PAGE}")


if __name__ == "__main__":
    main()
