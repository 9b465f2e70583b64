"""What a user may ask of SLURM: the keys of `hydra.launcher`, their checks, and sbatch's options. Imports no torch."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

# What the launcher itself says to sbatch.
_OWN = {"array", "chdir", "error", "export-file", "job-name", "nodes", "ntasks", "open-mode", "output", "parsable"}
_OWN |= {"no-requeue", "requeue", "signal", "test-only", "wait", "wrap", "a", "D", "e", "J", "N", "n", "o", "W"}
_MOST_MINUTES = 1440  # a day: what looks longer was meant as hours or minutes and seconds
_LEAST_SECONDS = 30  # of a worker's time: SLURM sends the signal up to half a minute early
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<parts>\d+(?::\d+){0,2})")

Count = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(coerce_numbers_to_str=True, min_length=1)]


@dataclass(frozen=True)
class Options:
    """The keys of `hydra.launcher`, as `configs/hydra/launcher/slurm.yaml` explains them.

    Attributes:
        workers: Tasks of the job array at most.
        partition: Of the job; None is the cluster's default, here and in the next.
        time: A worker's limit, as sbatch takes it.
        cpus_per_task: For each worker.
        mem: For each worker, in MB or with a unit.
        gpus: For each worker.
        options: Further options of sbatch.
        setup: Lines of shell before each worker starts.
        wait: Whether the command waits for the array.
        on_interrupt: What Ctrl-C does to the array while the command waits.
        signal_seconds: How long before its time limit a worker stops.
        check_seconds: How often a waiting command asks SLURM.
    """

    workers: Count
    partition: Text | None
    time: Text | None
    cpus_per_task: Count
    mem: Text | None
    gpus: Annotated[int, Field(ge=0)]
    options: list[Text]
    setup: list[Text]
    wait: bool
    on_interrupt: Literal["cancel", "leave"]
    signal_seconds: Annotated[int, Field(ge=1, le=65535)]
    check_seconds: Annotated[float, Field(gt=0)]

    def __post_init__(self) -> None:
        _check(self)

    def arguments(self, name: str, tasks: int, logs: Path) -> list[str]:
        """Return sbatch's options.

        Args:
            name: The job's.
            tasks: The array's size.
            logs: The folder of the tasks' logs.
        """
        asked = {
            "partition": self.partition,
            "time": self.time,
            "cpus-per-task": self.cpus_per_task,
            "mem": self.mem,
            "gres": f"gpu:{self.gpus}" if self.gpus else None,
        }
        return [
            f"--job-name={name}",
            f"--array=0-{tasks - 1}",
            "--nodes=1",
            "--ntasks=1",
            *(f"--{key}={value}" for key, value in asked.items() if value is not None),
            f"--chdir={Path.cwd()}",
            f"--output={str(logs).replace('%', '%%')}/%A_%a.log",
            "--open-mode=append",  # a requeued task goes on in its log
            "--requeue",
            f"--signal=B:USR2@{self.signal_seconds}",
            *(part for option in self.options for part in shlex.split(option)),
        ]


def _check(options: Options) -> None:
    """Refuse what SLURM can make no sense of, in one line that names the key of `hydra.launcher`."""
    parts = [(option, part) for option in options.options for part in shlex.split(option)]
    for option, part in parts:
        name = part.lstrip("-").partition("=")[0]
        if not option.startswith("-") or (part.startswith("-") and name in _OWN):
            own = ", which the launcher gives itself" if name in _OWN else ""
            raise ValueError(
                f"hydra.launcher.options: expected options of sbatch such as --account=NAME; received {option!r}{own}"
            )
    if options.time is not None and options.time.isdecimal() and int(options.time) > _MOST_MINUTES:
        raise ValueError(
            f"hydra.launcher.time: expected at most {_MOST_MINUTES:,} minutes as a bare number, or a time in quotes as "
            f"'4:00:00' or '2-00:00:00'; received {options.time} (YAML reads 4:00:00 without quotes as a number)"
        )
    limit = _seconds(options.time)
    if limit is not None and limit < options.signal_seconds + _LEAST_SECONDS:
        raise ValueError(
            f"hydra.launcher.time: expected at least {_LEAST_SECONDS} s more than hydra.launcher.signal_seconds="
            f"{options.signal_seconds}, when workers stop; received {options.time}, which is {limit} s"
        )


def _seconds(time: str | None) -> int | None:
    """Return a time limit in seconds; None where it is none of sbatch's numbers, which sbatch itself judges."""
    found = _TIME.fullmatch(time or "")
    if found is None:
        return None
    parts = [int(each) for each in found["parts"].split(":")]
    if found["days"] is not None:  # days-hours[:minutes[:seconds]]
        hours, minutes, seconds = [*parts, 0, 0][:3]
    elif len(parts) < 3:  # minutes[:seconds]
        hours, (minutes, seconds) = 0, [*parts, 0][:2]
    else:
        hours, minutes, seconds = parts
    return ((int(found["days"] or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
