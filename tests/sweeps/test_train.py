"""`train.py` as a user calls it. Most calls run in this process."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from regbench.storage.results import RunResults, read_results
from tests.commands import ROOT, Command, Ended
from tests.sweeps.pretended import pretend

QUICK = ["dataset=digits", "trainer.max_epochs=1", "dataset.train_size=100", "threads=1"]


Train = Callable[..., Ended]


@pytest.fixture
def train(command: Command) -> Train:
    """Call train.py from an empty folder and return its status and what it printed."""
    return partial(command, "train.py")


def results(folder: Path) -> RunResults:
    found = read_results(folder)
    assert found is not None
    return found


def test_a_run_ends_in_a_table_and_its_folder(train: Train, tmp_path: Path) -> None:
    ended = train(*QUICK, "regularizer=[weight_decay,batchnorm]", "seed=3")
    assert ended.status == 0, ended.err
    (folder,) = tmp_path.glob("outputs/runs/digits-lenet5/batchnorm+weight_decay-*/seed3")
    assert results(folder).status == "finished"
    assert "62,158" in ended.out
    assert str(folder.relative_to(tmp_path)) in ended.out
    assert ended.err == ""
    again = train(*QUICK, "regularizer=[batchnorm,weight_decay]", "seed=3")
    assert "is finished: not trained again; force=true trains it again" in again.out


def test_a_run_goes_where_it_is_told_and_refuses_anothers_folder(train: Train, tmp_path: Path) -> None:
    assert train(*QUICK, "hydra.run.dir=there").status == 0
    assert results(tmp_path / "there").seed == 0
    refused = train(*QUICK, "hydra.run.dir=there", "seed=1")
    assert refused.status == 1
    assert re.fullmatch(r"error: hydra\.run\.dir=there: holds the run of another configuration .*\n", refused.err)
    assert results(tmp_path / "there").seed == 0


BAD = [
    (["regularizer=dropuot"], r"regularizer: expected one of augmentation, batchnorm.*received 'dropuot'"),
    (["dataset=cifar"], r"dataset: expected one of cifar10, cifar100, digits.*received 'cifar'"),
    (["trainer.max_epoch=1"], r"trainer\.max_epoch: no such key \(did you mean max_epochs\?\)"),
    (["regularizer=dropout", "regularizer.dropout.q=1"], r"regularizer\.dropout\.q: no such key; expected one of p"),
    (
        ["dataset.source={surprise: 1}"],
        r"dataset\.source: expected the keys that it has, received others; change one by",
    ),
    (["+surprise=1"], r"surprise: no such key; expected dataset"),
    (["+trainer.surprise=1"], r"trainer\.surprise: no such key"),
    (["regularizer=dropout", "regularizer.dropout.p=half"], r"regularizer\.dropout\.p: expected a number.*'half'"),
    (["regularizer=dropout", "regularizer.dropout.p=1"], r"regularizer\.dropout\.p: expected a number in \[0, 1\)"),
    (
        ["regularizer=weight_decay", "regularizer.weight_decay.coefficient=-1"],
        r"regularizer\.weight_decay\.coefficient: expected a finite number of at least 0; received -1",
    ),
    (["regularizer=[dropout,dropout]"], r"regularizer=\[dropout,dropout\]: expected each of regularizer once"),
    (["model=[lenet5,mlp]"], r"model=\[lenet5,mlp\]: expected one option of model"),
    (["dataset.batch_size=0"], r"dataset\.batch_size: expected an integer above 0; received 0"),
    (["dataset.val_size=2000"], r"dataset: val_size must be from 0 to 1436.*received 2000"),
    (["dataset.train_size=2000"], r"dataset: train_size must be from 10 .*received 2000"),
    (["trainer.max_epochs=0"], r"trainer\.max_epochs: expected 1 or more, received 0"),
    (["trainer.accelerator=abacus"], r"trainer: .*abacus"),
    (["optimizer.weight_decay=0.1"], r"optimizer\.weight_decay: weight decay is a regularizer.*=weight_decay"),
    (["+optimizer.weight_decay=0.1"], r"optimizer\.weight_decay: weight decay is a regularizer.*=weight_decay"),
    (["optimizer.lr=-1"], r"optimizer\.lr: expected a finite number of at least 0; received -1"),
    (["seed=-1"], r"seed: expected an integer of at least 0"),
    (["threads=0"], r"threads: expected an integer above 0"),
    (["monitor=test/acc"], r"monitor: expected 'val/acc' or 'val/loss'"),
    (["hydra.run.dir=file/run"], r".*file"),
    (["seed"], r"seed: expected KEY=VALUE"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_bad_input_ends_in_one_clear_line_and_no_folder_that_looks_finished(
    arguments: list[str], message: str, train: Train, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    ended = train(
        *[each for each in QUICK if each.split("=")[0] not in {a.split("=")[0] for a in arguments}], *arguments
    )
    assert ended.status == 1
    assert re.fullmatch(rf"error: {message}.*\n", ended.err), ended.err
    assert ended.out == ""
    assert all(json.loads(path.read_text())["status"] != "finished" for path in tmp_path.rglob("results.json"))


def test_an_unwritable_output_folder_is_told_in_one_line(train: Train, tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file, not a folder")
    ended = train(*QUICK)
    assert ended.status == 1
    assert re.fullmatch(r"error: .*outputs.*\n", ended.err)


def test_a_sweep_runs_all_settings_and_goes_on_after_a_failed_one(train: Train, tmp_path: Path) -> None:
    grid = ["-m", *QUICK, "hydra/launcher=basic", "study=four", "regularizer=none,dropout,weight_decay,batchnorm"]
    ended = train(*grid)
    assert ended.status == 0, ended.err
    folders = list((tmp_path / "outputs/sweeps/four/digits-lenet5").glob("*/seed0"))
    assert sorted(results(folder).setting for folder in folders) == ["batchnorm", "dropout", "none", "weight_decay"]
    assert {results(folder).status for folder in folders} == {"finished"}
    assert {results(folder).threads for folder in folders} == {1}
    assert len(re.findall(r"done, 0 failed, \d left \|", ended.out)) == 4
    assert "outputs/sweeps/four: 4 done, 0 failed, 0 left" in ended.out

    grown = train(*grid[:-1], "regularizer=none,dropout", "dataset.batch_size=0,50")
    assert grown.status == 1
    # 50 is the default, so two of the four runs are there already.
    assert "outputs/sweeps/four: 4 runs, 2 of them finished before" in grown.out
    assert "outputs/sweeps/four: 4 done, 2 failed, 0 left" in grown.out
    assert len(re.findall(r"failed: dataset\.batch_size: expected an integer above 0; received 0", grown.err)) == 2
    assert "Traceback" not in grown.err + grown.out


def test_a_swept_typo_is_refused_before_the_first_run(train: Train, tmp_path: Path) -> None:
    ended = train("-m", *QUICK, "hydra/launcher=basic", "regularizer=none,dropuot")
    assert ended.status == 1
    assert re.fullmatch(r"error: regularizer: expected one of .* received 'dropuot'\n", ended.err)
    assert not list(tmp_path.rglob("results.json"))


def test_calling_a_sweep_again_runs_only_what_is_missing(train: Train, tmp_path: Path) -> None:
    grid = ["-m", *QUICK, "hydra/launcher=basic", "study=s"]
    assert train(*grid, "seed=0,1").status == 0
    first = tmp_path / "outputs/sweeps/s/digits-lenet5"
    (folder,) = first.glob("*/seed1")
    kept = (next(first.glob("*/seed0")) / "results.json").stat().st_mtime_ns
    (folder / "results.json").unlink()
    ended = train(*grid, "seed=0,1,2")
    assert ended.status == 0
    assert "3 runs, 1 of them finished before" in ended.out
    assert (next(first.glob("*/seed0")) / "results.json").stat().st_mtime_ns == kept
    assert "3 done, 0 failed, 0 left" in ended.out


def test_a_sweep_without_a_name_is_named_by_the_time_once_for_all_its_runs(train: Train, tmp_path: Path) -> None:
    assert train("-m", *QUICK, "hydra/launcher=basic", "seed=0,1").status == 0
    (study,) = (tmp_path / "outputs/sweeps").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", study.name)
    folders = [path.parent for path in study.glob("digits-lenet5/*/seed*/results.json")]
    assert [results(folder).study for folder in folders] == [study.name] * 2


def test_a_value_that_refers_to_the_seed_is_that_of_each_run(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, lambda config: 0.8)
    assert train("-m", *QUICK, "study=s", "dataset.split_seed=${seed}", "seed=3,4").status == 0
    folders = [path.parent for path in tmp_path.glob("outputs/sweeps/s/*/*/seed*/results.json")]
    assert sorted((results(folder).seed, results(folder).split_seed) for folder in folders) == [(3, 3), (4, 4)]


def test_the_command_that_a_sweep_named_by_the_time_prints_runs_the_rest_of_it(train: Train, tmp_path: Path) -> None:
    grid = ["-m", *QUICK, "hydra/launcher=basic", "seed=0,1", "regularizer=none,[]"]
    ended = train(*grid, "optimizer=sgd", "optimizer.lr=1e30,0.01", "model=lenet5_relu")
    (study,) = (tmp_path / "outputs/sweeps").iterdir()
    assert "2 done, 2 failed, 0 left" in ended.out
    said, command = ended.out.splitlines()[-2:]
    assert said == "error.txt and results.json in a failed run's folder say why; this command runs what is missing"
    assert command.endswith(f" study={study.name}")
    program, script, *arguments = shlex.split(command)
    assert (program, script) == ("python", "train.py")
    again = train(*arguments)
    assert list((tmp_path / "outputs/sweeps").iterdir()) == [study]
    assert again.out.startswith(f"outputs/sweeps/{study.name}: ")
    assert "the same command runs what is missing" in again.out
    assert json.loads((study / "sweep.json").read_text())["commands"] == [command.strip()]


@pytest.mark.parametrize("loss", ["deleted", "damaged"])
def test_a_lost_plan_is_rebuilt_from_the_run_folders(loss: str, train: Train, tmp_path: Path) -> None:
    grid = ["-m", *QUICK, "hydra/launcher=basic", "study=s"]
    assert train(*grid, "seed=0,1").status == 0
    plan = tmp_path / "outputs/sweeps/s/sweep.json"
    before = json.loads(plan.read_text())["runs"]
    if loss == "deleted":
        plan.unlink()
    else:
        plan.write_text('{"commands": [], "runs": "')
    ended = train(*grid, "seed=2")
    assert ended.status == 0
    assert "3 done, 0 failed, 0 left" in ended.out
    runs = json.loads(plan.read_text())["runs"]
    assert runs[:2] == before
    assert len(runs) == 3


def test_two_calls_of_a_sweep_that_plan_at_once_both_stand_in_its_plan(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from regbench.storage.study_folder import Plan, read_plan, write_plan
    from regbench.sweeps import plan

    folder = tmp_path / "outputs/sweeps/s"
    folder.mkdir(parents=True)
    resolved = plan.Resolver.runs

    def runs(*arguments: Any) -> Any:
        write_plan(folder, Plan(["the other call"], ["digits-lenet5/none-000000/seed7"]))
        return resolved(*arguments)

    monkeypatch.setattr(plan.Resolver, "runs", runs)
    train("-m", *QUICK, "hydra/launcher=basic", "study=s", "seed=0")
    written = read_plan(folder / "sweep.json")
    assert written.commands[0] == "the other call"
    assert [Path(name).name for name in written.runs] == ["seed7", "seed0"]


def test_a_stage_waits_for_another_call_that_changes_the_plan(tmp_path: Path) -> None:
    from regbench.storage.study_folder import Plan, extend_plan, held_plan, read_plan, write_plan

    write_plan(tmp_path, Plan(runs=["a"]))
    with ThreadPoolExecutor(1) as pool:
        with held_plan(tmp_path) as plan:
            extended = pool.submit(extend_plan, tmp_path, ["c"])
            with pytest.raises(TimeoutError):
                extended.result(0.2)
            write_plan(tmp_path, replace(plan, runs=[*plan.runs, "b"]))
        extended.result(10)
    assert read_plan(tmp_path / "sweep.json").runs == ["a", "b", "c"]


def test_a_folder_of_ones_own_name_with_another_run_is_refused(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    pretender = pretend(monkeypatch, lambda config: 0.8)
    grid = ["-m", *QUICK, "study=s", "hydra.sweep.subdir=x${seed}", "seed=0,1"]
    assert train(*grid, "optimizer.lr=0.1").status == 0
    again = train(*grid, "optimizer.lr=0.01")
    assert again.status == 1
    assert re.fullmatch(r"error: hydra\.run\.dir=\S*x0: holds the run of another configuration .*\n", again.err)
    assert len(pretender.trained) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hydra/sweeper=basic"], "hydra/sweeper=basic: expected grid, or until_sure by seeds=until_sure"),
        (["++seed=3"], r"\+\+seed=3: expected seed=… without a \+"),
        (
            ["dataset.root=data/${seed}", "seed=0,1"],
            r"dataset: expected the same value for all seeds of digits-lenet5/none",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_line(
    arguments: list[str], message: str, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, lambda config: 0.8)
    ended = train("-m", *QUICK, "study=s", *arguments)
    assert ended.status == 1
    assert re.fullmatch(rf"error: {message}.*\n", ended.err)
    assert not list(tmp_path.rglob("results.json"))


def test_a_diverging_run_harms_no_other(train: Train, tmp_path: Path) -> None:
    ended = train(
        "-m", *QUICK, "hydra/launcher=basic", "study=s", "model=lenet5_relu", "optimizer=sgd", "optimizer.lr=1e30,0.01"
    )
    assert ended.status == 1
    statuses = sorted(results(path.parent).status for path in tmp_path.rglob("results.json"))
    assert statuses == ["diverged", "finished"]
    assert "1 done, 1 failed, 0 left" in ended.out


def test_help_explains_the_groups_and_shows_examples(train: Train) -> None:
    ended = train("--help")
    assert ended.status == 0
    for part in (
        "regularizer: augmentation, batchnorm, confidence_penalty, cutout",
        "dataset: cifar10, cifar100, digits",
        "-m regularizer=none",
        "force=true trains it again on purpose",
        "max_epochs",
    ):
        assert part in ended.out
    assert "Traceback" not in ended.err


@pytest.mark.slow
def test_the_four_way_experiment_is_a_sweep_by_workers_without_m_and_goes_on_after_failed_runs(tmp_path: Path) -> None:
    """In a process of its own: workers on all cores, the sweep's name and its whole plan."""
    swept = ["seed=range(2)", "dataset.batch_size=0,50"]
    command = [sys.executable, str(ROOT / "train.py"), "experiment=four_way", *QUICK, *swept]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    told = done.stderr.splitlines()
    assert len(told) == 8
    assert all("failed: dataset.batch_size: expected an integer above 0; received 0" in line for line in told)
    plan = json.loads((tmp_path / "outputs/sweeps/four_way/sweep.json").read_text())
    assert len(plan["runs"]) == 16
    assert "'seed=range(2)'" in plan["commands"][0]
    assert "8 done, 8 failed, 0 left" in done.stdout
    found = [results(tmp_path / "outputs/sweeps/four_way" / name) for name in plan["runs"]]
    finished = [each for each in found if each.status == "finished"]
    settings = ["batchnorm", "dropout", "none", "weight_decay"]
    assert sorted(each.setting or "" for each in finished) == sorted(2 * settings)
    assert {each.threads for each in found} == {1}
