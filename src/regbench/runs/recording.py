"""Recording a run in its folder: the configuration first, then the results or the failure, under the lock."""

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from regbench.config.errors import describe_error
from regbench.runs.claiming import finished_run, lacking_metrics, other_code_beside, refuse_other_run
from regbench.runs.provenance import provenance
from regbench.runs.resuming import Stopwatch
from regbench.runs.spec import RunSpec
from regbench.storage.configs import write_config
from regbench.storage.files import write_text
from regbench.storage.lock import HeldError, hold
from regbench.storage.results import RunResults, clear_outcome, clear_run, clear_weights, write_results
from regbench.storage.schema import CHECKPOINTS, CONFIG, DIVERGED, ERROR, FAILED, INTERRUPTED, Status
from regbench.training.checkpoints import PREVIOUS
from regbench.training.history import DivergedError
from regbench.training.interruption import terminable


@dataclass
class Record:
    """What is known of a run so far.

    Attributes:
        stopwatch: Runs since the call began.
        provenance: Where the results come from.
        results: The finished run's; set by an earlier call or, at the end, by this one.
    """

    stopwatch: Stopwatch
    provenance: dict[str, object] = field(default_factory=dict)
    results: RunResults | None = None


@contextlib.contextmanager
def recording(
    folder: Path, spec: RunSpec, *, wait: bool = True, is_taken: Callable[[], bool] | None = None
) -> Iterator[Record]:
    """Hold a run folder and record in it what is asked for and how it ends.

    A finished run comes with its results, and nothing is written, unless `force` clears it first. Else the block trains
    and sets `results`, which are written when it ends; if it raises, `error.txt` and `results.json` say why.

    Args:
        folder: The run folder.
        spec: What is asked for.
        wait: Whether to wait while another process holds the folder.
        is_taken: Asked once the folder is held; where it is, nothing is done.

    Raises:
        ValueError: The folder holds another run.
        regbench.storage.lock.HeldError: Another process holds the folder, and `wait` is false; or it is taken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with terminable(), hold(folder, wait=wait):
        if is_taken is not None and is_taken():
            raise HeldError(f"{folder}: another process has been at it")
        refuse_other_run(folder, spec)
        if spec.force:
            clear_run(folder)
        elif (finished := finished_run(folder)) is not None:
            if lacking := lacking_metrics(finished, spec.config):
                print(
                    f"{folder}: finished without metrics={','.join(lacking)} as it is now; force=true trains it again",
                    file=sys.stderr,
                    flush=True,
                )
            yield Record(Stopwatch(), results=finished)
            return
        if not (folder / CONFIG).exists() and (message := other_code_beside(folder, spec)):
            print(message, file=sys.stderr, flush=True)
        clear_outcome(folder)
        record = Record(Stopwatch(), provenance(spec.config))
        try:
            write_config(folder, spec.config, spec.overrides, spec.code)
            yield record
            if record.results is not None:
                write_results(folder, record.results)
                (folder / CHECKPOINTS / PREVIOUS).unlink(missing_ok=True)
                if spec.is_lean:
                    clear_weights(folder)
        except BaseException as error:
            _record_failure(folder, spec, record, error)
            raise


def _record_failure(folder: Path, spec: RunSpec, record: Record, error: BaseException) -> None:
    """Write how a run ended: `error.txt` with the traceback, `results.json` with the status and one line."""
    status: Status
    if isinstance(error, DivergedError):
        status = DIVERGED
    elif isinstance(error, Exception):
        status = FAILED
    else:
        status = INTERRUPTED
    results = RunResults(
        **spec.described(), status=status, error=describe_error(error), provenance=dict(record.provenance)
    )
    # Where nothing can be written any more, the caller still gets the error itself.
    with contextlib.suppress(OSError):
        write_text(folder / ERROR, "".join(traceback.format_exception(error)))
    with contextlib.suppress(OSError):
        write_results(folder, results)
