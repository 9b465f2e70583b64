import multiprocessing
import os
import threading
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from regbench.storage.files import replace_file, write_json, write_text
from regbench.storage.lock import hold
from regbench.storage.results import DamagedError, is_finished, read_results


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "results.json"
    write_json(target, {"status": "finished"})

    def broken(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_file(target, broken)
    assert target.read_text() == '{\n  "status": "finished"\n}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_json_refuses_what_json_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_written_files_can_be_read_by_others_as_the_umask_says(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff"])
def test_a_damaged_results_file_is_no_finished_run(content: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(DamagedError, match=r"^results.json: "):
        read_results(tmp_path)
    assert not is_finished(tmp_path)


def hold_until(folder: Path, held: Event, release: Event) -> None:
    with hold(folder):
        held.set()
        release.wait(30)


def test_a_second_process_waits_and_names_the_first_and_a_dead_ones_lock_is_free(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    first = context.Process(target=hold_until, args=(tmp_path, held, release))
    first.start()
    assert held.wait(30)
    killer = threading.Timer(0.5, first.kill)
    killer.start()
    with hold(tmp_path):
        pass
    first.join(10)
    assert not release.is_set()
    assert f"waiting for {tmp_path}: process {first.pid} on" in capsys.readouterr().err
