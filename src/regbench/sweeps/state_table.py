"""How the runs of a study stand, as a table for a terminal."""

from collections.abc import Sequence

from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from regbench.sweeps.pace import in_words
from regbench.sweeps.states import RunState, SettingState, ago

# Runs of a setting that have a line of their own.
_MOST_RUNS = 3


def state_table(settings: Sequence[SettingState], lines: int | None = None, *, times: bool = False) -> Group:
    """Return a table with a row for each setting: how many runs are done, and how far those under way are.

    Args:
        settings: How they stand.
        lines: How high the table may be; settings with runs under way or failed ones come first then, and the rest is
            counted.
        times: Whether to say how long ago a run last wrote.
    """
    places = range(len(settings)) if lines is None else _most_telling(settings, lines - 1)
    counted = list(settings[0].counts) if settings else []
    failed = ["failed"] if any(setting.of("failed") for setting in settings) else []
    table = Table(
        Column("setting", overflow="fold"),
        *(Column(name, justify="right", no_wrap=True) for name in (*counted, *failed)),
        Column("under way", overflow="fold"),
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for setting in (settings[place] for place in places):
        cells = [_counted(*setting.counts[name]) for name in counted]
        cells += [Text(str(len(setting.of("failed")) or ""), "red") for _ in failed]
        table.add_row(Text(setting.name), *cells, Text("\n").join(_under_way(setting, times)))
    rest = [settings[place] for place in sorted(set(range(len(settings))).difference(places))]
    whole = sum(_is_whole(each) for each in rest)
    more = [Text(f"and {len(rest)} more settings: {whole} done, {len(rest) - whole} left", "dim")] if rest else []
    return Group(table, *more)


def overall(settings: Sequence[SettingState], elapsed: float | None = None, left: float | None = None) -> Text:
    """Return one line about all runs.

    Args:
        settings: How they stand.
        elapsed: Seconds since the sweep was called; None says nothing of it.
        left: Seconds that it still takes; likewise.
    """
    runs = [each for setting in settings for each in setting.runs]
    done, failed, running = (sum(each.state == state for each in runs) for state in ("finished", "failed", "running"))
    line = Text.assemble(
        (f"{done} done", "green" if done else ""),
        ", ",
        (f"{failed} failed", "red" if failed else ""),
        f", {running} running, {sum(each.left for each in settings)} left",
    )
    if elapsed is not None:
        line.append(f" · {in_words(elapsed)} so far")
    if left is not None:
        line.append(f" · about {in_words(left)} to go", "bold")
    return line


def _counted(done: int, planned: int | None) -> Text:
    return Text(f"{done}/{planned}" if planned is not None else str(done), "green" if done == planned else "")


def _under_way(setting: SettingState, times: bool) -> list[Text]:
    """Return a line for each of the first runs that train or were stopped in their midst, and one for the others."""
    runs = [*setting.of("running"), *setting.of("stopped")]
    most = len(runs) if len(runs) <= _MOST_RUNS + 1 else _MOST_RUNS
    lines = [_described(each, times) for each in runs[:most]]
    return [*lines, Text(f"and {len(runs) - most} more", "dim")] if len(runs) > most else lines


def _described(run: RunState, times: bool) -> Text:
    name, epochs, budget = run.label, run.epochs, f" of {run.budget}" if run.budget else ""
    if run.state == "stopped":
        where = (
            "after its last epoch"
            if run.budget and epochs.trained >= run.budget
            else f"in epoch {epochs.trained + 1}{budget}"
        )
        return Text(f"{name}: stopped {where}", "yellow")
    if not epochs.trained:
        return Text(f"{name}: in epoch 1{budget}")
    accuracy = "" if epochs.accuracy is None else f", val {epochs.accuracy:.2%}"
    when = f", {in_words(ago(epochs.written))} ago" if times else ""
    return Text(f"{name}: epoch {epochs.trained}{budget}{accuracy}{when}")


def _most_telling(settings: Sequence[SettingState], lines: int) -> Sequence[int]:
    """Return, in their order, the places of those settings that are shown; a line is kept to count the others."""
    heights = [max(1, len(_under_way(each, times=False))) for each in settings]
    if sum(heights) <= lines:
        return range(len(settings))
    left, kept = lines - 1, []
    for place in sorted(range(len(settings)), key=lambda place: (_rank(settings[place]), place)):
        if heights[place] <= left:
            left -= heights[place]
            kept.append(place)
    return sorted(kept)


def _rank(setting: SettingState) -> int:
    if setting.of("running"):
        return 0
    if setting.of("failed") or setting.of("stopped"):
        return 1
    return 3 if _is_whole(setting) else 2


def _is_whole(setting: SettingState) -> bool:
    return not setting.left and all(each.state == "finished" for each in setting.runs)
