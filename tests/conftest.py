import copy
import functools
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import ROOT, command  # noqa: F401 (a fixture)
from tests.faults.counts import print_counts

QUICK = ["dataset=digits", "trainer.max_epochs=1", "dataset.train_size=200", "threads=1", "study=test"]

# Each test process keeps to one core, as `-n auto` starts one for each; a test that wants more threads says so.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what the fault tests counted, and in one line what to install or set so that skipped tests run."""
    print_counts(terminalreporter)
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        listed = "; ".join(f"{number} × {reason}" for reason, number in sorted(reasons.items()))
        terminalreporter.write_line(f"{reasons.total()} tests were skipped: {listed}", yellow=True)


@pytest.fixture(autouse=True)
def _offline_and_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests apart from Hydra's debugging switch, and from how quick the machine is."""
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    # What takes long is announced, and on a busy machine everything does.
    monkeypatch.setattr("regbench.sweeps.watching._MOMENT_SECONDS", 1e6)


@pytest.fixture
def archives() -> Path:
    """The folder of official archives; tests that need it are marked `archives`."""
    folder = os.environ.get("DATA_DIR")
    if not folder:
        pytest.skip("needs the official archives: set DATA_DIR to their folder (torchvision's <Name>/raw/*.gz)")
    return Path(folder).resolve()


@pytest.fixture
def composed() -> Callable[..., dict[str, Any]]:
    """Compose a run that takes a moment: digits, one epoch, small, one thread.

    Hydra takes a tenth of a second, so it is called once for the same overrides, and once for all seeds.
    """

    def compose(*overrides: str) -> dict[str, Any]:
        seeds = [each for each in overrides if re.fullmatch(r"seed=\d+", each)]
        config = copy.deepcopy(_composed(*(each for each in overrides if each not in seeds)))
        return config | ({"seed": int(seeds[0].removeprefix("seed="))} if seeds else {})

    return compose


@functools.cache
def _composed(*overrides: str) -> dict[str, Any]:
    from regbench.config import compose

    return compose([*QUICK, *overrides])


@pytest.fixture(autouse=True, scope="module")
def _undrawn(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let runs draw no pictures for TensorBoard, which takes most of a small run, but for tests marked `drawn`."""
    loaded = sys.modules.get("regbench.runs.run")  # a module of tests that loads no torch makes no run in this process
    with pytest.MonkeyPatch.context() as patch:
        if loaded and not request.node.get_closest_marker("drawn"):
            patch.setattr(loaded, "show_predictions", lambda *arguments, **options: None)
            patch.setattr(loaded.TrainingSamples, "on_train_start", lambda *arguments: None)
        yield


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reports be written with empty figures: rendering takes nearly all of a report's time."""

    def savefig(self: Any, file: Any, *, format: str, **options: Any) -> None:
        file.write('<svg xmlns="http://www.w3.org/2000/svg"/>')

    def print_png(self: Any, file: Any, **options: Any) -> None:
        file.write(b"\x89PNG")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", savefig)
    monkeypatch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg.print_png", print_png)


@pytest.fixture(autouse=True)
def _fresh_hydra() -> Iterator[None]:
    """Leave no composed configuration behind for the next test."""
    yield
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
