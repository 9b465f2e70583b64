"""Somebody else's run folder: whatever it names or holds, none of its code runs."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from regbench import load_run
from regbench.cli import app
from regbench.config.identity import config_hash
from regbench.config.trust import check_targets
from regbench.runs.run import run
from regbench.storage.configs import read_config
from regbench.storage.results import DamagedError, read_results, write_results

EVIL = "from pathlib import Path\nPath({ran!r}).touch()\n\n\nclass Net:\n    pass\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from regbench.config import compose

    folder = tmp_path_factory.mktemp("finished")
    quick = ["dataset=digits", "trainer.max_epochs=1", "dataset.train_size=100", "threads=1", "model=mlp_small"]
    run(folder, compose(quick))
    return folder


@pytest.fixture
def stranger(finished: Path, tmp_path: Path) -> Callable[[str, dict[str, Any]], Path]:
    """Give a run folder below `outputs` whose configuration was changed by somebody who knows how to keep its hash."""

    def make(group: str, node: dict[str, Any]) -> Path:
        folder = tmp_path / "outputs/stranger"
        shutil.copytree(finished, folder)
        stored = yaml.safe_load((folder / "config.yaml").read_text())
        stored["config"][group] = node
        (folder / "config.yaml").write_text(yaml.safe_dump(stored))
        results = read_results(folder)
        assert results is not None
        write_results(folder, results.model_copy(update={"config_hash": config_hash(stored["config"])}))
        return folder

    return make


@pytest.mark.parametrize("target", ["outputs.stranger.evil.Net", "evil.Net", "..evil.Net", "regbench..evil.Net"])
def test_a_class_beside_the_run_is_not_imported(
    target: str, stranger: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stranger("model", {"_target_": target})
    ran = tmp_path / "ran"
    (folder / "evil.py").write_text(EVIL.format(ran=str(ran)))
    monkeypatch.chdir(tmp_path)
    # As in a notebook at the project's top, or with an empty entry in PYTHONPATH.
    monkeypatch.setattr(sys, "path", ["", str(folder), *sys.path])
    for command in (["evaluate"], ["export"], ["predict", str(folder), "x.png"]):
        arguments = command if len(command) > 1 else [*command, str(folder)]
        ended = CliRunner().invoke(app, arguments)
        assert ended.exit_code == 1
        assert "model._target_" in ended.stderr
        assert "--trust" in ended.stderr
        assert ended.stderr.count("\n") == 1
    CliRunner().invoke(app, ["report", str(folder)])
    assert not ran.exists()


def test_a_module_that_acts_when_it_is_imported_is_not(
    stranger: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built = tmp_path / "environment"
    monkeypatch.setattr(sys, "argv", ["python", str(built)])
    folder = stranger("model", {"_target_": "venv.__main__.main"})
    with pytest.raises(ValueError, match=r"model\._target_: 'venv\.__main__\.main' is neither"):
        load_run(folder)
    assert not built.exists()


@pytest.mark.parametrize("place", ["dataset", "optimizer", "scheduler", "trainer", "callbacks", "regularizer"])
def test_every_part_is_checked_however_deep_its_class_is_named(place: str) -> None:
    with pytest.raises(ValueError, match=rf"^{place}\.inner\[1\]\.deep\._target_: 'os\.system'"):
        check_targets({place: {"inner": [1, {"deep": {"_target_": "os.system"}}]}})


@pytest.mark.parametrize("target", [None, 3, ["torch.optim.Adam"], "torch.optim", "torch", "Adam", "regbench.cli.app"])
def test_what_is_no_class_of_an_allowed_module_is_refused(target: Any) -> None:
    with pytest.raises(ValueError, match=r"^model\._target_: "):
        check_targets({"model": {"_target_": target}})


def test_a_trusted_package_is_imported_and_no_other_of_a_like_name(
    stranger: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = {"_target_": "own_networks.Net", "name": "own", "image_size": 28}
    folder = stranger("model", node)
    (tmp_path / "own_networks.py").write_text(
        "from regbench.models import MLP\n\n\n"
        "class Net(MLP):\n    def __init__(self, image_size, regularizer):\n"
        "        super().__init__(image_size, [20], 'relu', 10, 0.306, 0.3251, regularizer)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="--trust own_networks"):
        load_run(folder, trust=["own"])
    assert type(load_run(folder, trust=["own_networks"]).net).__name__ == "Net"


def test_a_document_of_aliases_is_refused_by_its_size_once_written_out(tmp_path: Path) -> None:
    levels = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 20)]
    (tmp_path / "config.yaml").write_text("\n".join(["a0: &a0 [x]", *levels, "config: {study: *a19}", "overrides: []"]))
    with pytest.raises(DamagedError, match="at most 100,000 values once its aliases are written out"):
        read_config(tmp_path)

    (tmp_path / "config.yaml").write_text("config: &own {itself: *own}\noverrides: []\n")
    with pytest.raises(DamagedError, match="at most 100,000 values"):
        read_config(tmp_path)
