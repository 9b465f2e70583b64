"""Lightning's training loop as a library: no notices, no signal handlers left behind, Ctrl-C as an exception."""

import contextlib
import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.utilities.exceptions import SIGTERMException

from regbench.training.interruption import CTRL_C, Terminated
from regbench.training.process_settings import cheap_device_check, keep_freed_memory

_inside = False

# No sanity validation and nothing by batch: the networks are small, so each of these would cost more than a step.
SILENT = {
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 0,
}


def fit(
    make_trainer: Callable[[], pl.Trainer],
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    checkpoint: Path | None = None,
) -> pl.Trainer:
    """Make a trainer, train until it ends, and return it.

    Args:
        make_trainer: Called without Lightning's notices.
        module: What is trained.
        data: On what.
        checkpoint: From which training resumes; from scratch if there is none.

    Raises:
        KeyboardInterrupt: The user pressed Ctrl-C.
        Terminated: The process was told to end by SIGTERM.
    """
    keep_freed_memory()
    with lightning_as_a_library():
        trainer = make_trainer()
        try:
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        except SIGTERMException as error:
            raise Terminated from error
        except SystemExit as error:
            # Lightning ends the whole process at Ctrl-C; the run is to be recorded first.
            raise (KeyboardInterrupt(CTRL_C) if trainer.interrupted else error) from error
    return trainer


def lone_process() -> LightningEnvironment:
    """Return the environment of a process that trains by itself, whatever a cluster's or launcher's variables say.

    Under SLURM Lightning would answer SIGUSR1 with a checkpoint from which every later run in the same folder starts.
    """
    environment = LightningEnvironment()
    environment.set_global_rank(0)  # Lightning took it from SLURM_PROCID or RANK, and only rank 0 writes curves
    return environment


@contextlib.contextmanager
def lightning_as_a_library() -> Iterator[None]:
    """Let Lightning work without its notices, and give back the signal handlers and switches that it takes.

    Within another such block nothing is done: where trainings take turns in one process, blocks end in any order.
    """
    global _inside  # noqa: PLW0603 (what is changed belongs to the process)
    if _inside:
        yield
        return
    _inside = True
    deterministic = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # The compiler's notice of an nvcc without a GPU says nothing about a run on the CPU.
    levels = {"pytorch_lightning": logging.WARNING, "torch.utils.cpp_extension": logging.ERROR}
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        with warnings.catch_warnings(), cheap_device_check():
            # Lightning 2.6 with torch 2.14: https://github.com/Lightning-AI/pytorch-lightning/issues/21326
            warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
            # Lightning looks for SLURM at each fit, whatever environment it was given.
            warnings.filterwarnings("ignore", message="The `srun` command is available")
            yield
    finally:
        # A trainer that asks for these leaves them on, for the next run of the process too.
        _inside = False
        torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
        torch.backends.cudnn.benchmark = benchmark
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)
