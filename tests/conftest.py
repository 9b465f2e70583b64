import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.counts import pytest_terminal_summary  # noqa: F401 (a hook of pytest)

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _offline_and_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests apart from the user's archives and from Hydra's debugging switch."""
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


@pytest.fixture
def archives() -> Path:
    """The folder of official archives; tests that need it are marked `archives`."""
    folder = os.environ.get("DATA_DIR")
    if not folder:
        pytest.skip("DATA_DIR names no folder of archives")
    return Path(folder).resolve()


@pytest.fixture
def composed() -> Callable[..., dict[str, Any]]:
    """Compose a run that takes a moment: digits, one epoch, small, one thread."""

    def compose(*overrides: str) -> dict[str, Any]:
        from regbench.composition import compose

        quick = ["dataset=digits", "trainer.max_epochs=1", "dataset.train_size=200", "threads=1", "study=test"]
        return compose([*quick, *overrides])

    return compose


@pytest.fixture(autouse=True)
def _fresh_hydra() -> Iterator[None]:
    """Leave no composed configuration behind for the next test."""
    yield
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
