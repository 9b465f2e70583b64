"""The `train` command, as `python train.py` and `regbench train`: one run, or with -m a sweep."""

import contextlib
import os
import signal
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from regbench.config.composing import CONFIGS, to_plain
from regbench.config.errors import describe_error
from regbench.storage.schema import ERROR
from regbench.storage.study_folder import read_or_rebuild_plan
from regbench.sweeps.comparing import print_comparison
from regbench.sweeps.first_checks import FirstChecks
from regbench.sweeps.progress import Progress, progress_of
from regbench.sweeps.signals import end_worker, stopping_workers, watch_parent
from regbench.training.interruption import Terminated, exit_status


def main() -> None:
    """Start Hydra with the program's arguments, and report errors in one line; ends the program."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing its own report
    sys.argv[1:] = _options_first(sys.argv[1:])
    stopped: BaseException | None = None
    try:
        with stopping_workers(_runs):
            train()
    except Exception as error:
        sys.exit(f"error: {describe_error(error, sys.argv[1:])}")
    except (KeyboardInterrupt, Terminated) as stop:
        stopped = stop
    counts = None
    if FirstChecks.sweep is not None:
        from regbench import display

        counts = Progress(FirstChecks.sweep).counts()
        if stopped is None and counts["done"]:
            with contextlib.suppress(KeyboardInterrupt):  # the runs are done; whoever is in a hurry does without it
                print_comparison(FirstChecks.sweep)
        display.print_sweep(FirstChecks.sweep, counts, FirstChecks.rest)
    if stopped is not None:
        sys.exit(exit_status(stopped))
    if counts is not None:
        sys.exit(1 if counts["failed"] or counts["left"] else 0)


@hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="train")
def train(config: DictConfig) -> None:
    """Run one job. In a sweep a failed run is recorded and the others run; alone its error ends the program."""
    # Here, so that a sweep's parent starts its workers without importing torch.
    from regbench import display
    from regbench.runs.run import run

    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    sweep = Path(job.sweep.dir) if job.mode == RunMode.MULTIRUN else None
    show_progress = sweep is None and sys.stdout.isatty()
    in_worker = sweep is not None and FirstChecks.sweep is None
    if in_worker:
        watch_parent()  # RegBench's own launchers start workers that do so from their beginning on
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent passes it on in order
    plain = to_plain(config, job.runtime.choices)
    forced = plain.get("force") is True
    if sweep is not None:
        plain["force"] = False  # The sweeper has cleared the runs, once for this call.
    try:
        results = run(folder, plain, list(job.overrides.task), show_progress=show_progress)
    except Exception as error:
        if sweep is None:
            # What is wrong with a value is said in full by its line; a slip in somebody's code needs its traceback.
            traceback_too = not isinstance(error, (ValueError, OSError)) and (folder / ERROR).exists()
            sys.exit(f"error: {describe_error(error)}" + (f" (see {folder / ERROR})" if traceback_too else ""))
        progress = progress_of(sweep)
        name = progress.name_of(os.path.relpath(job.runtime.output_dir, sweep))
        line = display.failed_line(name, folder, describe_error(error), progress.counts())
        print(line, file=sys.stderr, flush=True)
        return
    except (KeyboardInterrupt, Terminated) as stop:
        if in_worker:
            end_worker(stop)
        if sweep is None:
            command = f"the same command{' without force=true' if forced else ''}"
            print(f"{folder}: {describe_error(stop)}; {command} resumes it", file=sys.stderr, flush=True)
        raise
    if sweep is None:
        display.print_results(folder, results)
    else:
        progress = progress_of(sweep)
        name = progress.name_of(os.path.relpath(job.runtime.output_dir, sweep))
        print(display.finished_line(name, results, progress.counts()), flush=True)


def _runs() -> list[Path]:
    """Return the run folders of the sweep that was called; none for a run alone."""
    sweep = FirstChecks.sweep
    return [sweep / name for name in read_or_rebuild_plan(sweep).runs] if sweep is not None else []


def _options_first(arguments: list[str]) -> list[str]:
    """Move KEY=VALUE behind all options, in their order: Hydra's parser takes no option between two of them."""
    overrides = [each for each in arguments if not each.startswith("-") and ("=" in each or each.startswith("~"))]
    return [each for each in arguments if each not in overrides] + overrides
