"""Runs trained together leave what runs alone leave, whatever becomes of the others."""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from regbench.config import compose
from regbench.regularizers import Regularizer
from regbench.runs.engine import Engine
from regbench.runs.loading import load_run
from regbench.runs.parts import build
from regbench.runs.run import run
from regbench.storage.results import read_results
from regbench.together.capture import Repeated
from regbench.together.forming import Formed, form_groups
from regbench.together.group import Group, TooManyMembersError
from regbench.together.images import Images
from regbench.together.program import Program
from regbench.together.turns import Turns
from regbench.training.interruption import Terminated
from tests.bits import final_bits
from tests.conftest import QUICK

Composed = Callable[..., dict[str, Any]]
CPU = torch.device("cpu")
SMALL = ("model=mlp_small", "trainer.max_epochs=3")


def killed_after(answers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a signal end the process once so many of the members' questions are answered."""
    answer, count = Turns.answer, itertools.count(1)

    def answer_or_end(turns: Turns, number: int, value: Any) -> None:
        answer(turns, number, value)
        if next(count) == answers:
            raise Terminated

    monkeypatch.setattr(Turns, "answer", answer_or_end)


def train_together(
    folder: Path,
    configs: dict[str, dict[str, Any]],
    formed: Formed | None = None,
    device: torch.device = CPU,
) -> None:
    """Train runs together; errors of one are recorded in its folder, as a worker has it."""
    formed = formed or Formed(list(configs), dict(enumerate(configs)), "stream")
    first = configs[next(iter(formed.runs.values()))]
    parts = build({**first, "compile": False})
    images = Images(parts.data, device)

    def take(name: str, engine: Engine) -> None:
        try:
            run(folder / name, configs[name], engine=engine)
        except Exception:
            return

    Group(formed, images, len(parts.data.classes), compile=first["compile"]).train(take)


def bits(folder: Path, names: Any) -> dict[str, dict[str, bytes]]:
    return {name: final_bits(folder / name) for name in names}


def test_a_member_leaves_the_folder_of_a_run_alone(composed: Composed, tmp_path: Path) -> None:
    configs = {
        f"seed{seed}": composed(*SMALL, "regularizer=batchnorm", "optimizer=sgd", f"seed={seed}") for seed in range(3)
    }
    train_together(tmp_path / "together", configs)
    for name, config in configs.items():
        together, alone = tmp_path / "together" / name, tmp_path / "alone" / name
        results = run(alone, config)
        ours = read_results(together)
        assert ours is not None
        assert (ours.status, ours.setting, ours.best_epoch) == ("finished", "batchnorm", results.best_epoch)
        for metric, value in results.metrics.items():
            assert ours.metrics[metric] == pytest.approx(value, abs=1e-4)
        assert ours.provenance["members"] == 3
        assert "members" not in results.provenance
        files = [
            {path.name for path in folder.rglob("*") if "tfevents" not in path.name} for folder in (together, alone)
        ]
        assert files[0] == files[1]
        weights = [torch.load(each / "checkpoints/weights.pt", weights_only=True) for each in (together, alone)]
        assert weights[0].keys() == weights[1].keys()
        assert all(value.untyped_storage().nbytes() == value.nbytes for value in weights[0].values())
        assert load_run(together).results.metrics == ours.metrics


def test_a_members_checkpoint_goes_on_alone(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = {f"seed{seed}": composed(*SMALL, "optimizer=sgd", f"seed={seed}") for seed in range(2)}
    killed_after(8, monkeypatch)
    with pytest.raises(Terminated):
        train_together(tmp_path, configs)
    resumed = run(tmp_path / "seed1", configs["seed1"])
    assert resumed.provenance["resumed_after"] == 2
    alone = run(tmp_path / "alone", configs["seed1"])
    assert resumed.metrics["train/loss"] == pytest.approx(alone.metrics["train/loss"], rel=1e-4)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Three members that were trained to their end, with their configurations."""
    config = compose([*QUICK, *SMALL, "regularizer=[augmentation,batchnorm,dropout,mixup]"])
    configs = {f"seed{seed}": {**config, "seed": seed} for seed in range(3)}
    folder = tmp_path_factory.mktemp("whole")
    train_together(folder, configs)
    return folder, configs


@pytest.mark.parametrize(("answers", "most_epochs"), [(2, None), (4, 0), (5, 0), (8, 1), (10, 1), (11, 1), (12, 2)])
def test_members_that_were_killed_end_in_the_same_bits(
    answers: int,
    most_epochs: int | None,
    whole: tuple[Path, dict[str, dict[str, Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of three asks twice an epoch; after 4, 5, 10 and 11 answers, one or two are an epoch ahead."""
    finished, configs = whole
    with monkeypatch.context() as patch:
        killed_after(answers, patch)
        with pytest.raises(Terminated):
            train_together(tmp_path / "killed", configs)
    states = [read_results(tmp_path / "killed" / name) for name in configs]
    assert [each.status for each in states if each] == ["interrupted"] * 3
    (formed,) = form_groups(tmp_path / "killed", configs, members=40)
    assert (list(formed.names), formed.runs) == (list(configs), dict(enumerate(configs)))
    assert formed.most_epochs == most_epochs
    stream = replace(formed, stream="stream")  # before the first checkpoint it is the group's own
    train_together(tmp_path / "killed", configs, stream if most_epochs is None else formed)
    assert bits(tmp_path / "killed", configs) == bits(finished, configs)


def test_a_device_with_memory_of_its_own_and_recorded_steps_gives_the_same_bits(
    whole: tuple[Path, dict[str, dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, killed and resumed: `cpu:0` is another device than `cpu`, so all that is moved there is a copy."""
    finished, configs = whole
    device = torch.device("cpu", 0)
    replays = pretend_graphs(monkeypatch)
    with monkeypatch.context() as patch:
        killed_after(9, patch)
        with pytest.raises(Terminated):
            train_together(tmp_path, configs, device=device)
    (formed,) = form_groups(tmp_path, configs, members=40)
    train_together(tmp_path, configs, formed, device)
    assert len(replays) > 5
    assert bits(tmp_path, configs) == bits(finished, configs)


def pretend_graphs(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Let steps go the way of recorded ones, though no CUDA is there; return a list that grows by one a replay."""
    replays: list[None] = []

    class Graph:
        def __init__(self, step: Callable[[], None]) -> None:
            self.step = step

        def replay(self) -> None:
            replays.append(None)
            self.step()

    begin = Repeated.__init__

    def begin_as_on_cuda(repeated: Any, *arguments: Any) -> None:
        begin(repeated, *arguments)
        repeated._counts = repeated._records = True

    monkeypatch.setattr(Repeated, "__init__", begin_as_on_cuda)
    monkeypatch.setattr(Repeated, "_aside", lambda repeated, step: step())
    monkeypatch.setattr(Repeated, "_recorded", lambda repeated: Graph(repeated._next))
    return replays


def test_those_that_finished_before_change_nothing_for_the_others(composed: Composed, tmp_path: Path) -> None:
    configs = {f"seed{seed}": composed(*SMALL, "regularizer=dropout", f"seed={seed}") for seed in range(3)}
    train_together(tmp_path / "whole", configs)
    formed = Formed(list(configs), {0: "seed0", 2: "seed2"}, "stream")
    train_together(tmp_path / "two", configs, formed)
    assert bits(tmp_path / "two", ["seed0", "seed2"]) == bits(tmp_path / "whole", ["seed0", "seed2"])


def test_a_member_that_diverges_harms_no_other(composed: Composed, tmp_path: Path) -> None:
    configs = {f"seed{seed}": composed(*SMALL, "optimizer=sgd", f"seed={seed}") for seed in range(3)}
    train_together(tmp_path / "whole", configs)
    wild = {**configs, "seed1": composed(*SMALL, "optimizer=sgd", "optimizer.lr=1e30", "seed=1")}
    train_together(tmp_path / "wild", wild)
    results = json.loads((tmp_path / "wild/seed1/results.json").read_text())
    assert results["status"] == "diverged"
    assert bits(tmp_path / "wild", ["seed0", "seed2"]) == bits(tmp_path / "whole", ["seed0", "seed2"])


def test_dropouts_masks_do_not_depend_on_who_is_still_there(composed: Composed, tmp_path: Path) -> None:
    """Members may have the same p or each their own; a row's masks are drawn in the same way."""
    configs = {
        f"p{p}": composed(*SMALL, "regularizer=dropout", f"regularizer.dropout.p={p}", "seed=1") for p in (0.1, 0.5)
    }
    train_together(tmp_path / "whole", configs)
    train_together(tmp_path / "one", configs, Formed(list(configs), {1: "p0.5"}, "stream"))
    assert bits(tmp_path / "one", ["p0.5"]) == bits(tmp_path / "whole", ["p0.5"])


def test_each_member_stops_early_by_itself(composed: Composed, tmp_path: Path) -> None:
    chosen = ("model=mlp_small", "trainer.max_epochs=12", "optimizer.lr=0.02", "callbacks=early_stopping")
    configs = {
        f"seed{seed}": composed(*chosen, "callbacks.early_stopping.patience=1", f"seed={seed}") for seed in range(3)
    }
    train_together(tmp_path / "together", configs)
    alone = {name: run(tmp_path / "alone" / name, config) for name, config in configs.items()}
    together = {name: read_results(tmp_path / "together" / name) for name in configs}
    epochs = {name: each.epochs_trained for name, each in together.items() if each}
    assert epochs == {name: each.epochs_trained for name, each in alone.items()}
    assert len(set(epochs.values())) > 1


class Failing(Regularizer):
    """Fails where it is vectorized."""

    def penalty(self, net: torch.nn.Module) -> Tensor | float:
        raise RuntimeError("no penalty today")


def test_what_the_program_cannot_do_is_recorded_for_each_member(composed: Composed, tmp_path: Path) -> None:
    failing = {"failing": {"_target_": f"{__name__}.Failing"}}
    configs = {f"seed{seed}": {**composed(*SMALL, f"seed={seed}"), "regularizer": failing} for seed in range(2)}
    train_together(tmp_path, configs)
    for name in configs:
        results = json.loads((tmp_path / name / "results.json").read_text())
        assert (results["status"], "no penalty today" in results["error"]) == ("failed", True)


def test_too_many_members_for_the_memory_leave_their_runs_unfinished(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(*arguments: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Program, "take_steps", fill_up)
    configs = {f"seed{seed}": composed(*SMALL, f"seed={seed}") for seed in range(2)}
    with pytest.raises(TooManyMembersError, match="no memory for so many members"):
        train_together(tmp_path, configs)
    assert [json.loads((tmp_path / name / "results.json").read_text())["status"] for name in configs] == [
        "interrupted",
        "interrupted",
    ]


def test_ctrl_c_is_recorded_for_each_member(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Program, "take_steps", press)
    configs = {f"seed{seed}": composed(*SMALL, f"seed={seed}") for seed in range(2)}
    with pytest.raises(KeyboardInterrupt):
        train_together(tmp_path, configs)
    errors = [json.loads((tmp_path / name / "results.json").read_text())["error"] for name in configs]
    assert errors == ["stopped by Ctrl-C"] * 2


def test_a_compiled_program_gives_the_same_numbers(composed: Composed, tmp_path: Path) -> None:
    chosen = ("model=mlp_small", "regularizer=[batchnorm,l1]", "optimizer=sgd")
    for compiled in ("true", "false"):
        configs = {f"seed{seed}": composed(*chosen, f"compile={compiled}", f"seed={seed}") for seed in range(2)}
        train_together(tmp_path / compiled, configs)
    for name in ("seed0", "seed1"):
        ours, theirs = (read_results(tmp_path / compiled / name) for compiled in ("true", "false"))
        assert ours is not None
        assert theirs is not None
        assert ours.metrics["train/loss"] == pytest.approx(theirs.metrics["train/loss"], rel=1e-4)


def overall(metrics: Mapping[str, float | None]) -> float:
    """Return the accuracy on all images of the digits, in points."""
    images = {"train/acc": 1200, "val/acc": 237, "test/acc": 360}
    return 100 * sum(count * (metrics[name] or 0) for name, count in images.items()) / sum(images.values())


@pytest.mark.slow
def test_over_forty_seeds_accuracies_are_those_of_runs_alone_though_masks_are_others(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their 95 % interval holds 0 and lies within ±0.3 points.

    With p = 0.5 two runs alone whose masks differ are 6 points apart (one standard deviation) after two epochs.
    """
    monkeypatch.setattr("regbench.runs.run.find_acting", lambda *arguments: None)  # a fifth of such a run
    overrides = ("regularizer=dropout", "regularizer.dropout.p=0.02", "dataset.batch_size=10", "scheduler=one_cycle")
    chosen = ("model=mlp_small", "dataset.train_size=null", "trainer.max_epochs=2", *overrides)
    configs = {f"seed{seed}": composed(*chosen, f"seed={seed}") for seed in range(40)}
    train_together(tmp_path / "together", configs)
    differences = []
    for name, config in configs.items():
        ours = read_results(tmp_path / "together" / name)
        assert ours is not None
        alone = run(tmp_path / "alone" / name, config)
        differences.append(overall(ours.metrics) - overall(alone.metrics))
    mean, half = np.mean(differences), stats.t.ppf(0.975, 39) * stats.sem(differences)
    assert abs(mean) <= half
    assert abs(mean) + half < 0.3
