"""Lightning's training loop as a library: no notices, no signal handlers left behind, Ctrl-C as an exception."""

import contextlib
import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.utilities.exceptions import SIGTERMException

from regbench.interruption import CTRL_C, Terminated
from regbench.lean import cheap_device_check, keep_freed_memory, take_plain_steps


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
        checkpoint: Where training goes on; from its beginning if there is none.

    Raises:
        KeyboardInterrupt: The user pressed Ctrl-C.
        Terminated: The process was told to end by SIGTERM.
    """
    keep_freed_memory()
    with _lightning_as_a_library():
        trainer = make_trainer()
        take_plain_steps(trainer)
        try:
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        except SIGTERMException as error:
            raise Terminated from error
        except SystemExit as error:
            # Lightning ends the whole process at Ctrl-C; the run is to be recorded first.
            raise (KeyboardInterrupt(CTRL_C) if trainer.interrupted else error) from error
    return trainer


@contextlib.contextmanager
def _lightning_as_a_library() -> Iterator[None]:
    """Let Lightning work without its notices, and give back the signal handlers that it takes."""
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
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)
