"""Full disks and lost permissions in the middle of a run, on a real file system."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regbench.training.checkpoints import read_checkpoint
from tests.bits import final_bits
from tests.faults import probe
from tests.faults.counts import count
from tests.faults.processes import FOLDER, PROBE, finish, start_until, train
from tests.faults.warm import obey_permissions

pytestmark = [pytest.mark.faults, pytest.mark.slow]

ARGUMENTS = ["regularizer=batchnorm", "trainer.max_epochs=4", PROBE]
POINTS = [("checkpoint", 1), ("checkpoint", 14), ("history", 1), ("results", 1), ("results", 7), ("results", 11)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unbroken run beside which the others are held."""
    folder = tmp_path_factory.mktemp("whole")
    assert train(folder, *ARGUMENTS, FOLDER)[0] == 0
    return folder / "run"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def check_what_is_left(folder: Path) -> None:
    """All that is there is whole: no temporary file, no half checkpoint, nothing that says it is finished."""
    assert not list(folder.rglob("*.tmp"))
    for path in folder.glob("checkpoints/*.ckpt"):
        read_checkpoint(path)
    assert not (folder / "results.json").exists() or '"status": "finished"' not in (folder / "results.json").read_text()


@pytest.mark.parametrize(("phase", "number"), POINTS)
def test_a_full_disk_is_told_by_file_and_what_was_written_before_stays(
    phase: str, number: int, small_disk: Path, whole: Path, tmp_path: Path, record_property: Any
) -> None:
    folder = small_disk / "run"
    arguments = [*ARGUMENTS, f"hydra.run.dir={folder}"]
    process = start_until(tmp_path, phase, number, *arguments)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    (tmp_path / probe.GO_ON).touch()
    status, _, told = finish(process)
    assert status == 1
    assert "No space left on device" in told.splitlines()[-1], told
    assert told.splitlines()[-1].startswith("error: ")
    check_what_is_left(folder)
    filler.unlink()
    status, _, told = train(tmp_path, *arguments)
    assert status == 0, told
    assert final_bits(folder) == final_bits(whole)
    count(record_property, "faults injected: full disk")


@pytest.mark.parametrize(("phase", "number"), POINTS)
def test_a_permission_lost_half_way_is_told_by_file_and_what_was_written_before_stays(
    phase: str, number: int, whole: Path, tmp_path: Path, record_property: Any
) -> None:
    options = {"before": obey_permissions} if os.getuid() == 0 else {}
    folder = tmp_path / "run"
    arguments = [*ARGUMENTS, FOLDER]
    process = start_until(tmp_path, phase, number, *arguments, **options)
    places = [place for place in (folder, folder / "checkpoints") if place.exists()]
    for place in places:
        place.chmod(0o555)
    (tmp_path / probe.GO_ON).touch()
    status, _, told = finish(process)
    for place in places:
        place.chmod(0o755)
    assert status == 1
    assert "Permission denied" in told.splitlines()[-1], told
    assert told.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in told
    for path in folder.glob("checkpoints/*.ckpt"):
        read_checkpoint(path)
    status, _, told = train(tmp_path, *arguments, **options)
    assert status == 0, told
    assert not list(folder.rglob("*.tmp"))
    assert final_bits(folder) == final_bits(whole)
    count(record_property, "faults injected: lost permission")
