"""Train one composition, or with -m a sweep of them: `python train.py --help`."""

import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from regbench.composition import Sweep, describe_error, progress, to_plain


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def train(config: DictConfig) -> None:
    """Run one job. In a sweep a failed run is recorded and the others go on; alone its error ends the program."""
    # Here, so that a sweep's parent starts its workers without importing torch.
    from regbench import experiment, terminal

    job = HydraConfig.get()
    folder = Path(os.path.relpath(job.runtime.output_dir))
    sweep = Path(job.sweep.dir) if job.mode == RunMode.MULTIRUN else None
    show_progress = sweep is None and sys.stdout.isatty()
    try:
        results = experiment.run(folder, to_plain(config), list(job.overrides.task), show_progress=show_progress)
    except Exception as error:
        if sweep is None:
            sys.exit(f"error: {describe_error(error)}")
        print(terminal.failed_line(folder, describe_error(error), progress(sweep)), file=sys.stderr, flush=True)
        return
    if sweep is None:
        terminal.print_results(folder, results)
    else:
        print(terminal.finished_line(results, progress(sweep)), flush=True)


def main() -> None:
    """Start Hydra, and say in one line what went wrong."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing its own report
    try:
        train()
    except Exception as error:
        sys.exit(f"error: {describe_error(error, sys.argv[1:])}")
    if Sweep.folder is not None:
        from regbench import terminal

        counts = progress(Sweep.folder)
        terminal.print_sweep(Sweep.folder, counts)
        sys.exit(1 if counts["failed"] or counts["left"] else 0)


if __name__ == "__main__":
    main()
