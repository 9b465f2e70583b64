"""Measure many seeds at once on a device: `python -m benchmarks.together --help`; writes benchmarks/together.md.

Each case is a process of its own, so that memory is its own and nothing is compiled or recorded beforehand.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch

from regbench.config import compose
from regbench.runs.engine import Engine
from regbench.runs.parts import build
from regbench.runs.run import run
from regbench.together.forming import Formed
from regbench.together.group import Group
from regbench.together.images import Images

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "none, Adam": ["regularizer=none"],
    "none, SGD": ["regularizer=none", "optimizer=sgd"],
    "batch norm, Adam": ["regularizer=batchnorm"],
    "dropout, Adam": ["regularizer=dropout"],
    "augmentation, Adam": ["regularizer=augmentation"],
}
_EPOCHS = 4
_PROCESSES = 8
_MOST_RUNS = 40  # of whole commands, which train them one by one too


@dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
        accelerator: As `trainer.accelerator`.
        images: Training images of Fashion-MNIST.
        members: Numbers of members; as many runs as the largest, 40 at most, are also trained by commands.
        four_way: Whether the whole comparison is timed, from its command to its report.
    """

    accelerator: str
    images: int
    members: tuple[int, ...]
    four_way: bool

    def overrides(self) -> list[str]:
        """Return what all runs share."""
        return [
            f"trainer.accelerator={self.accelerator}",
            f"dataset.train_size={self.images}",
            "threads=1",
            "compile=false",
        ]


class Clock(pl.Callback):
    """Notes when epochs end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())


class Unsynchronized(pl.Callback):
    """Lets a step fail in which the host waits for the device."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin after the first epoch, in which kernels are chosen."""
        if trainer.current_epoch > 0 and torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode("error")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End with the steps."""
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode("default")


def measure_case(overrides: Sequence[str], members: int, folder: Path) -> dict[str, float]:
    """Train members together, or one run alone where `members` is 0; return images a second and peak memory in MiB."""
    clock = Clock()
    configs = {str(seed): compose([*overrides, f"seed={seed}"]) for seed in range(max(1, members))}
    first = configs["0"]
    if members == 0:
        run(folder / "0", first, callbacks=[clock])
    else:
        parts = build(first)
        device = torch.device("cpu" if first["trainer"]["accelerator"] == "cpu" else "cuda")

        def train(name: str, engine: Engine) -> None:
            run(folder / name, configs[name], engine=engine, callbacks=[clock] if name == "0" else [])

        formed = Formed(list(configs), dict(enumerate(configs)), "benchmark")
        Group(formed, Images(parts.data, device), len(parts.data.classes), compile=False).train(train)
    rows = [line.split(",") for line in (folder / "0/history.csv").read_text().splitlines()]
    steps = median(float(row[rows[0].index("seconds")]) for row in rows[2:])
    whole = median(after - before for before, after in zip(clock.ends[1:], clock.ends[2:], strict=False))
    images = max(1, members) * first["dataset"]["train_size"]
    peak = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else float("nan")
    return {"steps": images / steps, "whole": images / whole, "peak": peak}


def measure_alone(overrides: Sequence[str], folder: Path) -> dict[str, Any]:
    """Compare a run on the device with one on the CPU, and look for synchronizations in its steps."""
    found: dict[str, Any] = {}
    try:
        run(folder / "synchronized", compose(overrides), callbacks=[Unsynchronized()])
        found["synchronizations"] = "none" if torch.cuda.is_available() else "not looked for: no CUDA device"
    except RuntimeError as error:
        found["synchronizations"] = str(error).splitlines()[0]
    curves = []
    for accelerator in (overrides[0], "trainer.accelerator=cpu"):
        results = run(folder / accelerator, compose([*overrides[1:], accelerator]))
        curves.append((results.metrics["val/acc"], results.metrics["test/acc"], results.metrics["train/loss"]))
    found["curves"] = curves
    return found


def time_commands(options: Options, folder: Path, runs: int) -> dict[str, float]:
    """Return the seconds of whole commands, start-up and report excluded only where there is none."""
    common = [*options.overrides(), f"trainer.max_epochs={_EPOCHS}", f"seed=range({runs})"]
    launchers = {
        "together": ["hydra/launcher=together", f"hydra.launcher.members={runs}"],
        "one by one": ["hydra.launcher.n_jobs=1"],
        f"{_PROCESSES} processes": [
            f"hydra.launcher.n_jobs={_PROCESSES}",
            f"hydra.launcher.jobs_per_device={_PROCESSES}",
        ],
    }
    return {
        name: _time([*_train(), "-m", *common, *launcher, f"study={name.replace(' ', '_')}"], folder)
        for name, launcher in launchers.items()
    }


def time_four_way(options: Options, folder: Path) -> float:
    """Return the seconds from the command of the four-way comparison to its report."""
    began = time.perf_counter()
    _time(
        [
            *(*_train(), "experiment=four_way", "study=four_way", "hydra/launcher=together"),
            *(f"trainer.accelerator={options.accelerator}", "compile=false", "threads=1"),
        ],
        folder,
    )
    _time([sys.executable, "-m", "regbench", "report", "outputs/sweeps/four_way"], folder)
    return time.perf_counter() - began


def _train() -> list[str]:
    return [sys.executable, str(ROOT / "train.py")]


def _time(command: Sequence[str], folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _in_a_process(case: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.together", "--case", json.dumps(case)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return {"error": lines[-1]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _case(case: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        torch.set_num_threads(1)
        if case["kind"] == "alone":
            return measure_alone(case["overrides"], Path(place))
        return dict(measure_case(case["overrides"], case["members"], Path(place)))


def write_table(options: Options, say: Callable[[str], None]) -> list[str]:
    """Measure everything; return the lines of benchmarks/together.md."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {platform.machine()}"
    lines = [
        "# Many seeds at once, measured",
        "",
        f"By `make bench-gpu` on: {device}; torch {torch.__version__}. LeNet-5 on {options.images:,} images of "
        "Fashion-MNIST, batches of 100, float32. Images a second of all members together: in the steps alone, and over "
        "whole epochs with scores, checkpoints and curves of each run.",
        "",
        "| setting | members | steps | whole epochs | ratio to alone | peak memory, MiB |",
        "|---|---|---|---|---|---|",
    ]
    for name, overrides in SETTINGS.items():
        alone = float("nan")
        for members in (0, *options.members):
            chosen = [*options.overrides(), *overrides, f"trainer.max_epochs={_EPOCHS}"]
            found = _in_a_process({"kind": "together", "overrides": chosen, "members": members})
            say(f"{name}, {members or 'alone'}: {found}")
            if "error" in found:
                lines.append(f"| {name} | {members or 'alone'} | {found['error']} | | | |")
                continue
            alone = found["whole"] if members == 0 else alone
            lines.append(
                f"| {name} | {members or 'alone'} | {found['steps']:,.0f} | {found['whole']:,.0f} | "
                f"{found['whole'] / alone:.1f} | {found['peak']:,.0f} |"
            )
    checks = _in_a_process({"kind": "alone", "overrides": [*options.overrides(), "trainer.max_epochs=3"]})
    say(f"alone: {checks}")
    lines += [
        "",
        f"A run alone, three epochs: host synchronizations in its steps: {checks.get('synchronizations', checks)}.",
    ]
    for place, curve in zip(("the device", "the CPU"), checks.get("curves", ()), strict=False):
        lines.append(f"On {place}: validation {curve[0]:.2%}, test {curve[1]:.2%}, training loss {curve[2]:.4f}.")
    with tempfile.TemporaryDirectory() as place:
        runs = min(_MOST_RUNS, max(options.members))
        seconds = time_commands(options, Path(place), runs)
        say(f"commands: {seconds}")
        told = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
        lines += ["", f"{runs} runs of {_EPOCHS} epochs by one command, start-up included: {told}."]
    if options.four_way:
        with tempfile.TemporaryDirectory() as place:
            taken = time_four_way(options, Path(place))
        say(f"four_way: {taken:.1f} s")
        lines += [
            "",
            f"`experiment=four_way`, 40 runs of 20 epochs of 55,000 images, from command to report: {taken:.0f} s.",
        ]
    return lines


def main() -> None:
    """Measure what the options name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.together", description=__doc__.splitlines()[0])
    parser.add_argument("--accelerator", default="gpu")
    parser.add_argument("--images", type=int, default=55_000)
    parser.add_argument("--members", default="1,4,10,40,160")
    parser.add_argument("--no-four-way", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/together.md")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(_case(given.case)))
        return
    if given.accelerator == "gpu" and not torch.cuda.is_available():
        sys.exit("error: --accelerator: expected a CUDA device for gpu; PyTorch sees none; try --accelerator cpu")
    members = tuple(int(each) for each in given.members.split(","))
    options = Options(given.accelerator, given.images, members, not given.no_four_way)
    lines = write_table(options, lambda line: print(line, flush=True))
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(given.out)


if __name__ == "__main__":
    main()
