"""The table of what finished runs gave: what it spares, and that it never says what the files do not."""

import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from regbench.storage.schema import CONFIG, HISTORY, PREDICTIONS, RESULTS
from regbench.study import Study, load, recipes
from regbench.study.gathered import TABLE, Entry, Table
from regbench.study.stamps import stamp_of

from .synthetic import write_run, write_study

FILES = (RESULTS, CONFIG, HISTORY, PREDICTIONS)
RUNS = 6


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files that were written just now count as settled."""
    monkeypatch.setattr("regbench.study.stamps.SETTLED_NS", -(10**18))


@pytest.fixture
def study(tmp_path: Path, settled: None) -> Path:
    return write_study(tmp_path / "study", {"none": 0.89, "dropout": 0.88}, seeds=range(3), epochs=4)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files of runs that are opened."""
    found: list[Path] = []
    plain = io.open

    def counting(file: object, *arguments: object, **options: object) -> object:
        path = Path(file) if isinstance(file, (str, os.PathLike)) else Path()
        found.extend([path] if path.name in FILES else [])
        return plain(file, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("io.open", counting)
    return found


def run_folder(study: Path, setting: str = "dropout", seed: int = 1) -> Path:
    (folder,) = study.glob(f"*/{setting}-*/seed{seed}")
    return folder


def record(folder: Path, **changes: object) -> None:
    results = json.loads((folder / RESULTS).read_text())
    (folder / RESULTS).write_text(json.dumps(results | changes))


def assert_same(one: Study, other: Study) -> None:
    for name in ("runs", "history", "unfinished"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name))
    for name in ("name", "unverified", "commands", "configs", "provenance"):
        assert getattr(one, name) == getattr(other, name)


def test_a_second_load_opens_no_file_of_a_run_and_gives_the_same(study: Path, opened: list[Path]) -> None:
    first = load(study)
    assert len(opened) == 4 * RUNS
    opened.clear()
    assert_same(load(study), first)
    assert opened == []


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_written_again_is_read_again_and_no_other(study: Path, opened: list[Path], name: str) -> None:
    first = load(study)
    folder = run_folder(study)
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    (folder / name).write_bytes(content)
    opened.clear()
    assert_same(load(study), first)
    assert sorted(set(opened)) == sorted(folder / each for each in FILES)
    opened.clear()
    load(study)
    assert opened == []


def edit(path: Path, old: str, new: str) -> None:
    """Replace text by text of the same length in the file itself, and put back the time of its change."""
    status, content = path.stat(), path.read_bytes()
    assert content.count(old.encode()) >= 1
    with path.open("rb+") as file:
        file.write(content.replace(old.encode(), new.encode()))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


EDITS = {
    "results": (RESULTS, '"seed": 1,', '"seed": 7,', "results.json: seed is 7, but config.yaml says 1"),
    "configuration": (CONFIG, "  seed: 1", "  seed: 7", "results.json: seed is 1, but config.yaml says 7"),
    "history": (HISTORY, "\n3,", "\n5,", "history.csv: epoch: expected 0, 1, 2"),
}


@pytest.mark.parametrize(("name", "old", "new", "reason"), EDITS.values(), ids=EDITS)
def test_an_edit_that_keeps_size_and_time_is_found(study: Path, name: str, old: str, new: str, reason: str) -> None:
    load(study)
    edit(run_folder(study) / name, old, new)
    for _ in range(2):
        (row,) = load(study).unfinished.to_dict("records")
        assert row["reason"].startswith(reason)


def test_other_predictions_of_the_same_size_and_time_are_found(study: Path) -> None:
    load(study)
    path = run_folder(study) / PREDICTIONS
    status = path.stat()
    stored = dict(np.load(path))
    np.savez(path, **(stored | {"logits": np.roll(stored["logits"], 1, axis=1)}))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    for _ in range(2):
        assert load(study).unfinished["status"].tolist() == ["mismatch"]


def test_predictions_that_are_gone_or_come_back_are_noticed(study: Path) -> None:
    load(study)
    path = run_folder(study) / PREDICTIONS
    path.rename(study / "aside")
    assert [study / place for place in load(study).unverified] == [path.parent]
    assert [study / place for place in load(study).unverified] == [path.parent]
    (study / "aside").rename(path)
    assert load(study).unverified == []


def test_a_run_that_was_started_again_is_no_longer_finished(study: Path) -> None:
    load(study)
    (run_folder(study) / RESULTS).unlink()
    assert load(study).unfinished["status"].tolist() == ["interrupted"]


def test_a_copied_study_is_read_anew_and_a_moved_one_is_not(study: Path, tmp_path: Path, opened: list[Path]) -> None:
    load(study)
    shutil.copytree(study, tmp_path / "copy")
    opened.clear()
    load(tmp_path / "copy")
    assert len(set(opened)) == 4 * RUNS
    study.rename(tmp_path / "moved")
    opened.clear()
    assert len(load(tmp_path / "moved").runs) == RUNS
    assert opened == []


def test_what_was_written_just_now_is_not_remembered(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", {"none": 0.9}, range(2), epochs=1)
    load(study)
    assert not (study / TABLE).exists()


def test_a_run_that_changes_while_it_is_read_is_not_remembered(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run_folder(study)
    plain = np.lib.format.read_array

    def read(*arguments: object, **options: object) -> object:
        os.utime(folder / RESULTS)
        return plain(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("numpy.lib.format.read_array", read)
    load(study)
    table = Table(study)
    stamps = {each.relative_to(study).as_posix(): stamp_of(each) or b"" for each in study.glob("*/*/seed*")}
    assert set(stamps) - set(table.find(stamps)) == {folder.relative_to(study).as_posix()}
    table.close()


def overwrite(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def execute(*statements: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        connection = sqlite3.connect(path)
        with connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    return change


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": overwrite(b""),
    "no database": overwrite(b"version: 1\n" * 1000),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:9000]),
    "overwritten in the middle": lambda path: path.write_bytes(
        path.read_bytes()[:4096] + b"\xff" * 8192 + path.read_bytes()[12288:]
    ),
    "another version": execute("PRAGMA user_version = 99"),
    "another table": execute("CREATE TABLE more (name TEXT)"),
    "a view": execute("ALTER TABLE runs RENAME TO old", "CREATE VIEW runs AS SELECT * FROM old"),
    "a trigger": execute("CREATE TRIGGER more AFTER INSERT ON runs BEGIN DELETE FROM shared; END"),
    "no shared texts": execute("DELETE FROM shared"),
    "other types": execute("UPDATE runs SET content = 1, history = 'a', stamp = NULL"),
    "other content": execute("UPDATE runs SET content = replace(content, '0.8', '0.7')"),
    "other numbers": execute("UPDATE runs SET history = zeroblob(length(history))"),
    "another's entry": execute(
        "UPDATE runs SET content = (SELECT content FROM runs LIMIT 1), history = (SELECT history FROM runs LIMIT 1)"
    ),
    "not there": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_table_is_made_again(study: Path, opened: list[Path], damage: Callable[[Path], object]) -> None:
    first = load(study)
    damage(study / TABLE)
    opened.clear()
    assert_same(load(study), first)
    assert opened
    opened.clear()
    assert_same(load(study), first)
    assert opened == []


def test_a_folder_in_the_tables_place_is_left_alone(study: Path) -> None:
    first = load(study)
    replace_by_folder(study / TABLE)
    assert_same(load(study), first)
    assert (study / TABLE).is_dir()


def test_a_link_in_the_tables_place_is_not_followed(study: Path, tmp_path: Path) -> None:
    first = load(study)
    (study / TABLE).rename(tmp_path / "elsewhere")
    (study / TABLE).symlink_to(tmp_path / "elsewhere")
    content = (tmp_path / "elsewhere").read_bytes()
    assert_same(load(study), first)
    assert (tmp_path / "elsewhere").read_bytes() == content
    assert not (study / TABLE).is_symlink()


FORGED = {
    "an unfinished run": lambda content: content["results"] | {"status": "failed"},
    "an accuracy in percent": lambda content: content["results"] | {"metrics": {"test/acc": 89.0, "train/acc": 0.9}},
    "a number beyond 64 bits": lambda content: content["results"] | {"parameters": 2**70},
    "an epoch that is none": lambda content: content["results"] | {"best_epoch": 99},
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_an_entry_that_no_run_leaves_is_not_believed(study: Path, forge: Callable[[dict], object]) -> None:
    first = load(study)
    folder = run_folder(study)
    name, stamp = folder.relative_to(study).as_posix(), stamp_of(folder)
    table = Table(study)
    assert stamp is not None
    entry = table.find({name: stamp})[name]
    content = json.loads(entry.content)
    table.add(name, Entry(stamp, json.dumps(content | {"results": forge(content)}), entry.history), [])
    table.save([each.relative_to(study).as_posix() for each in study.glob("*/*/seed*")])
    table.close()
    assert_same(load(study), first)


def test_an_entry_whose_numbers_contradict_each_other_is_a_mismatch_as_files_are(study: Path) -> None:
    load(study)
    folder = run_folder(study)
    name, stamp = folder.relative_to(study).as_posix(), stamp_of(folder)
    table = Table(study)
    assert stamp is not None
    entry = table.find({name: stamp})[name]
    table.add(name, Entry(stamp, entry.content.replace('"gap":', '"gap":1'), entry.history), [])
    table.save([name])
    table.close()
    assert load(study).unfinished["status"].tolist() == ["mismatch"]


def test_a_folder_that_cannot_be_written_is_read_all_the_same(
    study: Path, opened: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr("tempfile.TemporaryFile", refuse)
        patch.setattr("tempfile.mkstemp", refuse)
        first = load(study)
    assert not (study / TABLE).exists()
    load(study)
    content = (study / TABLE).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.TemporaryFile", refuse)
        patch.setattr("tempfile.mkstemp", refuse)
        opened.clear()
        assert_same(load(study), first)
        assert opened == []
        os.utime(run_folder(study) / RESULTS)
        assert_same(load(study), first)
    assert (study / TABLE).read_bytes() == content


def test_a_full_disk_leaves_the_table_as_it_was(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(study)
    content = (study / TABLE).read_bytes()

    def refuse(*arguments: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("regbench.study.gathered._fill", refuse)
    os.utime(run_folder(study) / RESULTS)
    assert_same(load(study), first)
    assert (study / TABLE).read_bytes() == content
    assert not list(study.glob(".*.tmp"))


def test_processes_that_read_one_study_at_once_all_read_it_right(study: Path) -> None:
    script = (
        "import sys; from regbench.study import load, stamps; stamps.SETTLED_NS = -(10**18)\n"
        "import pathlib\n"
        "for turn in range(5):\n"
        "    pathlib.Path(sys.argv[1], '.results.sqlite').unlink(missing_ok=True)\n"
        "    runs = load(sys.argv[1]).runs\n"
        "    print(len(runs), repr(float(runs['test/acc'].sum())))\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(study)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    expected = load(study).runs
    lines = [line for process in processes for line in process.communicate()[0].splitlines()]
    assert set(lines) == {f"{RUNS} {float(expected['test/acc'].sum())!r}"}
    assert len(lines) == 15
    assert [process.returncode for process in processes] == [0, 0, 0]


def test_a_lone_run_gets_no_table(study: Path) -> None:
    folder = run_folder(study)
    assert len(load(folder).runs) == 1
    assert not list(study.rglob(TABLE))


def test_each_study_has_a_table_of_its_own_wherever_it_is_read_from(
    tmp_path: Path, settled: None, opened: list[Path]
) -> None:
    one = write_study(tmp_path / "sweeps/one", {"none": 0.9}, range(2), epochs=1)
    write_study(tmp_path / "sweeps/two", {"none": 0.9}, range(2), epochs=1)
    write_run(tmp_path / "sweeps/three", epochs=1)
    first = load(tmp_path / "sweeps")
    assert sorted(each.parent.name for each in tmp_path.rglob(TABLE)) == ["one", "sweeps", "two"]
    opened.clear()
    assert_same(load(tmp_path / "sweeps"), first)
    assert len(load(one).runs) == 2
    assert opened == []


def test_runs_that_are_gone_are_forgotten(study: Path) -> None:
    load(study)
    gone = run_folder(study)
    stamps = {gone.relative_to(study).as_posix(): stamp_of(gone) or b""}
    shutil.rmtree(gone)
    os.utime(run_folder(study, seed=2) / RESULTS)
    table = Table(study)
    assert len(table.find(stamps)) == 1
    table.close()
    assert len(load(study).runs) == RUNS - 1
    table = Table(study)
    assert table.find(stamps) == {}
    table.close()


def test_a_configuration_that_json_cannot_hold_is_read_each_time(tmp_path: Path, settled: None) -> None:
    study = write_study(tmp_path / "study", {"none": 0.9}, range(2), epochs=1, overrides={"model.scale": float("nan")})
    for _ in range(2):
        loaded = load(study)
        assert (len(loaded.runs), len(loaded.unfinished)) == (2, 0)


def test_runs_that_differ_in_the_seed_alone_are_parsed_once(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    plain = recipes.parse_config
    monkeypatch.setattr("regbench.study.recipes.parse_config", lambda text: parsed.append(text) or plain(text))
    loaded = load(study)
    assert sorted(loaded.runs["seed"]) == [0, 0, 1, 1, 2, 2]
    assert len(parsed) == 2 * 2  # each setting's first run, and once more with another seed to see what it changes


SEEDS = {
    "usual": "overrides:\n- seed={}\nconfig:\n  model: {{name: a}}\n  seed: {}\n",
    "no override": "overrides: []\nconfig:\n  seed: {1}\n  b: 1\n",
    "other override": "overrides:\n- dataset.split_seed={}\nconfig:\n  seed: {}\n",
    "a line of a text": "overrides:\n- |\n  seed: {}\n- seed={}\nconfig:\n  b: 1\n",
    "a key of another mapping": "overrides: []\nconfig:\n  b: 1\ncode:\n  seed: {}\n",
    "an alias": "overrides: []\nconfig:\n  seed: {}\n  other: &x {}\n  again: *x\n",
    "two": "overrides: []\nconfig:\n  seed: {}\n  b: 1\n  seed: {}\n",
}


@pytest.mark.parametrize("text", SEEDS.values(), ids=SEEDS)
def test_what_is_read_with_another_seed_is_what_its_own_text_says(text: str) -> None:
    known = recipes.Recipes()
    for seed in (0, 1, 17, 10**17, 3):
        content = text.format(seed, seed).encode()
        _, stored = known.read(content)
        assert stored == recipes.parse_config(content)
