"""Ray's launcher without Ray: what it says where Ray or a value is missing or wrong."""

import sys

import pytest

from tests.commands import Command

SWEEP = ["-m", "dataset=digits", "trainer.max_epochs=1", "dataset.train_size=100", "study=s", "seed=range(2)"]
SWEEP += ["hydra/launcher=ray"]


def test_without_ray_one_line_says_what_to_install(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    ended = command("train.py", *SWEEP)
    assert ended.status == 1
    assert ended.err == (
        "error: hydra/launcher=ray: expected the package ray, which is not installed: pip install 'regbench[ray]'\n"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("cpus_per_run=0", "hydra.launcher.cpus_per_run: expected a finite number above 0; received 0"),
        ("gpus_per_run=-1", "hydra.launcher.gpus_per_run: expected a finite number of at least 0; received -1"),
        ("max_retries=some", "hydra.launcher.max_retries: expected an integer of at least -1; received 'some'"),
    ],
)
def test_a_wrong_value_is_told_in_one_line(given: str, message: str, command: Command) -> None:
    ended = command("train.py", *SWEEP, f"hydra.launcher.{given}")
    assert ended.status == 1
    assert ended.err == f"error: {message}\n"
