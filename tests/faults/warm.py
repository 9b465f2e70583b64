"""Processes of `train.py` that have imported what it needs: imports are most of what a small run takes.

They are forked from one that has imported it and done nothing else. Each then runs `train.py` from its first line, in a
session and a process group of its own, with its own standard output and open to every signal.
"""

import ctypes
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

TRAIN = Path(__file__).parents[2] / "train.py"
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["regbench.sweeps.command", "regbench.runs.run", "sklearn.datasets", "torch._dynamo"])


class WarmProcess:
    """A process of `train.py` with the part of `subprocess.Popen` that tests use.

    Args:
        cwd: Where it works.
        arguments: Of `train.py`.
        before: Called in the process before it does anything else.
    """

    def __init__(self, cwd: Path, arguments: list[str], before: Callable[[], None] | None = None) -> None:
        self._printed = [tempfile.NamedTemporaryFile("r") for _ in range(2)]  # noqa: SIM115 (closed once read)
        names = [each.name for each in self._printed]
        self._process = _FORKS.Process(target=_train, args=(cwd, arguments, names, before))
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, or the signal that ended it as a negative number; None while it lives."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end and return what it printed on standard output and standard error."""
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired([str(TRAIN)], timeout or 0)
        out, err = (each.read() for each in self._printed)
        for each in self._printed:
            each.close()
        return out, err


def obey_permissions() -> None:
    """Take from root what lets it write where permissions forbid it (CAP_DAC_OVERRIDE)."""
    version, dac_override = 0x20080522, 1
    header, sets = (ctypes.c_uint32 * 2)(version, 0), (ctypes.c_uint32 * 6)()
    system = ctypes.CDLL(None)
    system.capget(header, sets)
    sets[0] &= ~(1 << dac_override)  # the effective one of three sets, of 32 capabilities each time
    if system.capset(header, sets):
        os._exit(77)


def _train(cwd: Path, arguments: list[str], printed: list[str], before: Callable[[], None] | None) -> None:
    os.setsid()
    if before:
        before()
    os.chdir(cwd)
    for number, name in enumerate(printed, start=1):
        with Path(name).open("w") as file:
            os.dup2(file.fileno(), number)
    sys.argv = [str(TRAIN), *arguments]
    runpy.run_path(str(TRAIN), run_name="__main__")
