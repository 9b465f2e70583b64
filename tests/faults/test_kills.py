"""SIGKILL at real processes: at chosen points of every phase, and at random times."""

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from regbench.config.composing import CONFIGS
from tests.bits import final_bits
from tests.faults.counts import count
from tests.faults.processes import FOLDER, PROBE, finish, kill_at, start_run, train

pytestmark = [pytest.mark.faults, pytest.mark.slow]

SEED = int(os.environ.get("FAULTS_SEED", "1998"))
EPOCHS = 6
ALL = ",".join(sorted({path.stem for path in (CONFIGS / "regularizer").glob("*.yaml")} - {"none"}))
SETTINGS = {
    "none": ["regularizer=none"],
    "dropout": ["regularizer=dropout", "optimizer=sgd", "scheduler=cosine"],
    "batchnorm": ["regularizer=[batchnorm,weight_decay]", "optimizer=adamw", "monitor=val/loss"],
    "all": [f"regularizer=[{ALL}]", "scheduler=cosine"],
    "unvalidated": ["regularizer=batchnorm", "dataset.val_size=0"],
    "compiled": ["regularizer=dropout", "compile=true", "model=mlp_small"],
    "callbacks": ["callbacks=[early_stopping,ema]", "regularizer=batchnorm"],
    "averaged": ["callbacks=stochastic_weight_averaging", "optimizer=muon"],
}
# The highest number of a point that every call reaches which has two epochs to go.
POINTS = {"training": 8, "validation": 12, "checkpoint": 14, "results": 15}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_run_killed_in_each_phase_ends_in_the_same_bits(setting: str, tmp_path: Path, record_property: Any) -> None:
    chance = random.Random(f"{SEED} {setting}")
    arguments = [*SETTINGS[setting], f"trainer.max_epochs={EPOCHS}", PROBE, FOLDER]
    assert train(tmp_path / "whole", *arguments)[0] == 0
    before = ["training", "validation", "checkpoint"]
    chance.shuffle(before)
    for phase in (*before, "results"):
        number = chance.randint(1, POINTS[phase])
        print(f"FAULTS_SEED={SEED}: killed in {phase}, point {number}")
        kill_at(tmp_path / "broken", phase, number, *arguments)
    status, _, told = train(tmp_path / "broken", *arguments)
    assert status == 0, told
    assert final_bits(tmp_path / "broken/run") == final_bits(tmp_path / "whole/run")
    assert not list((tmp_path / "broken/run").rglob("*.tmp"))
    for phase in POINTS:
        count(record_property, f"kills survived in {phase}")
    count(record_property, "runs lost", 0)


@pytest.mark.parametrize("part", range(2))
def test_a_run_killed_at_random_times_loses_at_most_one_epoch_each_time(
    part: int, tmp_path: Path, record_property: Any
) -> None:
    chance = random.Random(f"{SEED} times {part}")
    slow = ["+regularizer.slow._target_=tests.faults.probe.Slow", "+regularizer.slow.seconds=0.1"]
    arguments = ["regularizer=[batchnorm,dropout]", "scheduler=cosine", "trainer.max_epochs=12", *slow, FOLDER]
    assert train(tmp_path / "whole", *arguments)[0] == 0
    folder = tmp_path / "broken/run"
    kills = 0
    for _ in range(4):
        process = start_run(tmp_path / "broken", *arguments)
        rows = len(_epochs(folder))
        while len(_epochs(folder)) == rows and process.poll() is None:
            time.sleep(0.01)
        delay = chance.uniform(0, 1.2)
        time.sleep(delay)
        done = len(_epochs(folder))
        print(f"FAULTS_SEED={SEED}: killed {delay:.3f} s after an epoch, with {done} epochs done")
        process.kill()
        finish(process)
        kills += 1
    status, _, told = train(tmp_path / "broken", *arguments)
    assert status == 0, told
    if "is finished" not in told and done < 12:
        after = json.loads((folder / "results.json").read_text())["provenance"]["resumed_after"]
        assert after >= done - 1
    assert final_bits(folder) == final_bits(tmp_path / "whole/run")
    count(record_property, "kills survived at random times", kills)
    count(record_property, "runs lost", 0)


def _epochs(folder: Path) -> list[str]:
    try:
        return (folder / "history.csv").read_text().splitlines()[1:]
    except OSError:
        return []
