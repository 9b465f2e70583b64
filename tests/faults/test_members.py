"""Runs trained together whose process is killed: the same bits as unbroken, for each member."""

import os
import random
import re
import signal
import time
from pathlib import Path

import pytest

from tests.bits import final_bits
from tests.faults.processes import finish, start, wait

SWEEP = ["-m", "study=s", "hydra/launcher=together", "model=mlp_small", "trainer.max_epochs=12", "seed=range(4)"]
SWEEP += ["regularizer=[augmentation,batchnorm,dropout]"]
SEED = int(os.environ.get("FAULTS_SEED", "0"))


def folders(cwd: Path) -> list[Path]:
    return sorted(cwd.glob("outputs/sweeps/s/*/*/seed*"))


def worker(cwd: Path) -> int:
    """Return the process that works on the members."""
    holders = {path.read_text() for path in cwd.glob("outputs/sweeps/s/*/*/seed*/.holder")}
    (number,) = {int(re.findall(r"process (\d+)", text)[0]) for text in holders}
    return number


def is_under_way(cwd: Path) -> bool:
    return any((each / "checkpoints/last.ckpt").exists() for each in folders(cwd))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder of the sweep that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    assert finish(start(folder, *SWEEP))[0] == 0
    return folder


@pytest.mark.faults
@pytest.mark.parametrize("moment", range(3))
def test_members_whose_worker_is_killed_and_whose_sweep_is_stopped_end_in_the_same_bits(
    moment: int, whole: Path, tmp_path: Path
) -> None:
    broken, patience = tmp_path / "broken", random.Random(SEED + moment)
    process = start(broken, *SWEEP)
    wait(lambda: is_under_way(broken), process)
    time.sleep(patience.uniform(0, 0.5))
    os.kill(worker(broken), signal.SIGKILL)  # another worker takes the members up
    time.sleep(patience.uniform(3, 6))
    process.send_signal(signal.SIGTERM)
    _, out, err = finish(process)
    assert "a worker was killed: another one takes up its run" in err

    status, out, err = finish(start(broken, *SWEEP))
    assert (status, "4 done, 0 failed, 0 left" in out) == (0, True), err
    names = [path.relative_to(whole) for path in folders(whole)]
    assert len(names) == 4
    assert names == [path.relative_to(broken) for path in folders(broken)]
    assert all(final_bits(whole / name) == final_bits(broken / name) for name in names)
