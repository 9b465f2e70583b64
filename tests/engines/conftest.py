import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.engines.sweeps import SEARCH, STUDY
from tests.faults.processes import finish, start, start_tune

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


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of a search by one worker of this machine."""
    folder = tmp_path_factory.mktemp("unbroken")
    status, out, told = finish(start_tune(folder, *SEARCH[1:], "hydra/launcher=basic"))
    assert status == 0, out + told
    return folder / STUDY


@pytest.fixture
def begin() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `train.py`, or `regbench tune` for arguments that begin so; what a failed test leaves of it is ended."""
    begun: list[subprocess.Popen[str]] = []

    def call(folder: Path, *arguments: str) -> subprocess.Popen[str]:
        tunes = arguments[0] == "tune"
        begun.append(start_tune(folder, *arguments[1:]) if tunes else start(folder, *arguments))
        return begun[-1]

    yield call
    for process in begun:
        if process.stdout and not process.stdout.closed:
            process.kill()
            finish(process)
