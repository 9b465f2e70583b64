"""Whether a finished run is trained again (other code, other versions, `force=true`), and YAMLs without a name."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from regbench.config import compose
from regbench.config.identity import config_hash, run_name
from regbench.runs.claiming import refuse_other_run
from regbench.runs.spec import RunSpec
from regbench.storage.configs import write_config
from regbench.study import load
from tests.config.test_fingerprint import forget
from tests.sweeps.test_train import QUICK, Train, train  # noqa: F401 (a fixture)

OWN = """
from regbench.regularizers import Regularizer

class Own(Regularizer):
    def __init__(self, coefficient: float) -> None:
        self.coefficient = coefficient

    def penalty(self, net):
        return STRENGTH * self.coefficient * net.output.weight.square().sum()

STRENGTH = 1.0
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of one's own YAMLs and classes."""
    folder = tmp_path / "mine"
    for group in ("regularizer", "optimizer", "dataset"):
        (folder / group).mkdir(parents=True)
    (folder / "regularizer/own.yaml").write_text("own:\n  _target_: own_technique.Own\n  coefficient: 0.01\n")
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    forget()


def write_own(folder: Path, text: str) -> None:
    """Write one's own technique, and forget what this process knows of it."""
    (folder / "own_technique.py").write_text(text)
    sys.modules.pop("own_technique", None)
    importlib.invalidate_caches()
    forget()


def folders(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob("outputs/*/**/results.json"))


def results(folder: Path) -> dict[str, object]:
    return json.loads((folder / "results.json").read_text())


def test_an_edited_class_is_trained_beside_the_old_result_and_the_old_code_finds_its_own(
    train: Train,  # noqa: F811
    mine: Path,
    tmp_path: Path,
) -> None:
    command = ["--config-dir", str(mine), *QUICK, "regularizer=own"]
    write_own(mine, OWN)
    assert train(*command).err == ""
    (first,) = folders(tmp_path)
    write_own(mine, OWN.replace("STRENGTH = 1.0", "STRENGTH = 5.0"))
    edited = train(*command)
    assert edited.status == 0
    assert "not trained again" not in edited.out
    assert "trained from scratch, beside" in edited.err
    assert "which is of other code: own_technique.Own " in edited.err
    (second,) = set(folders(tmp_path)) - {first}
    codes = [results(folder)["provenance"]["code"]["own_technique.Own"] for folder in (first, second)]
    assert codes[0] != codes[1]
    assert f"own_technique.Own {codes[0]}, now {codes[1]}" in edited.err
    assert set(load(tmp_path / "outputs/runs").runs["label"]) == {f"own [code {code}]" for code in codes}

    write_own(mine, "# Only a comment.\n" + OWN)
    assert f"{first.relative_to(tmp_path)} is finished: not trained again" in train(*command).out


def test_a_named_folder_of_other_code_is_refused_unless_forced(train: Train, mine: Path, tmp_path: Path) -> None:  # noqa: F811
    command = ["--config-dir", str(mine), *QUICK, "regularizer=own", "hydra.run.dir=there"]
    write_own(mine, OWN)
    assert train(*command).status == 0
    before = results(tmp_path / "there")
    write_own(mine, OWN.replace("square", "abs"))
    refused = train(*command)
    assert refused.status == 1
    assert "hydra.run.dir=there: holds this run of other code (own_technique.Own " in refused.err
    assert results(tmp_path / "there") == before
    assert train(*command, "force=true").status == 0
    assert results(tmp_path / "there")["config_hash"] != before["config_hash"]


def test_a_finished_run_of_other_versions_is_returned_and_says_which(train: Train, tmp_path: Path) -> None:  # noqa: F811
    assert train(*QUICK).status == 0
    (folder,) = folders(tmp_path)
    stored = results(folder)
    here = stored["provenance"]["versions"]["torch"]
    stored["provenance"]["versions"]["torch"] = "2.13.0"
    (folder / "results.json").write_text(json.dumps(stored))
    line = f"is finished (torch 2.13.0; here {here}): not trained again; force=true trains it again"
    assert line in train(*QUICK).out


def test_force_trains_a_finished_run_again_from_scratch_and_no_other_run(train: Train, tmp_path: Path) -> None:  # noqa: F811
    assert train(*QUICK, "hydra.run.dir=there").status == 0
    folder = tmp_path / "there"
    before = results(folder)
    left = [folder / name for name in ("checkpoints/old.ckpt", "tensorboard/old", "history.csv")]
    for path in left:
        path.write_text("old")
    refused = train(*QUICK, "hydra.run.dir=there", "seed=1", "force=true")
    assert "holds the run of another configuration" in refused.err
    assert results(folder) == before

    forced = train(*QUICK, "hydra.run.dir=there", "force=true")
    assert "not trained again" not in forced.out
    after = results(folder)
    assert after["metrics"] == before["metrics"]
    assert after["provenance"]["resumed_after"] is None
    assert after["config_hash"] == before["config_hash"]
    assert [path.exists() for path in left] == [False, False, True]
    assert "old" not in left[2].read_text()
    assert "not trained again" in train(*QUICK, "hydra.run.dir=there").out


def test_force_trains_each_run_of_a_sweep_again_once(train: Train, tmp_path: Path) -> None:  # noqa: F811
    grid = ["-m", *QUICK, "hydra/launcher=basic", "study=s"]
    assert train(*grid, "seed=0,1,2").status == 0
    before = {folder: (folder / "results.json").stat().st_mtime_ns for folder in folders(tmp_path)}
    again = train(*grid, "seed=0,1", "force=true")
    assert again.status == 0
    assert "outputs/sweeps/s: 2 runs, 0 of them finished before" in again.out
    assert again.out.count(" | none seed ") == 2
    assert "finished before\n" not in again.out.partition("\n")[2]
    assert "3 done, 0 failed, 0 left" in again.out
    newer = {folder.name for folder in before if (folder / "results.json").stat().st_mtime_ns > before[folder]}
    assert newer == {"seed0", "seed1"}
    assert "2 runs, 2 of them finished before" in train(*grid, "seed=0,1").out


@pytest.mark.parametrize("value", ["maybe", "[true]", "null"])
def test_force_is_true_or_false(value: str, train: Train) -> None:  # noqa: F811
    ended = train(*QUICK, f"force={value}")
    assert ended.status == 1
    assert ended.err.startswith("error: force: expected true or false; received")


def test_yamls_without_a_name_are_called_by_their_files(train: Train, mine: Path, tmp_path: Path) -> None:  # noqa: F811
    from regbench.config.composing import CONFIGS

    (mine / "optimizer/plain.yaml").write_text("_target_: torch.optim.SGD\nlr: 0.05\n")
    text = (CONFIGS / "dataset/digits.yaml").read_text().replace("name: digits\n", "")
    (mine / "dataset/numerals.yaml").write_text(text)
    quick = [each for each in QUICK if not each.startswith("dataset=")]
    sweep = ["--config-dir", str(mine), "-m", "hydra/launcher=basic", "study=s", "optimizer=plain,sgd"]
    ended = train(*sweep, "dataset=numerals", *quick)
    assert ended.status == 0, ended.err
    study = load(tmp_path / "outputs/sweeps/s")
    assert study.unfinished.empty
    assert sorted(study.runs["optimizer"]) == ["plain", "sgd"]
    assert set(study.runs["dataset"]) == {"numerals"}
    assert len(list((tmp_path / "outputs/sweeps/s/numerals-lenet5").glob("none-*/seed0"))) == 2
    assert "2 of them finished before" in train(*sweep, "dataset=numerals", *quick).out


def test_names_from_files_reach_composing_and_a_written_name_wins(mine: Path) -> None:
    from regbench.config.identity import with_names

    choices = {"optimizer": "group/plain", "model": "lenet5", "dataset": None}
    config = {"optimizer": {"lr": 1}, "model": {"name": "mine"}, "dataset": {"_target_": "a.Set"}, "seed": 0}
    named = with_names(config, choices)
    assert named["optimizer"] == {"lr": 1, "name": "plain"}
    assert named["model"] == {"name": "mine"}
    assert run_name(named).startswith("Set-mine/none-")


@pytest.fixture(scope="module")
def alike() -> tuple[float, float]:
    """Two strengths of dropout by which the six digits of the hash are the same: one pair in 16.8 million is so."""
    config = compose([*QUICK, "regularizer=dropout"])
    found: dict[str, float] = {}
    for number in range(1, 30_000):
        strength = config["regularizer"]["dropout"]["p"] = number / 40_000
        if (digits := config_hash(config)) in found:
            return found[digits], strength
        found[digits] = strength
    pytest.fail("no two are alike")


def test_configurations_whose_six_digits_are_the_same_by_chance_are_told_apart(
    alike: tuple[float, float], tmp_path: Path
) -> None:
    first, second = (compose([*QUICK, "regularizer=dropout", f"regularizer.dropout.p={each}"]) for each in alike)
    assert run_name(first) == run_name(second)
    folder = tmp_path / run_name(first)
    folder.mkdir(parents=True)
    write_config(folder, first, [], RunSpec(first).code)
    refuse_other_run(folder, RunSpec(first))
    refuse_other_run(folder.with_name("seed1"), RunSpec(first | {"seed": 1}))
    with pytest.raises(ValueError, match="holds the run of another configuration"):
        refuse_other_run(folder, RunSpec(second))
    with pytest.raises(ValueError, match=r"seed1: lies beside a run of another configuration whose hash begins alike"):
        refuse_other_run(folder.with_name("seed1"), RunSpec(second | {"seed": 1}))


def test_two_runs_of_a_sweep_in_one_folder_are_refused_before_any_is_trained(
    train: Train,  # noqa: F811
    alike: tuple[float, float],
    tmp_path: Path,
) -> None:
    sweep = ["-m", *QUICK, "hydra/launcher=basic", "study=s", "regularizer=dropout"]
    by_chance = train(*sweep, f"regularizer.dropout.p={alike[0]},{alike[1]}")
    by_name = train(*sweep, "regularizer.dropout.p=0.1,0.2", "hydra.sweep.subdir=all")
    for ended in (by_chance, by_name):
        assert ended.status == 1
        assert ended.err.startswith("error: hydra.sweep.subdir: expected a folder of its own for each run, received ")
        assert ended.err.count("\n") == 1
    assert folders(tmp_path) == []
