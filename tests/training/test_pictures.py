"""TensorBoard's pictures, read back from the event files, and the numbers in them."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from regbench.config import compose
from regbench.drawing.run_pictures import Pixels, draw_tiles, halvable
from regbench.runs.engine import Engine
from regbench.runs.run import run
from regbench.training.classifier import Classifier

pytestmark = pytest.mark.drawn
Composed = Callable[..., dict[str, Any]]
TAGS = {"training samples", "test/mistakes", "test/confusion", "test/reliability"}


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0, "histograms": 0})
    events.Reload()
    return events


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("run")
    config = compose(
        ["dataset=digits", "regularizer=mixup", "trainer.max_epochs=2", "threads=1", "dataset.train_size=200",
         "histograms=true"]
    )  # fmt: skip
    return folder, run(folder, config, [])


def test_every_run_shows_samples_mistakes_confusions_and_calibration(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    folder, results = finished
    events = read(folder)
    assert set(events.Tags()["images"]) == TAGS
    for tag in TAGS:
        (event,) = events.Images(tag)
        assert event.step == (0 if tag == "training samples" else results.epochs_trained + 1)
        picture = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
        assert min(picture.shape[:2]) > 200
        assert picture.std() > 10


def test_the_samples_are_the_very_images_of_the_first_training_step(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Tensor] = []
    trained: list[Tensor] = []
    step = Classifier._loss

    def drawing(images: np.ndarray[Any, Any], captions: list[str]) -> Pixels:
        shown.append(torch.from_numpy(images).permute(0, 3, 1, 2))
        return draw_tiles(images, captions)

    def training(self: Classifier, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        trained.append(images)
        return step(self, images, targets)

    monkeypatch.setattr("regbench.training.tensorboard.draw_tiles", drawing)
    monkeypatch.setattr(Classifier, "_loss", training)
    run(tmp_path, composed("regularizer=[augmentation,cutout,dropout,mixup]"), [])
    assert torch.equal(shown[0], trained[0][:32])


def test_every_second_pixel_of_a_figure_is_the_mean_of_four() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    means = pixels.reshape(3, 2, 4, 2, 3).mean((1, 3))
    found = halvable(pixels)
    assert found.shape == pixels.shape
    assert np.abs(found[::2, ::2] - means).max() <= 2.5
    assert np.array_equal(halvable(np.full((4, 4, 3), 255, np.uint8)), np.full((4, 4, 3), 255))


def test_the_weights_histograms_are_there_by_epoch_when_asked_for(
    finished: tuple[Path, dict[str, Any]], composed: Composed, tmp_path: Path
) -> None:
    folder, _ = finished
    events = read(folder)
    assert "weights/c1.weight" in events.Tags()["histograms"]
    assert [event.step for event in events.Histograms("weights/output.bias")] == [1, 2]
    assert events.Histograms("weights/c1.weight")[-1].histogram_value.num == 150
    run(tmp_path, composed(), [])
    assert read(tmp_path).Tags()["histograms"] == []


def test_pictures_and_histograms_change_no_number(composed: Composed, tmp_path: Path) -> None:
    overrides = ["regularizer=[dropout,mixup]", "trainer.max_epochs=2"]
    first = run(tmp_path / "first", composed(*overrides), [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("regbench.training.tensorboard.TrainingSamples.on_train_start", lambda *arguments: None)
        second = run(tmp_path / "second", composed(*overrides), [])
    third = run(tmp_path / "third", composed(*overrides, "histograms=true"), [])
    assert first.metrics == second.metrics == third.metrics


def test_a_network_without_mistakes_shows_none(tmp_path: Path) -> None:
    from pytorch_lightning.loggers import TensorBoardLogger

    from regbench.runs.parts import build
    from regbench.training.tensorboard import show_predictions

    data = build(compose(["dataset=digits"])).data
    data.setup()
    labels = data.splits["test"].labels
    logger = TensorBoardLogger(tmp_path, name="", version="tensorboard")
    show_predictions([logger], data, torch.eye(10)[labels] * 9, labels, step=1, draw=Engine().draw)
    logger.finalize("success")
    assert set(read(tmp_path).Tags()["images"]) == {"test/confusion", "test/reliability"}
