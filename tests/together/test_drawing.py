"""Pictures of many members, drawn in several processes."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from regbench.runs.run import run
from regbench.storage.results import read_results
from regbench.together.drawing import draw_all
from regbench.together.forming import form_groups
from regbench.together.questions import Drawing
from regbench.training.interruption import Terminated
from tests.together.test_group import SMALL, killed_after, train_together

pytestmark = pytest.mark.drawn
Composed = Callable[..., dict[str, Any]]


def test_each_gets_its_own_picture_whether_few_or_many_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    for count in (2, 20):
        drawings = {3 * number: Drawing(divmod, (number, 7)) for number in range(count)}
        assert draw_all(drawings) == {3 * number: divmod(number, 7) for number in range(count)}


def test_many_are_drawn_by_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    drawn = draw_all({number: Drawing(os.getpid, ()) for number in range(8)})
    assert os.getpid() not in drawn.values()


def test_a_members_pictures_are_those_of_a_run_alone(composed: Composed, tmp_path: Path) -> None:
    configs = {f"seed{seed}": composed("regularizer=weight_decay", f"seed={seed}") for seed in range(2)}
    train_together(tmp_path / "together", configs)
    for name, config in configs.items():
        run(tmp_path / "alone" / name, config)
        found, expected = (pictures(tmp_path / place / name) for place in ("together", "alone"))
        assert (
            found.keys()
            == expected.keys()
            == {"training samples", "test/mistakes", "test/confusion", "test/reliability"}
        )
        assert found["training samples"] == expected["training samples"]


def test_a_member_that_begins_anew_is_trained_with_one_that_goes_on(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It draws before its first step, when the other is about to take one."""
    configs = {f"seed{seed}": composed(*SMALL, f"seed={seed}") for seed in range(2)}
    with monkeypatch.context() as patch:
        killed_after(8, patch)
        with pytest.raises(Terminated):
            train_together(tmp_path, configs)
    shutil.rmtree(tmp_path / "seed1")
    (formed,) = form_groups(tmp_path, configs, members=40)
    train_together(tmp_path, configs, formed)
    for name, config in configs.items():
        found, alone = read_results(tmp_path / name), run(tmp_path / "alone" / name, config)
        assert found is not None
        assert found.metrics["train/loss"] == pytest.approx(alone.metrics["train/loss"], rel=1e-3)


def pictures(folder: Path) -> dict[str, bytes]:
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    return {tag: events.Images(tag)[-1].encoded_image_string for tag in events.Tags()["images"]}
