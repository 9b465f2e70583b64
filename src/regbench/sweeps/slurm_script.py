"""The batch script of a SLURM job array's tasks: workers that survive preemption, time-outs and their own death."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

_SIGNALS = r"""
task="${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
started="$study/slurm/.$task.started"
stopped="" worker="" status=1

say() { echo "$(date '+%F %T') $task: $1"; }

# SIGTERM says that the task is cancelled, SIGUSR2 that its time is nearly over. Whenever they come, the worker is told,
# and this shell goes on to decide what becomes of the task.
stop() {
  stopped=$1
  tell "$worker" 2>/dev/null &
}

# srun itself would answer SIGTERM by killing the worker. One that is only about to start has to be told again.
tell() {
  while kill -0 "$1"; do
    scancel --signal=TERM "$task"
    sleep 2
  done
}

trap 'stop SIGTERM' TERM
trap 'stop SIGUSR2' USR2

touch "$started"
say "starts on $(hostname)${SLURM_RESTART_COUNT:+, requeue $SLURM_RESTART_COUNT}"
"""

_WORK = r"""
# A worker that was killed is followed by another one. Each leaves a run alone that has killed two of them, so there is
# an end to it but where workers die at their start.
for _ in {1..10}; do
  [ -z "$stopped" ] || break
  srun --ntasks=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" --mpi=none --export=ALL \
    "$python" -P -m regbench "${worker_arguments[@]}" &
  worker=$!
  [ -z "$stopped" ] || stop "$stopped" # where the signal came before there was a worker
  wait "$worker"
  status=$?
  while kill -0 "$worker" 2>/dev/null; do # it was the trap that ended the wait
    wait "$worker"
    status=$?
  done
  worker=""
  [ "$status" -ne 143 ] || stopped=${stopped:-SIGTERM} # a preempted task's worker gets the signal, and this shell none
  [ "$status" -gt 128 ] && [ -z "$stopped" ] || break
  say "its worker was killed (exit status $status)"
done

# A task that would only run into its time limit again, before an epoch's end, is not requeued for ever.
if [ "$stopped" = SIGUSR2 ]; then
  if [ -n "$(find "$study" \( -name last.ckpt -o -name predictions.npz \) -newer "$started" -print -quit)" ]; then
    rm -f "$started.vain"
  else
    echo >>"$started.vain"
  fi
fi
if [ -e "$started.vain" ] && [ "$(wc -l <"$started.vain")" -ge 3 ]; then
  say "three times in a row its time was over before an epoch was; raise hydra.launcher.time"
elif [ -n "$stopped" ]; then
  for _ in {1..3}; do
    state=$(squeue --noheader --jobs="$task" --format=%T) && break
    sleep 2
  done
  if [ "$state" = RUNNING ]; then # nobody cancelled it
    say "stopped by $stopped, requeued"
    scontrol requeue "$task" && exit 0
    say "cannot be requeued; its runs are left to other workers or the next call"
  else
    say "stopped by $stopped, ${state:-in a state that squeue does not tell}"
  fi
fi
rm -f "$started" "$started.vain"
exit "$status"
"""


def script(study: Path, arguments: Sequence[str], setup: Sequence[str], command: str) -> str:
    """Return the script of one task: it starts the worker and decides what becomes of the task when that is stopped.

    A task that is preempted, or whose time is nearly over, is requeued after its run is recorded; one that is cancelled
    ends. SLURM shows a preempted task as running and a cancelled one as completing.

    Args:
        study: The sweep's folder, from the working folder of the call.
        arguments: Of `regbench`, by which the worker begins.
        setup: Lines of shell before the worker is started.
        command: What it is submitted by, for readers.
    """
    path = _python_path()
    return "\n".join(
        [
            "#!/bin/bash",
            "# A worker that takes what is left to train. Submitted by:",
            f"#   {command}",
            f"study={shlex.quote(str(study))}",
            f"worker_arguments=({shlex.join(arguments)})",
            f"python={shlex.quote(sys.executable)}",
            *([f"export PYTHONPATH={shlex.quote(path)}"] if path else []),
            _SIGNALS.rstrip("\n"),
            *setup,
            _WORK.removeprefix("\n"),
        ]
    )


def _python_path() -> str:
    """Return where workers look for modules, as this program does: beside `train.py`, then in PYTHONPATH."""
    beside = [str(Path(sys.argv[0]).resolve().parent)] if sys.argv[0].endswith(".py") else []
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return os.pathsep.join(dict.fromkeys([*beside, *given]))
