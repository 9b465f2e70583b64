"""The run folder's lock: waiting or not, deaths that count, holders on other machines, mounts without locks."""

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from regbench.storage import lock, mounts
from regbench.storage.lock import (
    HeldError,
    LockError,
    count_deaths,
    forget_deaths,
    hold,
    is_held,
    is_locked,
    shows_life,
)

MOUNTS = """22 1 8:1 / / rw - ext4 /dev/sda1 rw
31 22 0:41 / /mnt/bucket rw - fuse.s3fs s3fs rw
32 22 0:42 / /mnt/my\\040remote rw - fuse.rclone remote:data rw
33 22 0:43 / /mnt/bucket/inside rw - nfs4 server:/export rw
34 22 0:44 / /mnt/points rw - fuse mountpoint-s3 rw
35 22 0:45 / /mnt/home rw - nfs4 server:/home rw,vers=4.2,local_lock=none
36 22 0:46 / /mnt/scratch rw - nfs server:/scratch rw,vers=3,local_lock=all
37 22 0:47 / /mnt/lustre rw - lustre mgs:/l rw,localflock
a line that is no mount
"""


def other_host(folder: Path, seconds: float, more: str = "") -> None:
    """Leave what a holder on another machine leaves that was last heard of so long ago."""
    (folder / ".holder").write_text(f"process 12 on elsewhere\n{more}")
    then = time.time() - seconds
    os.utime(folder / ".holder", (then, then))


def test_who_does_not_wait_is_told_that_the_run_is_held(tmp_path: Path) -> None:
    with hold(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(HeldError, match=rf"process {os.getpid()} on \S+ works on it$"), hold(tmp_path, wait=False):
            pass
        assert is_held(tmp_path), "a refused process must not take the holder's name away"
    assert not is_locked(tmp_path)
    assert not is_held(tmp_path)


def test_processes_that_die_at_a_run_are_counted_until_one_ends_in_order(tmp_path: Path) -> None:
    assert count_deaths(tmp_path) == 0
    (tmp_path / ".holder").write_text(f"process 1 on {os.uname().nodename}\n")
    assert count_deaths(tmp_path) == 1
    with hold(tmp_path):
        died_again = (tmp_path / ".holder").read_text()
        assert died_again.splitlines()[1] == "deaths 1"
    assert count_deaths(tmp_path) == 0
    (tmp_path / ".holder").write_text(died_again)
    assert count_deaths(tmp_path) == 2


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells when a process started")
def test_a_process_that_was_given_a_dead_holders_number_is_not_taken_for_it(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "20"]) as later:
        with hold(tmp_path):
            text = (tmp_path / ".holder").read_text()
            assert shows_life(tmp_path)
        (tmp_path / ".holder").write_text(text.replace(f"process {os.getpid()} ", f"process {later.pid} "))
        assert not shows_life(tmp_path)
        (tmp_path / ".holder").write_text(f"process {later.pid} on {socket.gethostname()}\n")
        assert shows_life(tmp_path), "files of older versions say no more"
        later.kill()
    assert not shows_life(tmp_path)


def test_deaths_are_forgotten_only_where_nobody_works(tmp_path: Path) -> None:
    with hold(tmp_path):
        forget_deaths(tmp_path)
        assert is_held(tmp_path)
    other_host(tmp_path, 5, "deaths 3\n")  # it may work on, where locks exclude no other machine
    before = (tmp_path / ".holder").stat().st_mtime
    assert count_deaths(tmp_path) == 4
    forget_deaths(tmp_path)
    assert count_deaths(tmp_path) == 1
    assert (tmp_path / ".holder").stat().st_mtime == before
    with pytest.raises(LockError), hold(tmp_path):
        pass
    other_host(tmp_path, lock.SILENCE + 1)
    forget_deaths(tmp_path)
    assert count_deaths(tmp_path) == 0


def test_a_free_lock_beside_a_fresh_holder_elsewhere_is_distrusted_in_one_line(tmp_path: Path) -> None:
    other_host(tmp_path, 5)
    with (
        pytest.raises(
            LockError, match=r"its lock is free, but process 12 on elsewhere was heard of [56] s ago"
        ) as found,
        hold(tmp_path),
    ):
        pass
    assert "\n" not in str(found.value)
    assert (tmp_path / ".holder").read_text() == "process 12 on elsewhere\n"


def test_a_holder_elsewhere_that_is_silent_for_long_is_dead(tmp_path: Path) -> None:
    other_host(tmp_path, lock.SILENCE + 1)
    with hold(tmp_path):
        assert (tmp_path / ".holder").read_text().splitlines()[1] == "deaths 1"


def test_a_holder_shows_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT", 0.02)
    with hold(tmp_path):
        os.utime(tmp_path / ".holder", (0, 0))
        deadline = time.monotonic() + 10
        while (tmp_path / ".holder").stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (tmp_path / ".holder").stat().st_mtime > 0


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/home/a", (None, "")),
        ("/mnt/bucket", ("fuse.s3fs", "/mnt/bucket")),
        ("/mnt/bucket/outputs/runs", ("fuse.s3fs", "/mnt/bucket")),
        ("/mnt/bucketful", (None, "")),
        ("/mnt/my remote/outputs", ("fuse.rclone", "/mnt/my remote")),
        ("/mnt/bucket/inside/outputs", (None, "")),
        ("/mnt/points/x", ("mountpoint-s3", "/mnt/points")),
        ("/mnt/home/x", (None, "")),
        ("/mnt/scratch/x", ("nfs with local_lock=all", "/mnt/scratch")),
        ("/mnt/lustre/x", ("lustre with localflock", "/mnt/lustre")),
    ],
)
def test_places_without_locks_are_told_by_their_mount(
    folder: str, expected: tuple[str | None, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    monkeypatch.setattr(mounts, "_MOUNTS", tmp_path / "mountinfo")
    assert mounts.mount_of(Path(folder)) == expected


def test_a_run_on_an_object_store_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mountinfo").write_text(f"31 22 0:41 / {tmp_path} rw - fuse.s3fs s3fs rw\n")
    monkeypatch.setattr(mounts, "_MOUNTS", tmp_path / "mountinfo")
    run = tmp_path / "run"
    run.mkdir()
    expected = rf"^{run}: expected a file system whose locks .* received fuse\.s3fs mounted at {tmp_path}; [^\n]*$"
    with pytest.raises(ValueError, match=expected), hold(run):
        pass
    assert not list(run.iterdir())


def test_a_system_without_a_table_of_mounts_refuses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "_MOUNTS", tmp_path / "none")
    with hold(tmp_path):
        assert is_held(tmp_path)
