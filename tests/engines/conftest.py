import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults.processes import finish, start

CLUSTER = Path(__file__).with_name("slurm-two-nodes.sh")


def free_ports(number: int) -> list[int]:
    """Return ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run a SLURM cluster of two nodes, which SLURM's commands find."""
    if not all(map(shutil.which, ("slurmctld", "slurmd", "sbatch"))):
        pytest.skip("needs SLURM: apt-get install slurm-wlm")
    folder = tmp_path_factory.mktemp("slurm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        for name in [name for name in os.environ if name.startswith(("SLURM_JOB", "SBATCH_"))]:
            patch.delenv(name)
        subprocess.run([CLUSTER, "start", folder, *map(str, free_ports(3))], check=True)
        try:
            yield
        finally:
            subprocess.run([CLUSTER, "stop", folder], check=True)


@pytest.fixture
def begin() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `train.py`; what a failed test leaves of it is ended."""
    begun: list[subprocess.Popen[str]] = []

    def call(*arguments: Any) -> subprocess.Popen[str]:
        begun.append(start(*arguments))
        return begun[-1]

    yield call
    for process in begun:
        if process.stdout and not process.stdout.closed:
            process.kill()
            finish(process)
