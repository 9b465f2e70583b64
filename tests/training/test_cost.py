"""What a step costs, in counts that do not depend on the machine; benchmarks/ measures seconds."""

import os
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from regbench.config.composing import CONFIGS
from regbench.runs.parts import build
from regbench.runs.run import run
from regbench.training.classifier import Classifier
from regbench.training.process_settings import cheap_device_check
from tests.pretended_device import DEVICE, draw_on_the_device, on_the_device_alone

Composed = Callable[..., dict[str, Any]]
STEPS = 60
PLAIN = ("optimizer=sgd", "optimizer.fused=false")  # fused updates are not known to a device without memory


class SecondEpoch(pl.Callback):
    """Calls `start` and `stop` around the training part of the second epoch."""

    def __init__(self, start: Callable[[], object], stop: Callable[[], object]) -> None:
        self.start = start
        self.stop = stop

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            self.start()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self.stop()


def test_a_step_takes_few_calls_of_python_functions(composed: Composed, tmp_path: Path) -> None:
    calls: Counter[str] = Counter()

    def count(frame: Any, event: str, argument: Any) -> None:
        # The epoch is seeded before, where torch formats the stack of calls, as deep as it happens to be.
        if calls or frame.f_code is Classifier.batch_loss.__code__:
            calls[event] += 1

    watched = SecondEpoch(lambda: sys.setprofile(count), lambda: sys.setprofile(None))
    size = ["dataset.train_size=1200", "dataset.batch_size=20", "trainer.max_epochs=2", "model=mlp_small"]
    run(tmp_path, composed(*size), callbacks=[watched])
    # 187 with torch 2.14 and Lightning 2.6; 1,272, the seeding included, where Lightning takes single steps.
    assert 0 < calls["call"] / STEPS < 215


class Operators(TorchDispatchMode):
    """Counts the operators that are run."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[str(func)] += 1
        return func(*args, **(kwargs or {}))


def test_a_step_takes_few_operators(composed: Composed) -> None:
    classifier = build(composed()).classifier
    optimizer = classifier.configure_optimizers()["optimizer"]
    classifier.on_train_epoch_start()
    images, labels = torch.rand(20, 1, 28, 28), torch.arange(20) % 10
    for _ in range(2):  # the first step makes the optimizer's state
        with Operators() as operators:
            classifier.batch_loss((images, labels)).backward()
            optimizer.step()
            optimizer.zero_grad()
    # 105: some twenty layers forwards and backwards, the loss, three totals; one operator updates all weights.
    assert 0 < operators.seen.total() < 115
    assert operators.seen["aten._fused_adam_.default"] == 1
    # Nothing asks for a number before the epoch's end, which on a GPU would wait for the device.
    assert not operators.seen["aten._local_scalar_dense.default"]


@pytest.mark.parametrize("technique", sorted(path.stem for path in (CONFIGS / "regularizer").glob("*.yaml")))
def test_a_step_needs_nothing_of_the_host(technique: str, composed: Composed, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_on_the_device(monkeypatch)
    classifier = build(composed("model=lenet5", f"regularizer={technique}", *PLAIN)).classifier.to(DEVICE)
    optimizer = classifier.configure_optimizers()["optimizer"]
    classifier._totals = torch.zeros(3, dtype=torch.float64, device=DEVICE)
    batch = torch.rand(20, 1, 28, 28, device=DEVICE), torch.zeros(20, dtype=torch.int64, device=DEVICE)
    classifier._take_step(optimizer, batch)  # makes the optimizer's state
    with on_the_device_alone():
        classifier._take_step(optimizer, batch)


def test_the_device_check_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "PYTORCH_NVML_BASED_CUDA_CHECK"
    monkeypatch.setenv(name, "1")
    with cheap_device_check():
        assert name not in os.environ
    assert os.environ[name] == "1"
    monkeypatch.delenv(name)
    with cheap_device_check():
        assert name not in os.environ
    assert name not in os.environ


@pytest.mark.skipif(sys.platform != "linux", reason="keeps memory with glibc alone")
def test_freed_memory_is_used_again_without_asking_the_system() -> None:
    """Some 27,000 pages are asked for where glibc gives freed memory back."""
    program = """
import resource
from regbench.training.process_settings import keep_freed_memory

def step():
    activations = [bytearray(1_900_000) for _ in range(6)]

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

keep_freed_memory()
step()
before = pages()
for _ in range(10):
    step()
print(pages() - before)
"""
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert int(found.stdout) < 500


def test_a_callback_that_acts_on_batches_is_still_called(composed: Composed, tmp_path: Path) -> None:
    seen: list[int] = []

    class Acting(pl.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            seen.append(batch_idx)

    run(tmp_path, composed(), callbacks=[Acting()])
    assert seen == [0, 1, 2, 3]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here, so nothing can wait for one")
def test_no_step_waits_for_the_gpu(composed: Composed, tmp_path: Path) -> None:
    watched = SecondEpoch(
        lambda: torch.cuda.set_sync_debug_mode("warn"), lambda: torch.cuda.set_sync_debug_mode("default")
    )
    size = ["dataset.train_size=1200", "dataset.batch_size=20", "trainer.max_epochs=2", "trainer.accelerator=gpu"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(tmp_path, composed(*size), callbacks=[watched])
    waits = [each for each in caught if "synchronizing" in str(each.message)]
    assert len(waits) < STEPS // 10  # the epoch's order is copied once
