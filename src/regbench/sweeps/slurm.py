"""Hydra's launcher for SLURM: one job array of workers, which take the sweep's runs until none is left.

Imports no torch.
"""

import contextlib
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from regbench.storage.files import write_text
from regbench.storage.results import is_finished, read_status
from regbench.storage.schema import DIVERGED, FAILED
from regbench.sweeps import slurm_commands as slurm
from regbench.sweeps.cluster_launcher import ClusterLauncher
from regbench.sweeps.launcher import Search
from regbench.sweeps.progress import Progress
from regbench.sweeps.slurm_options import Options
from regbench.sweeps.slurm_script import script
from regbench.training.interruption import Terminated

_Counts = Callable[[], dict[str, int]]

FOLDER = "slurm"
_RECORDING_SECONDS = 90  # for cancelled workers, which SLURM kills after its KillWait


class SlurmLauncher(ClusterLauncher[Options]):
    """Submits workers and, if asked to, waits for them.

    A call for runs that an earlier call's array is at submits none for these, and waits for that array.

    Args:
        keys: Those of `slurm_options.Options`.
    """

    make_options = Options

    def train_runs(self, folder: Path, names: Sequence[str]) -> None:
        """Submit an array for the runs that are left and that no array of an earlier call is at; wait if asked to.

        Raises:
            regbench.sweeps.slurm_commands.SlurmError: SLURM refuses the job or gives no answer.
            KeyboardInterrupt: The user pressed Ctrl-C; the array is cancelled or left, as asked.
            regbench.training.interruption.Terminated: Likewise by SIGTERM.
        """
        left = [name for name in names if not is_finished(folder / name)]
        if not left:
            return
        # Workers of an earlier call do not come back to runs that they have trained and this call has cleared.
        forced = self.config is not None and self.config.get("force") is True
        under_way = {} if forced else _under_way(folder)
        arrays = {job: runs for job, runs in under_way.items() if not runs.isdisjoint(left)}
        for job, runs in arrays.items():
            print(f"{folder}: job {job} of an earlier call is at {_plural(len(runs.intersection(left)), 'run')}")
        new = [name for name in left if not any(name in runs for runs in arrays.values())]

        def submit() -> str:
            stem = _new_stem(folder)
            runs = stem.with_suffix(".runs")
            write_text(runs, "".join(f"{each}\n" for each in new))
            worker = ["work", str(folder), "--runs", str(runs)]
            return self._submit(folder, stem, worker, len(new), _plural(len(new), "run"))

        self._see_through(folder, list(arrays), submit if new else None, lambda: Progress(folder).counts)

    def search(self, search: Search) -> None:
        """Submit an array for a search, unless that of an earlier call is at it; wait if asked to.

        Raises:
            What `train_runs` does.
        """
        if search.is_done():
            return
        folder = search.folder
        known = [path.read_text().strip() for path in (folder / FOLDER).glob("*.job")]
        arrays = list(dict.fromkeys(task.job for task in slurm.tasks(_job_name(folder), known))) if known else []
        if arrays:
            print(f"{folder}: job {', '.join(arrays)} of an earlier call is at it")

        def submit() -> str:
            return self._submit(folder, _new_stem(folder), search.arguments, search.most, "the search")

        self._see_through(folder, arrays, None if arrays else submit, lambda: search.counts)

    def _see_through(
        self, study: Path, arrays: list[str], submit: Callable[[], str] | None, begin: Callable[[], _Counts]
    ) -> None:
        """Submit another array if one is to be, and wait for all if asked to.

        Args:
            study: The study's folder.
            arrays: Of earlier calls.
            submit: Submits another one, and returns its number.
            begin: Gives what counts the study's runs from now on.
        """
        try:
            if submit is not None:
                with _undisturbed():
                    arrays.append(submit())
            if self.options.wait:
                self._follow(study, arrays, begin)
            elif arrays:
                print(f"the runs go on without this command (hydra.launcher.wait=false); {_how_to(arrays)}", flush=True)
        except (KeyboardInterrupt, Terminated):
            self._stop(study, arrays)
            raise

    def _submit(self, study: Path, stem: Path, worker: Sequence[str], most: int, what: str) -> str:
        """Submit an array and return its number.

        Args:
            study: The study's folder.
            stem: Where its files go, without their endings.
            worker: The arguments of a worker.
            most: How many workers can have something to do.
            what: They are for.
        """
        batch = stem.with_suffix(".sh")
        workers = min(self.options.workers, most, slurm.most_tasks() or most)
        arguments = [*self.options.arguments(_job_name(study), workers, stem.parent), str(batch)]
        write_text(batch, script(study, worker, self.options.setup, shlex.join(["sbatch", *arguments])))
        job = slurm.submit(arguments, vars(self.options))
        write_text(stem.with_suffix(".job"), f"{job}\n")
        print(f"{study}: job {job}, {_plural(workers, 'worker')} for {what}; {_how_to([job])}")
        print(f"logs: {stem.parent / f'{job}_*.log'}", flush=True)
        return job

    def _follow(self, study: Path, jobs: Sequence[str], begin: Callable[[], _Counts]) -> None:
        """Print how far the study is, until its arrays have ended."""
        said, counts, count = None, None, begin()
        while True:
            try:
                tasks = slurm.tasks(_job_name(study), jobs)
                if not tasks:
                    break
                counts = count()
                line = _line(counts, jobs, slurm.states(tasks))
                if not counts["left"] and any(task.state == "PENDING" for task in tasks):
                    slurm.cancel(jobs, "--state=PENDING")  # They would start to find nothing to do.
            except slurm.SlurmError as error:
                line = f"{error}; asked again"
            if line != said:
                print(line, flush=True)
                said = line
            time.sleep(self.options.check_seconds)
        last = begin()()
        if last != counts:
            print(_line(last, jobs, "ended"), flush=True)
        if left := last["left"]:
            print(f"job {', '.join(jobs)} ended with {_plural(left, 'run')} left{_last_words(study, jobs)}", flush=True)

    def _stop(self, study: Path, jobs: Sequence[str]) -> None:
        """Cancel the arrays or leave them, as asked, and say so."""
        if not jobs:
            return
        shown = f"job {', '.join(jobs)}"
        if self.options.on_interrupt == "leave":
            print(f"{shown} goes on (hydra.launcher.on_interrupt=leave); {_how_to(jobs)}", flush=True)
            return
        try:
            slurm.cancel(jobs)
            deadline = time.monotonic() + _RECORDING_SECONDS
            while slurm.tasks(_job_name(study), jobs) and time.monotonic() < deadline:
                time.sleep(min(1.0, self.options.check_seconds))
        except slurm.SlurmError as error:
            print(f"{shown} may go on: {error}; {_how_to(jobs)}", file=sys.stderr, flush=True)
        else:
            print(f"{shown} is cancelled (hydra.launcher.on_interrupt=cancel)", flush=True)


def _under_way(study: Path) -> dict[str, set[str]]:
    """Return the runs that earlier calls' arrays are at, by the array's number.

    A worker leaves a run alone that failed before the worker's own end, also where a new call tries it again.
    """
    known = {path.read_text().strip(): path.with_suffix(".runs") for path in (study / FOLDER).glob("*.job")}
    going = dict.fromkeys(task.job for task in slurm.tasks(_job_name(study), known)) if known else {}
    runs = {job: known[job].read_text().splitlines() for job in going}
    failed = {name for names in runs.values() for name in names if read_status(study / name) in {FAILED, DIVERGED}}
    return {job: set(names) - failed for job, names in runs.items()}


def _line(counts: dict[str, int], jobs: Iterable[str], what: str) -> str:
    return f"{', '.join(f'{number} {state}' for state, number in counts.items())} | job {', '.join(jobs)}: {what}"


def _new_stem(study: Path) -> Path:
    """Return where a new array's files go, without their endings."""
    folder = study / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-{os.getpid()}-{len(list(folder.glob('*.sh')))}"


def _job_name(study: Path) -> str:
    return "regbench-" + re.sub(r"[^\w.-]", "_", study.name)


def _how_to(jobs: Iterable[str]) -> str:
    return f"watch: squeue -j {','.join(jobs)}; cancel: scancel {' '.join(jobs)}"


def _plural(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _last_words(study: Path, jobs: Iterable[str]) -> str:
    """Return the last line of the newest log but srun's own: what is wrong with a node is said there alone."""
    logs = [path for job in jobs for path in (study / FOLDER).glob(f"{job}_*.log")]
    if not logs:
        return ""
    newest = max(logs, key=lambda path: path.stat().st_mtime)
    lines = newest.read_text(errors="replace").splitlines()
    lines = [line for line in lines if line.strip() and not line.startswith("srun: ")]
    return f"; {newest} ends in: {lines[-1]}" if lines else f"; {newest} is empty"


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a stop wait until a job's number is known: else nobody could cancel it."""
    stops = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
