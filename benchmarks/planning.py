"""Seconds to plan sweeps of many runs: `python -m benchmarks.planning 1000 10000 100000`.

Ten seeds of settings that differ in model, technique and learning rate, on one thread; nothing is trained.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from regbench.config.composing import CONFIGS
from regbench.sweeps.plan import plan_call

SEEDS = 10
MODELS = ("lenet5", "lenet5_relu", "mlp")
TECHNIQUES = ("none", "dropout", "weight_decay", "batchnorm", "[batchnorm,dropout]")


def plan(runs: int, folder: Path) -> float:
    """Plan so many runs in a folder, as `train.py -m` does; return the seconds."""
    rates = runs // (SEEDS * len(MODELS) * len(TECHNIQUES)) + 1
    grid = [
        f"model={','.join(MODELS)}",
        f"regularizer={','.join(TECHNIQUES)}",
        f"optimizer.lr={','.join(f'{1e-4 * (1 + step):.6g}' for step in range(rates))}",
        f"seed=range({SEEDS})",
    ]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", ["study=s", f"hydra.sweep.dir={folder}"], return_hydra_config=True)
        config.hydra.overrides.task = grid
        began = time.perf_counter()
        call = plan_call(config, GlobalHydra.instance().config_loader())
        seconds = time.perf_counter() - began
    print(f"{len(call.runs):,} runs: {seconds:.1f} s", file=sys.stderr)
    return seconds


def main() -> None:
    measured = {}
    for runs in map(int, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as folder:
            measured[runs] = round(plan(runs, Path(folder)), 2)
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
