"""The live table of a sweep, drawn by the command that was called while its workers train."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from regbench.storage.schema import DIVERGED, FAILED, SWEEP
from regbench.sweeps.foot import Draw, can_draw, foot

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from regbench.sweeps.states import SettingState

# What takes longer is announced, also where nobody looks at a terminal.
_MOMENT_SECONDS = 1.0


@contextlib.contextmanager
def announced(line: str) -> Iterator[None]:
    """Say what the block does before its own first line: on a terminal at once, elsewhere once it takes its time."""
    if can_draw():
        print(line, flush=True)
        yield
        return
    timer = threading.Timer(_MOMENT_SECONDS, print, [line], {"flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def watched(study: Path, runs: Sequence[str], began: float) -> Iterator[None]:
    """Show how far runs are while the block trains them, where somebody looks at a terminal.

    Args:
        study: The study's folder.
        runs: Those of this call, the finished ones included: their folders below the study's.
        began: When the call began, by `time.monotonic`.
    """
    if not can_draw():
        yield
        return
    from regbench.display import says_finished
    from regbench.sweeps.states import SweepReader

    plan = study / SWEEP
    reader = SweepReader(study, runs, plan.stat().st_mtime if plan.exists() else 0.0, retried={FAILED, DIVERGED})
    with foot(draw_states(reader.read, began), keep=lambda line: not says_finished(line)):
        yield


def draw_states(read: "Callable[[], Sequence[SettingState]]", began: float) -> Draw:
    """Return what draws the table of settings, with a line about all of them.

    Args:
        read: Gives how the settings stand now.
        began: When the call began, by `time.monotonic`.
    """
    from rich.console import Console

    from regbench.sweeps.pace import seconds_left
    from regbench.sweeps.state_table import overall, state_table

    at_once = 0

    def draw(columns: int, rows: int) -> str:
        nonlocal at_once
        settings = read()
        running = sum(len(each.of("running")) for each in settings)
        at_once = max(running, at_once)
        left = seconds_left(settings, at_once)
        console = Console(force_terminal=True, width=columns - 1, height=rows)
        high = rows - 3  # a line for what is printed above, one for all settings, and one for the cursor
        table = _printed(console, state_table(settings, high))[:high]
        return "\n".join([*table, *_printed(console, overall(settings, time.monotonic() - began, left))[:1]])

    return draw


def _printed(console: "Console", shown: "RenderableType") -> list[str]:
    with console.capture() as captured:
        console.print(shown)
    return [line.rstrip() for line in captured.get().splitlines()]
