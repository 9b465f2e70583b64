"""Real processes of `train.py`, and what a test does to them."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.conftest import ROOT
from tests.faults import probe
from tests.faults.warm import WarmProcess

Process = subprocess.Popen[str] | WarmProcess
Waited = TypeVar("Waited")

# No test takes so long: only what hangs does, also on a machine that is some times slower than others.
END_SECONDS = 600.0
WAIT_SECONDS = 300.0

QUICK = ["dataset=digits", "dataset.train_size=200", "threads=1", "compile=false"]
PROBE = "+regularizer.probe._target_=tests.faults.probe.Probe"
FOLDER = "hydra.run.dir=run"


def start(cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start `train.py` in a process group of its own; later arguments replace the quick ones of the same key."""
    cwd.mkdir(exist_ok=True)
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *quick(arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def start_tune(cwd: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start `regbench tune` in a process group of its own."""
    cwd.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "regbench", "tune", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def start_run(cwd: Path, *arguments: str, before: Callable[[], None] | None = None) -> WarmProcess:
    """Start `train.py` alike for a run alone, without the seconds that its imports take; `before` is called in it."""
    cwd.mkdir(exist_ok=True)
    return WarmProcess(cwd, quick(arguments), before)


def quick(arguments: Sequence[str]) -> list[str]:
    """Return arguments with the quick ones that they do not replace."""
    given = {each.split("=")[0] for each in arguments}
    return [*arguments, *(each for each in QUICK if each.split("=")[0] not in given)]


def finish(process: Process, seconds: float = END_SECONDS) -> tuple[int, str, str]:
    """Wait for the end; return the exit status and what was printed."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, out, err


def train(cwd: Path, *arguments: str, **options: Any) -> tuple[int, str, str]:
    """Run `train.py` to its end."""
    return finish(_start(cwd, *arguments, **options))


def start_until(cwd: Path, phase: str, number: int, *arguments: str, **options: Any) -> Process:
    """Start `train.py` and return once its probe waits at the asked point."""
    cwd.mkdir(exist_ok=True)
    for name in (probe.REACHED, probe.GO_ON):
        (cwd / name).unlink(missing_ok=True)
    (cwd / probe.ASK).write_text(f"{phase} {number}")
    process = _start(cwd, *arguments, **options)
    try:
        wait((cwd / probe.REACHED).exists, process)
    except BaseException:
        process.kill()
        raise
    finally:
        (cwd / probe.ASK).unlink()
    return process


def kill_at(cwd: Path, phase: str, number: int, *arguments: str) -> None:
    """Kill a process of `train.py` at a point of its run."""
    process = start_until(cwd, phase, number, *arguments)
    process.kill()
    assert finish(process)[0] == -signal.SIGKILL


def wait(until: Callable[[], Waited], process: Process | None = None, seconds: float = WAIT_SECONDS) -> Waited:
    """Wait for something to come true while the process lives; return it."""
    deadline = time.monotonic() + seconds
    while not (found := until()):
        if process is not None and process.poll() is not None:
            raise AssertionError(f"ended too early: {process.communicate()}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s in vain")
        time.sleep(0.01)
    return found


def held(study: Path) -> list[int]:
    """Return the processes that work on a study's runs."""
    found = []
    for path in study.rglob(".holder"):
        with contextlib.suppress(FileNotFoundError):  # its run ended meanwhile
            if match := re.match(r"process (\d+) on ", path.read_text()):
                found.append(int(match[1]))
    return found


def _start(cwd: Path, *arguments: str, **options: Any) -> Process:
    """Start a sweep from the interpreter's first line on, and a run alone without its imports."""
    return start(cwd, *arguments) if "-m" in arguments else start_run(cwd, *arguments, **options)
