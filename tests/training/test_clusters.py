"""A run under SLURM, or beside it: a cluster's variables, commands and checkpoints change nothing and print nothing."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from lightning_utilities.core.rank_zero import rank_zero_only

from regbench.runs.run import run
from regbench.storage.schema import HISTORY, TENSORBOARD, WEIGHTS

Composed = Callable[..., dict[str, Any]]
SLURM = {
    "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "1", "SLURM_LOCALID": "1",
    "SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "n1",
}  # fmt: skip


class Handlers(pl.Callback):
    """What SIGUSR1 and SIGUSR2 would do during training."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.found = [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)]


def losses(folder: Path) -> list[list[str]]:
    """The history without its times."""
    return [row.split(",")[:2] + row.split(",")[3:] for row in (folder / HISTORY).read_text().splitlines()]


def size_of_curves(folder: Path) -> int:
    return sum(each.stat().st_size for each in (folder / TENSORBOARD).rglob("events*"))


@pytest.mark.parametrize("tasks", ["1", "2"])
def test_a_fresh_run_under_slurm_starts_from_no_other_runs_checkpoint(
    tasks: str, composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = composed("trainer.max_epochs=2")
    plain = run(tmp_path / "plain", config, [])
    run(tmp_path / "other", composed("seed=1"), [])
    monkeypatch.chdir(tmp_path)
    for name, value in {**SLURM, "SLURM_NTASKS": tasks}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # as Lightning has it where it is imported in task 1
    shutil.copy("other/checkpoints/last.ckpt", "hpc_ckpt_1.ckpt")
    handlers = Handlers()

    found = run(Path("run"), config, [], callbacks=[handlers])

    assert found.metrics == plain.metrics
    assert found.provenance["resumed_after"] is None
    assert losses(Path("run")) == losses(Path("plain"))
    weights = [torch.load(Path(folder) / WEIGHTS, weights_only=True) for folder in ("run", "plain")]
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())
    assert handlers.found == [signal.SIG_DFL, signal.SIG_DFL]
    sizes = [size_of_curves(Path(folder)) for folder in ("run", "plain")]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


def test_srun_on_the_path_changes_and_prints_nothing(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    plain = run(tmp_path / "plain", composed(), [])
    srun = tmp_path / "bin/srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{srun.parent}{os.pathsep}{os.environ['PATH']}")
    assert shutil.which("srun") == str(srun)
    capfd.readouterr()

    found = run(tmp_path / "run", composed(), [])  # warnings are errors here

    assert found.metrics == plain.metrics
    assert capfd.readouterr() == ("", "")
