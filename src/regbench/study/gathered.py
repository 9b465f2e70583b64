"""The table of what was gathered from a study's finished runs, `.results.sqlite`: a memory, never the only copy.

It is one file that is only ever replaced as a whole and read without locks, so that any number of processes may read
and write at once: a reader sees one writer's table or another's, and what a lost one held is gathered again. A file
that is damaged, of another version, or not made by this module counts as none.
"""

import hashlib
import os
import sqlite3
import stat
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from regbench.storage.files import replace_file

TABLE = ".results.sqlite"

# Raise it when an entry's content or what is computed of predictions changes.
_VERSION = 2
_SCHEMA = (
    "CREATE TABLE runs (name BLOB PRIMARY KEY, stamp BLOB, content TEXT, history BLOB, digest BLOB)",
    "CREATE TABLE shared (digest BLOB PRIMARY KEY, content TEXT) WITHOUT ROWID",
)
_MOST_BYTES = 1 << 26


class Entry(NamedTuple):
    """What the table has of one run.

    Attributes:
        stamp: Of the files that it was read from.
        content: JSON.
        history: The history's numbers.
    """

    stamp: bytes
    content: str
    history: bytes


class Table:
    """A study's table, as it was when it was opened, with what is to be added to it.

    Args:
        folder: The study's; a table that cannot be read is empty, one that cannot be written stays as it is.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / TABLE
        self._connection = _open(self._path)
        self._entries: dict[bytes, Entry] = {}
        self._texts: dict[bytes, str] = {}

    def find(self, stamps: Mapping[str, bytes]) -> dict[str, Entry]:
        """Return the entries that the table has whole of runs with these stamps, by name.

        Args:
            stamps: By name; of 1,000 runs at most.
        """
        if self._connection is None or not stamps:
            return {}
        names = {os.fsencode(name): name for name in stamps}
        wanted = [each for key, name in names.items() for each in (key, stamps[name])]
        try:
            # Others' contents are not even looked at.
            rows = self._connection.execute(
                f"WITH wanted(name, stamp) AS (VALUES {', '.join(['(?, ?)'] * len(names))}) "
                "SELECT runs.name, runs.stamp, content, history, digest FROM wanted CROSS JOIN runs "
                "ON runs.name = wanted.name AND runs.stamp = wanted.stamp",
                wanted,
            ).fetchall()
        except (sqlite3.Error, MemoryError):
            self.close()
            return {}
        return {names[row[0]]: Entry(*row[1:4]) for row in rows if _is_whole(row)}

    def text(self, digest: bytes) -> str | None:
        """Return a text that many entries share; None where the table does not have it."""
        if self._connection is None:
            return None
        try:
            row = self._connection.execute("SELECT content FROM shared WHERE digest = ?", (digest,)).fetchone()
        except (sqlite3.Error, MemoryError):
            self.close()
            return None
        return row[0] if row and isinstance(row[0], str) and digest_of(row[0]) == digest else None

    def add(self, name: str, entry: Entry, texts: Sequence[str]) -> None:
        """Add or replace a run's entry, with the texts that it shares with others, by their `digest_of`.

        One that is larger than any run's is left out.
        """
        if len(entry.content) + len(entry.history) > _MOST_BYTES // 2 or any(len(text) > _MOST_BYTES for text in texts):
            return
        self._entries[os.fsencode(name)] = entry
        self._texts.update((digest_of(text), text) for text in texts)

    def save(self, present: Collection[str]) -> None:
        """Write what was added; runs that are not present are forgotten then. Where that is not possible, nothing is.

        Args:
            present: The names of all runs that there are.
        """
        if not self._entries:
            return
        names = {os.fsencode(name) for name in present}
        try:
            replace_file(self._path, lambda path: _write(path, self._path, self._entries, self._texts, names))
        except (OSError, sqlite3.Error):
            return
        self._entries.clear()

    def close(self) -> None:
        """Read no more."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def digest_of(text: str) -> bytes:
    """Return what a shared text is called in the table."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _open(path: Path) -> sqlite3.Connection | None:
    """Open a table for reading; None where there is none that this module has made."""
    connection = None
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        connection = sqlite3.connect(_address(path, "mode=ro&immutable=1"), uri=True)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        found = connection.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name").fetchall()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except (OSError, sqlite3.Error, MemoryError):
        found, version = [], None
    if connection is not None and (version, [sql for (sql,) in found]) != (_VERSION, list(_SCHEMA)):
        connection.close()
        return None
    return connection


def _write(
    path: Path, before: Path, entries: Mapping[bytes, Entry], texts: Mapping[bytes, str], present: Collection[bytes]
) -> None:
    """Write a new table of these entries, and of those before that they do not replace and whose runs are present."""
    opened = _open(before)
    if opened is not None:
        opened.close()
    try:
        _fill(path, before if opened is not None else None, entries, texts, present)
    except sqlite3.DatabaseError:
        if opened is None:
            raise
        path.write_bytes(b"")
        _fill(path, None, entries, texts, present)


def _fill(
    path: Path,
    before: Path | None,
    entries: Mapping[bytes, Entry],
    texts: Mapping[bytes, str],
    present: Collection[bytes],
) -> None:
    with closing(sqlite3.connect(_address(path, "mode=rw"), uri=True, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA temp_store = MEMORY")
        if before is not None:
            connection.execute("ATTACH ? AS before", (_address(before, "mode=ro&immutable=1"),))
        connection.execute("BEGIN")
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        for statement in _SCHEMA:
            connection.execute(statement)
        rows = ((name, *entry, _digest((name, *entry))) for name, entry in entries.items())
        connection.executemany("INSERT INTO runs VALUES (?, ?, ?, ?, ?)", rows)
        connection.executemany("INSERT INTO shared VALUES (?, ?)", texts.items())
        if before is not None:
            connection.execute("CREATE TEMP TABLE present (name BLOB PRIMARY KEY)")
            connection.executemany("INSERT INTO present VALUES (?)", ((name,) for name in present))
            connection.execute(
                "INSERT OR IGNORE INTO main.runs SELECT * FROM before.runs WHERE name IN (SELECT name FROM present)"
            )
            connection.execute("INSERT OR IGNORE INTO main.shared SELECT * FROM before.shared")
        connection.execute("COMMIT")


def _address(path: Path, options: str) -> str:
    return f"file:{quote(os.fsencode(path.absolute()))}?{options}"


def _is_whole(row: tuple[object, ...]) -> bool:
    name, stamp, content, history, digest = row
    if not isinstance(name, bytes) or not isinstance(stamp, bytes) or not isinstance(history, bytes):
        return False
    return isinstance(content, str) and _digest((name, stamp, content, history)) == digest


def _digest(values: tuple[bytes, bytes, str, bytes]) -> bytes:
    """Return a digest of an entry, by which a part that was damaged is told."""
    hashed = hashlib.blake2b(digest_size=16)
    for value in values:
        part = value.encode() if isinstance(value, str) else value
        hashed.update(len(part).to_bytes(8, "little"))
        hashed.update(part)
    return hashed.digest()
