"""File systems on which locks exclude nobody: found by the mount that a folder is on."""

import contextlib
import re
from functools import cache
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")

# Object stores shown as folders: each machine locks for itself alone. Read from the sources and pages of each.
_OBJECT_STORES = frozenset(
    {"fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.goofys", "fuse.blobfuse", "fuse.blobfuse2", "fuse.mountpoint-s3"}
)
# Options by which network file systems lock for one machine alone (nfs(5), mount.lustre(8)).
_LOCAL_LOCKS = {
    "nfs": frozenset({"nolock", "local_lock=all", "local_lock=flock"}),
    "lustre": frozenset({"localflock"}),
}
_STORES_BY_SOURCE = frozenset({"s3fs", "rclone", "gcsfuse", "goofys", "blobfuse2", "mountpoint-s3"})


def refuse_mount(folder: Path) -> None:
    """Refuse a folder on a file system whose locks exclude nobody.

    Raises:
        ValueError: In one line that names the mount.
    """
    kind, place = mount_of(folder.resolve())
    if kind is not None:
        raise ValueError(
            f"{folder}: expected a file system whose locks exclude other machines (a local disk, NFS 4, Lustre), "
            f"received {kind} mounted at {place}; train on such a one, and copy finished runs there"
        )


def mount_of(folder: Path) -> tuple[str | None, str]:
    """Return what locks for nobody that a folder is on, and its mount; None and an empty text for any other place."""
    best, kind = "", None
    for place, store in _mounts(_stamp()):
        inside = place == "/" or folder == Path(place) or folder.is_relative_to(place)
        if inside and len(place) >= len(best):
            best, kind = place, store
    return kind, best if kind else ""


def _stamp() -> str:
    """Return the table of mounts, which is empty where the system has none to read."""
    with contextlib.suppress(OSError):
        return _MOUNTS.read_text(encoding="utf-8", errors="replace")
    return ""


@cache
def _mounts(table: str) -> tuple[tuple[str, str | None], ...]:
    """Return all mount points, each with what locks for nobody there, if it does (proc_pid_mountinfo(5))."""
    found: list[tuple[str, str | None]] = []
    for line in table.splitlines():
        before, dash, after = line.partition(" - ")
        fields, described = before.split(" "), after.split(" ")
        if not dash or len(fields) < 5 or len(described) < 2:
            continue
        place = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4])  # a space is written \040
        kind, source = described[0], described[1].partition(":")[0]
        is_store = kind in _OBJECT_STORES or (kind.startswith("fuse") and source in _STORES_BY_SOURCE)
        local = _LOCAL_LOCKS.get(kind.rstrip("4"), frozenset()).intersection(",".join(described[2:]).split(","))
        named = f"{kind} with {min(local)}" if local else kind if kind != "fuse" else source
        found.append((place, named if is_store or local else None))
    return tuple(found)
