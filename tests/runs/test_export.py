"""Exported files give what the network gives: both are run beside it."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from regbench.cli import app
from regbench.config import compose
from regbench.runs.loading import TrainedRun, load_run
from regbench.runs.run import run
from regbench.storage.files import write_json

pytestmark = pytest.mark.slow
SETTINGS = [
    ("lenet5", "[batchnorm,dropout,label_smoothing]"),
    ("lenet5_relu", "[layernorm,gaussian_noise]"),
    ("mlp_small", "[augmentation,batchnorm,mixup]"),
]


@pytest.fixture(scope="module", params=SETTINGS, ids=lambda each: each[0])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainedRun]:
    model, setting = request.param
    folder = tmp_path_factory.mktemp("run")
    overrides = ["dataset=digits", "trainer.max_epochs=2", "threads=1", f"model={model}", f"regularizer={setting}"]
    run(folder, compose(overrides), [])
    ended = CliRunner().invoke(app, ["export", str(folder)])
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.split() == [str(folder / "export/model.pt2"), str(folder / "export/model.onnx")]
    return folder / "export", load_run(folder)


def batches(trained: TrainedRun) -> list[tuple[Tensor, Tensor]]:
    """Test images in batches of several sizes, and the network's own logits."""
    trained.data.setup()
    images = trained.data.splits["test"].images
    with torch.inference_mode():
        return [(images[:count], trained.net.eval()(images[:count])) for count in (1, 2, 3, 64, 360)]


def test_the_onnx_file_gives_the_networks_logits_for_any_batch(exported: tuple[Path, TrainedRun]) -> None:
    folder, trained = exported
    onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    side = trained.data.image_size
    assert [(each.name, each.shape) for each in session.get_inputs()] == [("images", ["batch", 1, side, side])]
    assert [(each.name, each.shape) for each in session.get_outputs()] == [("logits", ["batch", 10])]
    for images, logits in batches(trained):
        (found,) = session.run(None, {"images": images.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), logits, atol=1e-5, rtol=0)


def test_the_torch_program_gives_the_networks_logits_for_any_batch(exported: tuple[Path, TrainedRun]) -> None:
    folder, trained = exported
    module = torch.export.load(folder / "model.pt2").module()
    for images, logits in batches(trained):
        torch.testing.assert_close(module(images), logits, atol=1e-5, rtol=0)


def test_both_files_name_their_classes_and_their_origin(exported: tuple[Path, TrainedRun]) -> None:
    folder, trained = exported
    told = dict(onnxruntime.InferenceSession(folder / "model.onnx").get_modelmeta().custom_metadata_map)
    extra = {"metadata.json": ""}
    torch.export.load(folder / "model.pt2", extra_files=extra)
    assert json.loads(extra["metadata.json"]) == told
    assert json.loads(told["classes"]) == trained.data.classes
    assert json.loads(told["metrics"]) == trained.results.metrics
    assert (told["dataset"], told["setting"]) == ("digits", trained.results.setting)


def test_one_form_goes_to_the_folder_asked_for(exported: tuple[Path, TrainedRun], tmp_path: Path) -> None:
    folder, _ = exported
    ended = CliRunner().invoke(app, ["export", str(folder.parent), "--out", str(tmp_path / "new"), "--format", "pt2"])
    assert ended.exit_code == 0, ended.output
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.pt2"]


def test_onnx_without_its_packages_is_refused_in_one_line_that_says_how_to_go_on(
    exported: tuple[Path, TrainedRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def without(name: str, *arguments: Any) -> Any:
        return None if name == "onnxscript" else find(name, *arguments)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    ended = CliRunner().invoke(app, ["export", str(exported[0].parent), "--out", str(tmp_path / "new")])
    assert ended.exit_code == 1
    assert ended.stderr == "error: model.onnx: needs onnxscript: pip install onnxscript, or --format pt2\n"
    assert not (tmp_path / "new").exists()


def test_only_finished_runs_are_exported(tmp_path: Path) -> None:
    write_json(tmp_path / "results.json", {"status": "failed"})
    ended = CliRunner().invoke(app, ["export", str(tmp_path)])
    assert ended.exit_code == 1
    assert "expected the folder of a finished run" in ended.stderr
