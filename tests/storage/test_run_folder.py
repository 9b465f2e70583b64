import multiprocessing
import os
import threading
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from regbench.storage.configs import read_config
from regbench.storage.files import read_bytes, replace_file, write_json, write_text
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


def test_a_pipe_a_device_and_a_file_too_large_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name in ("pipe", "endless"):
        with pytest.raises(OSError, match="expected a regular file"):
            read_bytes(tmp_path / name)
    (tmp_path / "large").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("large")
    assert read_bytes(tmp_path / "link") == b"12345"
    with pytest.raises(OSError, match="expected at most 4 bytes, received 5"):
        read_bytes(tmp_path / "large", most=4)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "missing")


def test_results_and_configuration_that_are_pipes_are_damaged(tmp_path: Path) -> None:
    for name, read in (("results.json", read_results), ("config.yaml", read_config)):
        os.mkfifo(tmp_path / name)
        with pytest.raises(DamagedError, match=rf"^{name}: expected a regular file$"):
            read(tmp_path)


DAMAGED = {
    "a date that is none": ("seed: 2026-13-45", "not YAML, month must be in"),
    "a truth that is none": ("seed: !!bool maybe", "not YAML, "),
    "a set": ("seed: !!set {a}", "expected numbers, texts, lists and mappings alone, received {'a'}"),
    "a number beyond 64 bits": (f"seed: {2**63}", "expected numbers, texts, lists and mappings alone, received 9223"),
    "a trainer that is a list": ("trainer: [1]", r"trainer: expected keys and values, received \[1\]"),
    "a technique named by a number": ("regularizer: {1: 2}", "regularizer: expected keys and values, received {1: 2}"),
    "merged keys": ("dataset: {<<: {a: 1}}", "not YAML, expected no merge key <<"),
}


@pytest.mark.parametrize(("line", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_configuration_that_no_run_writes_is_damaged(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"overrides: []\nconfig:\n  {line}\n")
    with pytest.raises(DamagedError, match=f"^config.yaml: {message}"):
        read_config(tmp_path)


def test_overrides_that_are_no_list_are_damaged(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("overrides: 5\nconfig: {}\n")
    with pytest.raises(DamagedError, match=r"^config\.yaml: overrides: expected a list, received 5"):
        read_config(tmp_path)


def test_a_number_that_no_table_holds_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(f'{{"schema": 2, "status": "failed", "parameters": {2**63}}}')
    with pytest.raises(DamagedError, match=r"^results.json: parameters: expected a number of at most 64 bits"):
        read_results(tmp_path)
