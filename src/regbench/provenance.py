"""Where a result came from: versions, code, machine."""

import importlib.metadata
import platform
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_PACKAGES = ("regbench", "torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core", "numpy")


def provenance() -> dict[str, Any]:
    """Return versions, the code's commit and whether it was changed since, host and the time in UTC."""
    commit = _git("rev-parse", "HEAD")
    return {
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "git": commit,
        "dirty": bool(_git("status", "--porcelain")) if commit else None,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
    }


def _git(*arguments: str) -> str | None:
    """Return what git says of the code's own checkout; `None` outside one."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
