"""From the start of a process to its first optimizer step; the parent takes the time, so the interpreter counts too."""

import sys

FIRST_STEP = "first optimizer step"


def bare() -> None:
    """Import what a run needs and compile the step of a hand-written loop: the least that a run can wait for."""
    import hydra  # noqa: F401 (imported to be waited for)
    import numpy as np
    import pytorch_lightning  # noqa: F401 (imported to be waited for)
    import torch
    from torch.nn import functional as F

    from benchmarks.contenders.lenet5 import lenet5
    from benchmarks.problem import BATCH, LEARNING_RATE, options, weights

    given = options()
    torch.set_num_threads(given.threads)
    net = lenet5(weights(np.load(given.problem))).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), LEARNING_RATE, fused=True)
    loss_of = torch.compile(lambda images, labels: F.cross_entropy(net(images), labels), dynamic=False)
    loss_of(torch.rand(BATCH, 1, 28, 28), torch.arange(BATCH) % 10).backward()
    optimizer.step()


def program() -> None:
    """Run `train.py` as a user does, and leave at its first step."""
    import os
    import runpy

    from torch.optim.optimizer import register_optimizer_step_post_hook

    def leave(*_: object) -> None:
        print(FIRST_STEP, flush=True)
        os._exit(0)

    register_optimizer_step_post_hook(leave)
    sys.argv[0] = "train.py"
    runpy.run_path("train.py", run_name="__main__")


if __name__ == "__main__":
    {"bare": bare, "program": program}[sys.argv.pop(1)]()
    print(FIRST_STEP, flush=True)
