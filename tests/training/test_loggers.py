"""Loggers: what the real packages have of a run that was stopped, offline and read back from their own files."""

import csv
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from regbench.config import compose
from regbench.config.identity import config_hash
from regbench.runs.run import run

Composed = Callable[..., dict[str, Any]]

ALL = "logger=[tensorboard,csv,mlflow,wandb]"
QUICK = [
    *("dataset=digits", "dataset.train_size=100", "dataset.val_size=50", "model=mlp_small", "threads=1"),
    *("regularizer=dropout", "trainer.max_epochs=3", "seed=4"),
]


class Stop(pl.Callback):
    """Stops a run in the middle of its third epoch."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 2:
            raise RuntimeError("stopped")


class Resumed(NamedTuple):
    """A run that was logged by some, stopped, and resumed with all loggers; what the second call printed."""

    folder: Path
    store: str
    printed: str


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Resumed:
    import contextlib
    import io

    pytest.importorskip("mlflow")
    pytest.importorskip("wandb")
    folder = tmp_path_factory.mktemp("logged")
    store = f"sqlite:///{folder}/store/mlflow.db"
    place = [f"logger.mlflow.tracking_uri={store}", f"logger.mlflow.artifact_location={folder}/store"]
    with pytest.raises(RuntimeError, match="stopped"):
        run(folder / "run", compose([*QUICK, *place, "logger=[csv,mlflow]"]), callbacks=[Stop()])
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        run(folder / "run", compose([*QUICK, *place, ALL]))
    return Resumed(folder / "run", store, told.getvalue())


def history(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def chosen(folder: Path) -> dict[str, float]:
    metrics = json.loads((folder / "results.json").read_text())["metrics"]
    return {f"chosen/{name}": value for name, value in metrics.items()}


def test_the_table_of_csv_has_every_epoch_once_the_chosen_scores_and_the_hyperparameters(resumed: Resumed) -> None:
    with (resumed.folder / "csv/metrics.csv").open(newline="") as file:
        *epochs, last = csv.DictReader(file)
    assert [int(row["step"]) for row in (*epochs, last)] == [1, 2, 3, 4]
    for row, expected in zip(epochs, history(resumed.folder), strict=True):
        assert {name: float(row[name]) for name in expected if name != "epoch"} == {
            name: value for name, value in expected.items() if name != "epoch"
        }
    assert {name: float(last[name]) for name in chosen(resumed.folder)} == chosen(resumed.folder)
    parameters = (resumed.folder / "csv/hparams.yaml").read_text()
    for line in ("setting: dropout", "regularizer.dropout.p: 0.5", "optimizer.lr: 0.001", "seed: 4"):
        assert f"{line}\n" in parameters


def test_mlflows_store_has_one_run_with_every_epoch_once(resumed: Resumed) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(resumed.store)
    (found,) = client.search_runs([client.get_experiment_by_name("regbench").experiment_id])
    assert found.info.status == "FINISHED"
    assert found.info.run_name.startswith("digits-mlp_small/dropout-")
    assert found.data.params["regularizer.dropout.p"] == "0.5"
    assert found.data.params["seed"] == "4"
    assert (resumed.folder / "mlflow_run.txt").read_text() == f"{found.info.run_id}\n"
    for name in ("train/objective", "val/acc", "lr"):
        logged = [(each.step, each.value) for each in client.get_metric_history(found.info.run_id, name)]
        assert sorted(logged) == [(int(row["epoch"]) + 1, row[name]) for row in history(resumed.folder)]
    assert found.data.metrics["chosen/test/acc"] == chosen(resumed.folder)["chosen/test/acc"]


def test_wandb_has_an_offline_run_with_every_epoch_once(resumed: Resumed) -> None:
    rows, settings = read_wandb(resumed.folder / "wandb")
    epochs = [row for row in rows if "val/acc" in row]
    assert [(row["trainer/global_step"], row["val/acc"]) for row in epochs] == [
        (row["epoch"] + 1, row["val/acc"]) for row in history(resumed.folder)
    ]
    (last,) = [row for row in rows if "chosen/test/acc" in row]
    assert last["chosen/test/acc"] == chosen(resumed.folder)["chosen/test/acc"]
    assert settings["regularizer.dropout.p"] == 0.5
    assert settings["seed"] == 4


def test_tensorboard_that_joins_later_has_every_epoch_once(resumed: Resumed) -> None:
    events = EventAccumulator(str(resumed.folder / "tensorboard"), size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    logged = [(each.step, pytest.approx(each.value)) for each in events.Scalars("val/acc")]
    assert logged == [(int(row["epoch"]) + 1, row["val/acc"]) for row in history(resumed.folder)]


def test_loggers_print_nothing_of_their_own(resumed: Resumed) -> None:
    assert resumed.printed == f"{resumed.folder}: resumes after epoch 2\n"


def read_wandb(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return what an offline run's file has: rows of metrics, and its configuration."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("offline-run-*/run-*.wandb")
    rows, settings = [], {}
    for data in records(file.read_bytes()):
        record = Record.FromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            items = record.history.item
            rows.append({each.key or ".".join(each.nested_key): json.loads(each.value_json) for each in items})
        elif kind in {"run", "config"}:
            config = record.run.config if kind == "run" else record.config
            settings |= {each.key or ".".join(each.nested_key): json.loads(each.value_json) for each in config.update}
    return rows, settings


def records(content: bytes) -> Iterator[bytes]:
    """Give the records of LevelDB's log format: blocks of 32 KiB, parts with a checksum, a length and a kind."""
    place, parts = len(":W&B") + 3, b""
    while place < len(content):
        if (left := -place % 32768) and left < 7:
            place += left
            continue
        size, kind = struct.unpack_from("<HB", content, place + 4)
        parts += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in {1, 4}:  # whole, or the last part
            yield parts
            parts = b""


class Failing(CSVLogger):
    """Fails in the second epoch."""

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        if step == 2:
            raise OSError("the server is gone")
        super().log_metrics(metrics, step)


def test_a_logger_that_fails_is_left_out_and_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = f"+logger.mine._target_={Failing.__module__}.Failing"
    results = run(tmp_path, compose([*QUICK, "logger=none", target, "+logger.mine.flush_logs_every_n_steps=1"]))
    assert results.epochs_trained == 3
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("logger.mine: failed and logs no more, while the run goes on (")
    assert told.endswith("the server is gone)")
    with (tmp_path / "csv/metrics.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1"]
    assert not (tmp_path / "tensorboard").exists()


def test_a_logger_that_cannot_begin_ends_the_run_before_it_trains(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    with pytest.raises(ValueError, match=r"^logger\.mlflow: .*nowhere"):
        run(tmp_path, compose([*QUICK, "logger=mlflow", "logger.mlflow.tracking_uri=nowhere://store"]))
    assert not (tmp_path / "history.csv").exists()


@pytest.mark.parametrize("logger", ["mlflow", "wandb"])
def test_a_missing_package_is_named_with_what_installs_it(
    logger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=rf"^logger\.{logger}: .* pip install 'regbench\[{logger}\]'$"):
        run(tmp_path / "run", compose([*QUICK, f"logger={logger}"]))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+logger.csv.save_dir=elsewhere", "logger=csv"], r"logger\.csv\.save_dir: no such key"),
        (["logger=csv", "logger.csv.flush_logs_every_n_steps=often"], r"flush_logs_every_n_steps: expected .*'often'"),
        (["+logger.mine._target_=torch.nn.Linear"], r"logger\.mine\._target_: expected a subclass of Logger"),
        (
            ["+logger.second._target_=pytorch_lightning.loggers.TensorBoardLogger"],
            r"logger\.tensorboard: expected one TensorBoardLogger, since .*; logger\.second is one",
        ),
    ],
)
def test_wrong_loggers_are_refused_by_their_key(overrides: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        run(tmp_path, compose([*QUICK, *overrides]))


def test_a_logger_is_no_part_of_a_runs_identity() -> None:
    own = f"+logger.mine._target_={Failing.__module__}.Failing"
    hashes = {config_hash(compose([*QUICK, each])) for each in ("seed=5", "logger=none", ALL, own)}
    assert len(hashes) == 1
