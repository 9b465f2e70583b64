"""`hydra/launcher=together`: a sweep's runs of one kind as one program, the others one by one."""

import csv
import json
from pathlib import Path

import pytest

from regbench.sweeps.launcher import TogetherLauncher
from regbench.sweeps.together import device_of
from tests.commands import Command
from tests.training.test_loggers import read_wandb

SMALL = ("dataset=digits", "model=mlp_small", "trainer.max_epochs=1", "dataset.train_size=200", "compile=false")


def members(folder: Path) -> dict[str, int | None]:
    """Return how many members each finished run was one of."""
    found = {}
    for path in sorted(folder.glob("*/*/seed*/results.json")):
        results = json.loads(path.read_text())
        assert results["status"] == "finished"
        found[f"{results['setting']} {results['seed']}"] = results["provenance"].get("members")
    return found


def test_a_sweep_trains_together_what_it_can_and_the_rest_alone(command: Command) -> None:
    swept = ("regularizer=none,weight_decay,dropout", "optimizer=adam", "seed=0,1", "study=s", "metrics=f1")
    call = ("-m", *SMALL, *swept, "hydra/launcher=together")
    ended = command("train.py", *call)
    assert ended.status == 0
    study = Path("outputs/sweeps/s")
    assert members(study) == {
        **{f"none {seed}": 4 for seed in (0, 1)},
        **{f"weight_decay {seed}": 4 for seed in (0, 1)},
        **{f"dropout {seed}": 2 for seed in (0, 1)},
    }
    assert "6 done, 0 failed, 0 left" in ended.out
    metrics = [json.loads(path.read_text())["metrics"] for path in study.glob("*/*/seed*/results.json")]
    assert all(each["test/f1"] > 0 for each in metrics)
    again = command("train.py", *call)
    assert "6 runs, 6 of them finished before" in again.out
    report = command("regbench", "report", str(study))
    assert report.status == 0


def test_what_cannot_be_stacked_is_said_once_and_trained_one_by_one(
    command: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = command("train.py", "-m", *SMALL, "seed=0,1", "callbacks=ema,none", "study=s", "hydra/launcher=together")
    assert ended.status == 0
    assert ended.err.count("trained one by one") == 1
    assert "and 1 other runs trained one by one: callbacks.ema: " in ended.err
    assert "EMAWeightAveraging is none of" in ended.err
    found = [json.loads(path.read_text()) for path in Path("outputs/sweeps/s").glob("*/*/seed*/results.json")]
    assert sorted(each["provenance"].get("members", 0) for each in found) == [0, 0, 2, 2]


def test_members_are_logged_each_by_its_own_loggers(command: Command) -> None:
    pytest.importorskip("wandb")
    ended = command("train.py", "-m", *SMALL, "seed=0,1", "study=s", "hydra/launcher=together", "logger=[csv,wandb]")
    assert ended.status == 0
    assert "wandb" not in ended.out + ended.err
    found = [path.parent for path in Path("outputs/sweeps/s").glob("*/*/seed*/results.json")]
    histories = [read_table(each / "history.csv") for each in found]
    assert len(histories) == 2
    assert histories[0]["val/acc"] != histories[1]["val/acc"]
    for folder, history in zip(found, histories, strict=True):
        assert read_table(folder / "csv/metrics.csv")["val/acc"] == history["val/acc"]
        rows, settings = read_wandb(folder / "wandb")
        assert rows[0]["val/acc"] == float(history["val/acc"])
        assert f"seed{settings['seed']}" == folder.name


def read_table(path: Path) -> dict[str, str]:
    """Return the first row of a table."""
    with path.open(newline="") as file:
        return next(csv.DictReader(file))


def test_a_number_of_members_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^hydra\.launcher\.members: expected an integer above 0; received 0$"):
        TogetherLauncher(members=0)


def test_there_is_one_worker_on_cpus() -> None:
    assert TogetherLauncher().most_on_cpus() == 1


def test_an_accelerator_that_is_not_there_is_named() -> None:
    assert device_of("cpu").type == "cpu"
    with pytest.raises(ValueError, match=r"^trainer\.accelerator: expected cpu, or gpu where [^\n]* tpu$"):
        device_of("tpu")
