"""How a sweep stands, read from its folder: whose runs are under way, how far they are, and what it still takes."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from regbench.storage.lock import hold
from regbench.storage.schema import FAILED
from regbench.sweeps.pace import in_words, seconds_left
from regbench.sweeps.state_table import overall, state_table
from regbench.sweeps.states import RunReader, SettingState, SweepReader
from tests.study.synthetic import write_study

HERE = socket.gethostname()


def dead_process() -> int:
    """Return the number of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def held_by(folder: Path, process: str, seconds_ago: float = 0.0) -> None:
    """Leave what a process that holds a run leaves; it was last heard of so long ago."""
    (folder / ".holder").write_text(f"{process}\n")
    then = time.time() - seconds_ago
    os.utime(folder / ".holder", (then, then))


def shown(settings: list[SettingState], lines: int | None = None, width: int = 80) -> list[str]:
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(state_table(settings, lines))
    return [line.rstrip() for line in captured.get().splitlines()]


def runs_of(study: Path) -> list[str]:
    return [each.parent.relative_to(study).as_posix() for each in sorted(study.glob("*/*/*/config.yaml"))]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Four settings on five seeds, of which not all are finished; epochs take 1.5 s of training."""
    states = {
        **{("none", 3): "interrupted", ("none", 4): "running"},
        **{("dropout p=0.5", seed): "running" for seed in range(5)},
        ("batchnorm", 4): "failed",
    }
    return write_study(tmp_path / "s", status=states)


def test_each_runs_state_is_read_from_its_folder(study: Path) -> None:
    none, dropout = (sorted(study.glob(f"*/{name}-*/")) for name in ("none", "dropout"))
    held_by(dropout[0] / "seed0", f"process {dead_process()} on {HERE}")
    held_by(dropout[0] / "seed1", "process 1 on elsewhere", 5)
    held_by(dropout[0] / "seed2", "process 1 on elsewhere", 500)
    with hold(none[0] / "seed3"):
        settings = {each.name: each for each in SweepReader(study, runs_of(study)).read()}
    assert list(settings) == ["batchnorm", "dropout p=0.5", "none", "weight_decay coefficient=0.001"]
    assert [run.state for run in settings["none"].runs] == ["finished"] * 3 + ["running", "stopped"]
    assert [run.state for run in settings["dropout p=0.5"].runs] == ["stopped", "running", *["stopped"] * 3]
    assert settings["batchnorm"].counts == {"done": (4, 5)}
    (failed,) = settings["batchnorm"].of("failed")
    assert (failed.label, failed.reason, failed.diverged) == ("seed 4", "RuntimeError: out of memory", False)
    (running,) = settings["none"].of("running")
    assert (running.epochs.trained, running.budget) == (6, 6)
    last = (none[0] / "seed3/history.csv").read_text().splitlines()[-1]
    assert f",{running.epochs.accuracy}," in last


def test_what_failed_before_is_left_where_it_is_tried_again(study: Path) -> None:
    (run,) = (name for name in runs_of(study) if "batchnorm" in name and name.endswith("seed4"))
    assert RunReader(study, time.time() + 5).read(run, {}).state == "failed"
    assert RunReader(study, time.time() + 5, retried={FAILED}).read(run, {}).state == "stopped"


def test_a_history_is_read_again_once_it_has_changed_and_what_has_ended_is_not(study: Path) -> None:
    run = next(name for name in runs_of(study) if "none" in name and name.endswith("seed3"))
    reader = RunReader(study)
    history = study / run / "history.csv"
    assert reader.read(run, {}).epochs.trained == 6
    history.write_text("".join(f"{line}\n" for line in history.read_text().splitlines()[:3]))
    os.utime(history, (1, 1))
    assert reader.read(run, {}).epochs.trained == 2
    (study / run / "results.json").write_text((study / run).with_name("seed0").joinpath("results.json").read_text())
    assert reader.read(run, {}).state == "finished"
    (study / run / "results.json").unlink()
    assert reader.read(run, {}).state == "finished"


def test_the_time_that_is_left_follows_from_the_epochs_of_each_setting(study: Path) -> None:
    reader = SweepReader(study, runs_of(study))
    assert seconds_left(reader.read()) is None, "nobody trains"
    none, dropout = (next(study.glob(f"*/{name}-*")) for name in ("none", "dropout"))
    with hold(none / "seed3"), hold(none / "seed4"):
        settings = {each.name: each for each in reader.read()}
        totals = {name: [run.pace for run in each.runs if run.pace] for name, each in settings.items()}
        paces = {name: sum(each) / len(each) for name, each in totals.items() if each}
        everywhere = [pace for each in totals.values() for pace in each]
        # One run of none, and five of dropout, none of which has an epoch yet; two at a time.
        expected = (6 * paces["none"] + 5 * 6 * sum(everywhere) / len(everywhere)) / 2
        assert seconds_left(list(settings.values())) == pytest.approx(expected)
        assert seconds_left(list(settings.values()), at_once=3) == pytest.approx(expected * 2 / 3)
    # Runs that ended before the call tell nothing.
    later = SweepReader(study, runs_of(study), since=time.time() + 5)
    with hold(dropout / "seed0"):
        assert seconds_left(later.read()) is None


def test_a_table_of_many_settings_is_as_high_as_it_may_be_and_shows_what_happens(study: Path) -> None:
    settings = {each.name: each for each in SweepReader(study, runs_of(study)).read()}
    whole = settings["weight_decay coefficient=0.001"]
    many = [whole] * 200 + [settings["batchnorm"]] + [whole] * 100
    with hold(next(study.glob("*/none-*")) / "seed3"):
        many.append(SweepReader(study, runs_of(study)).read()[2])
    lines = shown(many, 10)
    assert len(lines) == 10
    assert all(len(line) <= 80 for line in lines)
    assert any(line.startswith("none") and "seed 3: epoch 6 of 6, val 8" in line for line in lines)
    assert any(line.startswith("batchnorm ") for line in lines)
    assert lines[-1].startswith("and 295 more settings: 295 done, 0 left")
    assert overall(many).plain.startswith("1507 done, 1 failed, 1 running, ")


def test_a_setting_s_name_is_shown_as_it_is(study: Path) -> None:
    (whole, *_) = SweepReader(study, runs_of(study)).read()
    named = replace(whole, name="dropout path=[/data/a] crop=[flip] :smile:")
    assert shown([named])[1].startswith(named.name)


def test_of_many_runs_of_a_setting_three_have_a_line(study: Path) -> None:
    (dropout,) = (each for each in SweepReader(study, runs_of(study)).read() if each.name.startswith("dropout"))
    assert shown([dropout]) == [
        "setting        done  under way",
        "dropout p=0.5   0/5  seed 0: stopped in epoch 1 of 6",
        "                     seed 1: stopped in epoch 1 of 6",
        "                     seed 2: stopped in epoch 1 of 6",
        "                     and 2 more",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(44.6, "45 s"), (100, "2 min"), (3590, "1 h 00 min"), (3900, "1 h 05 min"), (2e5, "2 d 7 h")]
)
def test_times_are_written_as_people_say_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
