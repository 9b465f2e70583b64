"""`import regbench`: what it offers, how little it loads, and one run from Python."""

import subprocess
import sys
from pathlib import Path

import pytest

import regbench
from tests.conftest import QUICK

HEAVY = {"torch", "pandas", "matplotlib", "hydra", "omegaconf", "scipy", "pytorch_lightning"}
OWN = '''from torch import nn

from regbench.regularizers import Regularizer


class Drop(Regularizer):
    """Drops what it is told to."""

    def __init__(self, p):
        self.p = p

    def after_activation(self, features, dims):
        return [nn.Dropout(self.p)]
'''


def loaded_by(code: str) -> set[str]:
    """Return which heavy packages a program has loaded at its end."""
    program = f"import sys\n{code}\nprint(' '.join({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_regbench_loads_nothing_heavy_and_completes_its_public_names() -> None:
    assert loaded_by("import regbench; dir(regbench)") == set()
    assert set(dir(regbench)) == {"compose", "load_run", "load_study", "sweep", "train", "__version__"}
    for name in regbench.__all__:
        assert getattr(regbench, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'test'"):
        regbench.test  # noqa: B018 (is not there)


def test_reading_studies_and_starting_sweeps_loads_no_torch_and_no_hydra() -> None:
    assert loaded_by("import regbench; regbench.load_study; regbench.sweep").isdisjoint({"torch", "hydra", "omegaconf"})


def test_a_run_by_keywords_is_that_of_the_same_overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results = regbench.train(*QUICK, "regularizer=dropout", seed=3)
    assert (results.status, results.setting, results.seed) == ("finished", "dropout", 3)
    assert regbench.train(*QUICK, "regularizer=dropout", "seed=3").reused
    run = regbench.load_run(next(tmp_path.glob("outputs/runs/digits-lenet5/dropout-*/seed3")))
    assert run.results.metrics == results.metrics


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["seed=1", "seed=2"], ValueError, "seed=2: expected seed once, received seed=1 before it"),
        (["model=[mlp,lenet5]"], ValueError, "expected one option of model, received a list"),
        (["regularizer=dropuot"], ValueError, "regularizer: expected one of .* received 'dropuot'"),
        (["seed"], ValueError, "seed: expected KEY=VALUE"),
    ],
)
def test_wrong_overrides_are_refused_in_one_line(
    overrides: list[str], error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message) as raised:
        regbench.train(*overrides)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_an_option_of_the_group_callbacks_is_not_taken_for_lightnings(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="write 'callbacks=ema'"):
        regbench.train(*QUICK, callbacks="ema", folder=tmp_path)


def test_a_technique_of_ones_own_folder_trains_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_drop_in_python.py").write_text(OWN)
    (tmp_path / "mine/regularizer").mkdir(parents=True)
    yaml = "own_drop:\n  _target_: own_drop_in_python.Drop\n  p: 0.5\n"
    (tmp_path / "mine/regularizer/own_drop.yaml").write_text(yaml)
    results = regbench.train(*QUICK, regularizer="own_drop", config_dir="mine")
    assert (results.status, results.setting, results.inert) == ("finished", "own_drop", [])
