"""`docs/run-folder.md` names what a run leaves, all of it and nothing else."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from regbench.config import compose
from regbench.runs.run import run
from regbench.storage import schema
from regbench.storage.results import RunResults
from regbench.together.forming import MEMBER, MEMBERS, STREAM
from tests.conftest import ROOT

Composed = Callable[..., dict[str, Any]]
PAGE = (ROOT / "docs/run-folder.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """Return what stands below a heading, up to the next one."""
    (found,) = re.findall(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def first_column(title: str) -> list[str]:
    """Return the names in the first column of a section's table."""
    cells = re.findall(r"^\| (.*?) \|", section(title), re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one epoch that also tracks its test curve."""
    folder = tmp_path_factory.mktemp("run")
    quick = ["dataset=digits", "dataset.train_size=200", "trainer.max_epochs=1", "threads=1"]
    run(folder, compose([*quick, "track_test=true"]))
    return folder


def test_every_field_of_the_results_has_a_row() -> None:
    fields = {each.alias or name for name, each in RunResults.model_fields.items() if not each.exclude}
    assert len(fields) > 20
    assert sorted(first_column("results.json")) == sorted(fields)
    left_out = {name for name, each in RunResults.model_fields.items() if each.exclude or each.alias}
    assert left_out
    assert all(f"`{name}`" in section("results.json") for name in left_out)


def test_every_status_metric_and_column_of_the_history_has_a_row() -> None:
    assert sorted(first_column("Statuses")) == sorted(get_args(schema.Status))
    assert first_column("Metrics") == list(schema.METRICS)
    assert first_column("history.csv") == list(schema.HISTORY_COLUMNS)
    assert {name.rpartition("/")[2] for name in schema.METRICS} == set(schema.KINDS)


def test_every_file_name_of_the_schema_is_named() -> None:
    names = {value for name, value in vars(schema).items() if name.isupper() and isinstance(value, str)}
    assert {"results.json", "config.yaml", "sweep.json", "tensorboard"} <= names
    assert not [name for name in names if not re.search(rf"`{re.escape(name)}[`/]", PAGE)]


def test_the_current_schema_is_the_one_that_is_described() -> None:
    assert f"`schema` is {schema.SCHEMA}." in section("Schema")
    known = get_args(RunResults.model_fields["schema_version"].annotation)
    assert re.findall(r"^\| (\d+) \|", section("Schema"), re.MULTILINE) == [str(each) for each in sorted(known)[::-1]]
    for then, now in schema.RENAMED_HISTORY_COLUMNS.items():
        assert f"`{then}`" in section("Schema")
        assert now in first_column("history.csv")


def test_a_run_leaves_the_files_that_the_page_lists(finished: Path) -> None:
    listed = {name.rstrip("/") for name in first_column("Files")}
    left = {path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()}
    left = {"tensorboard" if name.startswith("tensorboard/") else name for name in left}
    assert left <= listed
    assert listed - left <= {"error.txt", "checkpoints/previous.ckpt", ".lock", ".holder"}


def test_a_runs_files_hold_what_the_page_lists(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    assert set(results) == set(first_column("results.json"))
    assert set(results["metrics"]) == set(first_column("Metrics"))
    for key in ("seconds", "provenance"):
        (row,) = re.findall(rf"^\| `{key}` \|(.*)", section("results.json"), re.MULTILINE)
        row, _, of_members = row.partition("; of one that was [trained together]")
        assert set(results[key]) == set(re.findall(r"`(\w+)`", row)) - {"null"}
    assert re.findall(r"`(\w+)`", of_members) == [MEMBERS, MEMBER, STREAM]
    with (finished / "history.csv").open(newline="") as file:
        assert next(csv.reader(file)) == first_column("history.csv")


def test_the_predictions_have_the_names_shapes_and_types_that_the_page_lists(finished: Path) -> None:
    rows = re.findall(r"^\| `(\w+)` \| `\((.*?)\)`, (\w+) \|", section("predictions.npz"), re.MULTILINE)
    sizes = {"N": 360, "C": 10, "S": 28, "≤ 4 C": 40, "≤ 24": 24}
    with np.load(finished / "predictions.npz") as stored:
        assert sorted(stored) == sorted(name for name, _, _ in rows)
        for name, shape, kind in rows:
            assert stored[name].dtype == kind, name
            sides = [side.strip() for side in shape.split(",") if side.strip()]
            assert stored[name].ndim == len(sides), name
            for found, side in zip(stored[name].shape, sides, strict=True):
                assert found <= sizes[side] if "≤" in side else found == sizes[side], name


def test_the_weights_are_a_plain_state_dict_with_the_named_parameter(finished: Path) -> None:
    weights = torch.load(finished / "checkpoints/weights.pt", weights_only=True)
    assert "c1.weight" in weights
    assert {"mean", "std"} <= {name.rpartition(".")[2] for name in weights}


def test_the_identity_leaves_out_what_the_page_says(composed: Composed) -> None:
    from regbench.config.identity import config_hash

    config = composed()
    left_out = re.findall(r"^- .*", section("Identity"), re.MULTILINE)
    names = [name for line in left_out for name in re.findall(r"`([\w.]+)`", line)]
    assert {"hydra", "seed", "dataset.root"} <= set(names)
    for name in names:
        group, _, key = name.rpartition(".")
        changed = {**config, group: {**config[group], key: "else"}} if group else {**config, name: "else"}
        assert config_hash(changed) == config_hash(config), name
    for name in ("threads", "compile", "track_test", "monitor", "trainer", "callbacks"):
        assert config_hash({**config, name: "else"}) != config_hash(config), name
