"""The project's commands as a user types them, called in this process: one of their own takes seconds to start."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from regbench.sweeps.first_checks import FirstChecks

ROOT = Path(__file__).parents[1]


class Ended(NamedTuple):
    """How a command ended: its exit status and what it printed."""

    status: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """Call `python train.py …` or `regbench …`, given in words, from an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(program: str, *arguments: str) -> Ended:
        # A command starts with neither the sweep nor the configuration of the one before it.
        from hydra.core.global_hydra import GlobalHydra
        from hydra.core.hydra_config import HydraConfig

        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
        monkeypatch.setattr(FirstChecks, "sweep", None)
        monkeypatch.setattr(FirstChecks, "rest", None)
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        try:
            if program == "regbench":
                from regbench.cli import app

                app()
            else:
                runpy.run_path(str(ROOT / program), run_name="__main__")
            status = 0
        except SystemExit as ended:
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)
            status = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
        out, err = capfd.readouterr()
        return Ended(status, out, err)

    return call
