"""A worker process of a search: it trains one job after another until none is left."""

import sys
import time
from typing import Any

import optuna
import pytorch_lightning as pl
from optuna.trial import TrialState

from regbench.config.errors import describe_error
from regbench.runs.run import run
from regbench.search.plan import Plan
from regbench.search.schedule import Job, Schedule
from regbench.search.scores import best_so_far, count_epochs, read_outcome
from regbench.storage.lock import HEARTBEAT, LockError, count_deaths, is_locked
from regbench.storage.schema import DIVERGED
from regbench.storage.tuning import PRUNED
from regbench.sweeps.work import MOST_DEATHS
from regbench.training.history import DivergedError

_WAIT = 0.5


class Pruned(BaseException):
    """The pruner stopped a trial: no error, and no whole run, which could be resumed."""


class Pruning(pl.Callback):
    """Tells Optuna the monitored metric after each epoch, and stops the run where its pruner says so.

    Args:
        trial: The trial that the run is.
        monitor: The validation metric.
    """

    def __init__(self, trial: optuna.Trial, monitor: str) -> None:
        self._trial = trial
        self._monitor = monitor
        self._known = set(trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop a resumed run that was to be stopped already."""
        if trainer.current_epoch - 1 in self._known:
            self._stop_if_behind(trainer.current_epoch - 1, trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the epoch."""
        epoch = trainer.current_epoch
        if epoch not in self._known:  # a resumed run repeats epochs, to the same bits
            self._trial.report(float(trainer.callback_metrics[self._monitor]), epoch)
        self._stop_if_behind(epoch, trainer)

    def _stop_if_behind(self, epoch: int, trainer: pl.Trainer) -> None:
        if self._trial.should_prune() and epoch + 1 < (trainer.max_epochs or 0):
            raise Pruned(f"{PRUNED} {epoch + 1}: it falls behind other trials")


class SearchWorker:
    """Trains one job after another.

    Args:
        plan: What was asked for.

    Attributes:
        study: The study's folder.
    """

    def __init__(self, plan: Plan) -> None:
        self.study = plan.folder
        self._schedule = Schedule(plan)

    def work(self, most: int | None = None, *, wait: bool) -> bool:
        """Train what nobody else works on; return whether nothing was left to take.

        Args:
            most: How many jobs at most; any number unless given.
            wait: Whether to wait for what follows from that at which others work.

        Raises:
            KeyboardInterrupt: The run under way is recorded as interrupted.
            regbench.training.interruption.Terminated: Likewise by SIGTERM.
        """
        trained = 0
        while trained != most:
            job = self._schedule.next_job()
            if job is not None:
                trained += self._take(job)
            elif not wait or self._schedule.is_done():
                return True
            else:
                time.sleep(_WAIT)
        return self._schedule.is_done()

    def leaves_runs(self) -> bool:
        """Tell whether a job was given up."""
        return bool(self._schedule.left())

    def _take(self, job: Job) -> bool:
        """Train a job; return whether it was trained, however it ended, or given up."""
        try:
            if count_deaths(job.folder) >= MOST_DEATHS and not is_locked(job.folder):
                self._schedule.leave(job.name)
                print(f"{job.title}: its worker was killed twice; left for the next call", file=sys.stderr, flush=True)
            else:
                _train(self._schedule, job)
        except LockError as error:
            print(error, file=sys.stderr, flush=True)
            time.sleep(HEARTBEAT)  # after some beats a holder on another machine is known to be dead
            return False
        except Exception as error:
            self._schedule.leave(job.name)
            print(f"{job.title} failed: {describe_error(error)} (see {job.folder})", file=sys.stderr, flush=True)
        finally:
            job.claim.release()
        return True


def _train(schedule: Schedule, job: Job) -> None:
    monitor = schedule.plan.monitor
    pruning = job.trial is not None and schedule.plan.protocol.pruning != "none"
    watching: list[Any] = [Pruning(job.trial, monitor)] if pruning and job.trial is not None else []
    state = "finished"
    try:
        if read_outcome(job.folder, monitor).status != DIVERGED or job.trial is None:
            run(job.folder, job.config, job.overrides, callbacks=watching)
    except Pruned:
        state = "pruned"
    except DivergedError:
        state = "diverged"
    outcome = read_outcome(job.folder, monitor)
    if outcome.status == DIVERGED:
        state = "diverged"
    if state == "pruned":
        outcome = best_so_far(job.folder, monitor)
    score = job.setting.chance(monitor) if outcome.score is None else outcome.score
    if job.trial is not None:
        accuracy = job.setting.chance("val/acc") if outcome.accuracy is None else outcome.accuracy
        _tell(schedule, job, job.trial, {"state": state, "score": score, "accuracy": accuracy})
    print(f"{job.title}: {_shown(monitor, score)}{'' if state == 'finished' else f', {state}'}", flush=True)


def _tell(schedule: Schedule, job: Job, trial: optuna.Trial, ended: dict[str, Any]) -> None:
    """Close a trial; that it diverged or was pruned counts for the sampler too."""
    told = {
        **ended,
        "epochs": count_epochs(job.folder),
        "folder": job.folder.relative_to(schedule.plan.folder).as_posix(),
    }
    for name, value in told.items():
        trial.set_user_attr(name, value)
    if ended["state"] == "pruned":
        trial.study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
    else:
        trial.study.tell(trial, ended["score"], skip_if_finished=True)


def _shown(monitor: str, score: float) -> str:
    return f"val {score:.2%}" if monitor == "val/acc" else f"val loss {score:.4f}"
