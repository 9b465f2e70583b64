"""SLURM's commands, with their errors in one line. Imports no torch."""

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_SECONDS = 120  # for one answer: a controller that is busy takes some, and sbatch itself tries again meanwhile
# What SLURM says, and the key of `hydra.launcher` that it is about.
_ABOUT = {
    "partition": "partition",
    "time limit|--time": "time",
    "array": "workers",
    "submit limit": "workers",
    "CPU count": "cpus_per_task",
    "memory|--mem": "mem",
    "gres": "gpus",
    "option|account|qos|constraint|feature": "options",
}


class SlurmError(ValueError):
    """A command of SLURM is missing, gives no answer or refuses; one line says which and why."""


class Task(NamedTuple):
    """A task of a job array that has not ended: its array's number, its state, and what a pending one waits for."""

    job: str
    state: str
    reason: str


def submit(arguments: Sequence[str | Path], keys: Mapping[str, object]) -> str:
    """Submit a batch script by `sbatch`; returns the job's number.

    Args:
        arguments: Of sbatch, the script last.
        keys: The launcher's values by key, of which the error names the one that is refused.

    Raises:
        SlurmError: The job is refused, or there is no answer.
    """
    try:
        answer = call("sbatch", "--parsable", *map(str, arguments), environment=_outside_of_jobs())
    except SlurmError as error:
        key = next((key for text, key in _ABOUT.items() if re.search(text, str(error), re.IGNORECASE)), None)
        if key is None:
            raise
        value = "null" if keys[key] is None else keys[key]
        raise SlurmError(f"hydra.launcher.{key}={value}: {error}{_choices(key)}") from error
    return answer.strip().partition(";")[0]


def tasks(name: str, jobs: Iterable[str]) -> list[Task]:
    """Return the tasks of job arrays that have not ended.

    Args:
        name: The jobs' name.
        jobs: The arrays' numbers.

    Raises:
        SlurmError: There is no answer.
    """
    asked = set(jobs)
    # All of the user's jobs of this name: asked for the number of one that ended some time ago, squeue fails.
    listed = call("squeue", "--noheader", "--array", f"--user={os.getuid()}", f"--name={name}", "--format=%F %T %r")
    found = [Task(*line.split(maxsplit=2)) for line in listed.splitlines() if line.strip()]
    return [task for task in found if task.job in asked]


def cancel(jobs: Iterable[str], *options: str) -> None:
    """Cancel job arrays, or with options of scancel some of their tasks.

    Raises:
        SlurmError: There is no answer.
    """
    call("scancel", *options, *jobs)


def most_tasks() -> int | None:
    """Return how many tasks an array may have on this cluster, where SLURM tells."""
    try:
        shown = call("scontrol", "show", "config")
    except SlurmError:
        return None
    size = re.search(r"^MaxArraySize\s*=\s*(\d+)", shown, re.MULTILINE)
    return int(size[1]) if size else None


def states(found: Iterable[Task]) -> str:
    """Say in what states an array's tasks are: `2 running, 1 pending (Priority)`."""
    counted = Counter(
        f"{task.state.lower()} ({task.reason})" if task.state == "PENDING" else task.state.lower() for task in found
    )
    return ", ".join(f"{number} {state}" for state, number in sorted(counted.items(), reverse=True))


def call(command: str, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Return what a command of SLURM prints.

    Raises:
        SlurmError: It is missing, fails or gives no answer.
    """
    if shutil.which(command) is None:
        raise SlurmError(
            f"hydra/launcher=slurm: expected SLURM's commands, but {command} is not on the PATH; call it on a "
            "machine of the cluster, or choose hydra/launcher=resilient"
        )
    try:
        done = subprocess.run(
            [command, *arguments],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env=environment,
            check=False,
            process_group=0,  # Ctrl-C is for the program, not for what it asks
        )
    except subprocess.TimeoutExpired as error:
        raise SlurmError(f"{command}: no answer from SLURM within {_SECONDS} s") from error
    if done.returncode:
        said = [line.removeprefix(f"{command}: ").removeprefix("error: ") for line in done.stderr.splitlines()]
        raise SlurmError(f"{command}: {'; '.join(filter(None, said)) or f'exit status {done.returncode}'}")
    return done.stdout


def _outside_of_jobs() -> dict[str, str]:
    """Return the environment without what a job gives its own commands, which a job of its own would take for its."""
    inside = "SLURM_JOB_ID" in os.environ
    return {
        name: value
        for name, value in os.environ.items()
        if not (inside and name.startswith("SLURM_") and name != "SLURM_CONF")
    }


def _choices(key: str) -> str:
    if key != "partition":
        return ""
    try:
        known = sorted(set(call("sinfo", "--noheader", "--format=%R").split()))
    except SlurmError:
        return ""
    return f"; expected one of {', '.join(known)}" if known else ""
