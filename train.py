"""Train one composition, or with -m a sweep of them: `python train.py --help`."""

import os
import signal
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from regbench.composition import Sweep, describe_error, planned_folders, progress, to_plain
from regbench.interruption import Terminated, end_worker, exit_status, stopping_workers


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def train(config: DictConfig) -> None:
    """Run one job. In a sweep a failed run is recorded and the others go on; alone its error ends the program."""
    # Here, so that a sweep's parent starts its workers without importing torch.
    from regbench import experiment, terminal

    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    sweep = Path(job.sweep.dir) if job.mode == RunMode.MULTIRUN else None
    show_progress = sweep is None and sys.stdout.isatty()
    in_worker = sweep is not None and Sweep.folder is None
    if in_worker:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent passes it on in order
    try:
        results = experiment.run(folder, to_plain(config), list(job.overrides.task), show_progress=show_progress)
    except Exception as error:
        if sweep is None:
            sys.exit(f"error: {describe_error(error)}")
        print(terminal.failed_line(folder, describe_error(error), progress(sweep)), file=sys.stderr, flush=True)
        return
    except (KeyboardInterrupt, Terminated) as stop:
        if in_worker:
            end_worker(stop)
        if sweep is None:
            print(f"{folder}: {describe_error(stop)}; the same command goes on from here", file=sys.stderr, flush=True)
        raise
    if sweep is None:
        terminal.print_results(folder, results)
    else:
        print(terminal.finished_line(results, progress(sweep)), flush=True)


def main() -> None:
    """Start Hydra, and say in one line what went wrong."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing its own report
    stopped: BaseException | None = None
    try:
        with stopping_workers(lambda: planned_folders(Sweep.folder)):
            train()
    except Exception as error:
        sys.exit(f"error: {describe_error(error, sys.argv[1:])}")
    except (KeyboardInterrupt, Terminated) as stop:
        stopped = stop
    counts = None
    if Sweep.folder is not None:
        from regbench import terminal

        counts = progress(Sweep.folder)
        terminal.print_sweep(Sweep.folder, counts)
    if stopped is not None:
        sys.exit(exit_status(stopped))
    if counts is not None:
        sys.exit(1 if counts["failed"] or counts["left"] else 0)


if __name__ == "__main__":
    main()
