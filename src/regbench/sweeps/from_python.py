"""A sweep from Python or a notebook: the command of a sweep as a process of its own. Imports no torch and no Hydra."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

from regbench.overrides import with_keywords
from regbench.study.loaded import LoadedStudy, load_study

_ERROR = "error: "


def sweep(
    *overrides: str, config_dir: str | PathLike[str] | None = None, progress: bool = True, **values: Any
) -> LoadedStudy:
    """Train many runs, as `python train.py -m OVERRIDE…` does, and return them as a study.

    The command runs in a process of its own with workers on all cores, so that nothing of it stays in this one: no
    threads, no memory, no handlers of signals. Called again with the same study it trains what is missing. Stopped by
    Ctrl-C or a notebook's stop button, its runs are recorded as interrupted, and the same call resumes them. It stops
    likewise when this process ends.

    A run that fails stops no other one: `LoadedStudy.unfinished` names it with its reason.

    Args:
        overrides: As on the command line: `"regularizer=none,dropout"`, `"seed=range(5)"`, `"study=mine"`, or
            `"experiment=demo"`.
        config_dir: A folder of your own with YAML groups, as `--config-dir` on the command line.
        progress: Whether to print a line for each run, as it ends.
        values: Further overrides by key: `study="mine"`, `seed=range(5)`.

    Raises:
        ValueError: What is asked for is wrong: in one line, as on the command line. No run has started then.
        TypeError: A value cannot be written as an override.
        RuntimeError: The sweep's process was killed, or met a fault of its own, which stands above.
    """
    arguments = ["-m", *with_keywords(overrides, values)]
    if config_dir is not None:
        arguments[:0] = ["--config-dir", str(Path(config_dir).absolute())]
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "study"
        command = [sys.executable, "-m", "regbench.sweeps.called", str(told), str(os.getpid()), *arguments]
        # Whatever this process can import, the sweep can.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with _started(command, environment) as process:
            error = _follow(process, progress)
        if error is not None:
            raise ValueError(error)
        if not told.exists():
            raise RuntimeError(f"the sweep's process ended with status {process.returncode}; the same call resumes it")
        return load_study(told.read_text(encoding="utf-8"))


@contextlib.contextmanager
def _started(command: list[str], environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Start a process; if the caller is stopped meanwhile, stop it as Ctrl-C does, and wait until it has."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # Ctrl-C reaches a whole group: so it comes once, from here
    )
    try:
        yield process
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        raise
    finally:
        process.communicate()


def _follow(process: "subprocess.Popen[str]", progress: bool) -> str | None:
    """Print what a process says, line by line, until it has ended; return its error, if it told one."""
    error = None
    for line in process.stdout or ():
        if line.startswith(_ERROR):
            error = line.removeprefix(_ERROR).strip()
        elif progress:
            print(line, end="", flush=True)
    return error
