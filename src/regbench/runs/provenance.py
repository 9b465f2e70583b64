"""Provenance of a result: versions, commit, machine."""

import importlib.metadata
import platform
import socket
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from regbench.config.fingerprint import recorded_code
from regbench.storage.results import RunResults

_CORE = ("regbench", "torch", "torchvision", "pytorch-lightning", "numpy")
_PACKAGES = ("regbench", "torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "numpy")


def provenance(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return versions, the code that a configuration names, commit, changes to it, host and the time in UTC."""
    commit = _git("rev-parse", "HEAD")
    return {
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "code": recorded_code(config),
        "python": platform.python_version(),
        "git": commit,
        "dirty": bool(_git("status", "--porcelain")) if commit else None,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
    }


def other_versions(results: RunResults) -> str:
    """Say with which other versions of the core packages a run was trained: `torch 2.13.0; here 2.14.1`, or nothing."""
    recorded = results.provenance.get("versions")
    then = recorded if isinstance(recorded, Mapping) else {}
    now = {name: importlib.metadata.version(name) for name in _CORE}
    differing = [name for name in _CORE if name in then and then[name] != now[name]]
    if not differing:
        return ""
    return (
        f"{', '.join(f'{name} {then[name]}' for name in differing)}; here {', '.join(now[name] for name in differing)}"
    )


def _git(*arguments: str) -> str | None:
    """Return what git says of the code's own checkout; `None` outside one."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
