"""What all contenders are given: one file of images, orders and initial weights, made from the run that is measured."""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

BATCH = 100
LEARNING_RATE = 1e-3
PROBE = 5_000
ORDERS = 30


class Options(NamedTuple):
    """What a contender is told."""

    threads: int
    problem: Path
    root: Path
    train_size: int
    accelerator: str


def options() -> Options:
    """Return the command line's options."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--problem", type=Path, default=Path("problem.npz"))
    parser.add_argument("--root", type=Path, default=Path("data"))
    parser.add_argument("--train-size", type=int, default=55_000)
    parser.add_argument("--accelerator", default="cpu")
    return Options(**vars(parser.parse_args()))


def overrides(given: Options) -> list[str]:
    """Return the overrides of `train.py` for the run that is measured: the defaults, compiled, with epochs to spare."""
    return [
        *("compile=true", "trainer.max_epochs=1000", "study=bench", f"threads={given.threads}"),
        *(f"dataset.train_size={given.train_size}", f"dataset.root={given.root}"),
        f"trainer.accelerator={given.accelerator}",
    ]


def read(given: Options) -> Any:
    """Return the arrays that `main` wrote, images as normalized floats `(N, 1, 28, 28)`."""
    arrays = dict(np.load(given.problem))
    for split in ("train", "val"):
        images = arrays[f"{split}_images"].astype(np.float32) / np.float32(255)
        arrays[f"{split}_images"] = (images - arrays["mean"]) / arrays["std"]
    return arrays


def weights(arrays: Any) -> list[np.ndarray]:
    """Return the initial weights in the order of the layers."""
    return [arrays[f"weight_{number}"] for number in range(10)]


def main() -> None:
    """Write the file. Only this process imports the program, so that no contender inherits what that brings along."""
    from regbench.config import compose
    from regbench.runs.parts import build
    from regbench.seeding import batch_order

    given = options()
    built = build(compose(overrides(given)))
    data = built.data
    data.setup()
    arrays = {
        f"{split}_{what}": array.mul(255).round().byte().numpy() if what == "images" else array.numpy()
        for split in ("train", "val")
        for what, array in data.splits[split]._asdict().items()
    }
    parameters = [each.detach().numpy() for each in built.classifier.net.parameters()]
    np.savez(
        given.problem,
        **arrays,
        **{f"weight_{number}": parameter for number, parameter in enumerate(parameters)},
        orders=np.stack([batch_order(given.train_size, 0, epoch).numpy() for epoch in range(ORDERS)]),
        mean=np.float32(data.mean),
        std=np.float32(data.std),
    )


if __name__ == "__main__":
    main()
