"""Images of any number of channels, from the source to pictures: networks, techniques, identity, what is refused."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from regbench.config import compose
from regbench.config.identity import config_hash
from regbench.data.image_files import read_colour
from regbench.data.module import ImageData, resize
from regbench.data.sources import Arrays, Source
from regbench.drawing.pictures import visible
from regbench.drawing.run_pictures import tiles
from regbench.regularizers.augmentation import warp
from regbench.runs.evaluation import write_predictions
from regbench.runs.export import metadata
from regbench.runs.loading import TrainedRun
from regbench.runs.parts import build
from regbench.runs.summary import summarize
from regbench.study.figures.predictions import mistake_grid, sample_grid
from regbench.study.predictions import read_predictions

Composed = Callable[..., dict[str, Any]]
MODELS = ("lenet5", "lenet5_relu", "lenet5_compact", "mlp", "mlp_small", "resnet20")


class Drawn(Source):
    """Forty images `(C, S, S)` of four classes, and twenty of the test."""

    def __init__(self, channels: int = 3, height: int = 12, width: int = 12) -> None:
        self.shape = (channels, height, width)

    def read(self, root: Path) -> Arrays:
        generator = torch.Generator().manual_seed(0)
        train, test = (
            torch.randint(0, 256, (count, *self.shape), generator=generator, dtype=torch.uint8) for count in (40, 20)
        )
        return Arrays(train, torch.arange(40) % 4, test, torch.arange(20) % 4)


def image_data(source: Source, **changes: Any) -> ImageData:
    arguments: dict[str, Any] = {
        "name": "drawn", "classes": list("abcd"), "mean": 0.5, "std": 0.5, "train_images": 40, "root": Path(),
        "image_size": 12, "batch_size": 10, "val_size": 8, "channels": 3,
    }  # fmt: skip
    data = ImageData(source, **{**arguments, **changes})
    data.setup()
    return data


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_every_model_takes_any_number_of_channels(model: str, channels: int) -> None:
    means = [0.1 * (each + 1) for each in range(channels)]
    parts = build(
        compose([f"model={model}", f"dataset.channels={channels}", f"dataset.mean={means}", "regularizer=batchnorm"])
    )
    net, side = parts.classifier.net, parts.data.image_size
    net(torch.rand(4, channels, side, side)).sum().backward()
    assert summarize(net, side, channels)[-1].shape == (10,)
    normalized = next(net.children())(torch.ones(1, channels, 2, 2))
    torch.testing.assert_close(normalized[0, :, 0, 0], (1 - torch.tensor(means)) / 0.353)


@pytest.mark.parametrize("group", ["dataset", "model"])
def test_one_channel_is_what_runs_had_before_there_was_a_key(group: str, composed: Composed) -> None:
    before = composed()
    del before["dataset"]["channels"], before["model"]["channels"], before["dataset"]["light_on_dark"]
    assert config_hash(composed()) == config_hash(before)
    changed = composed()
    changed[group]["channels"] = 3
    assert config_hash(changed) != config_hash(before)
    of_ones_own = copy.deepcopy(before)
    of_ones_own[group]["_target_"] = "mine.Own"
    with_key = copy.deepcopy(of_ones_own)
    with_key[group]["channels"] = 1
    assert config_hash(with_key, {}) != config_hash(of_ones_own, {})


def test_runs_from_before_the_key_are_compared_with_those_from_after(composed: Composed) -> None:
    from regbench.study.recipes import Recipe

    before = composed()
    del before["dataset"]["channels"], before["model"]["channels"]
    assert Recipe(composed(), {}).cells == Recipe(before, {}).cells


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.channels=3"], "^model.channels: expected 1, the number of dataset.channels; received 3"),
        (
            ["dataset.mean=[0.1,0.2]"],
            r"^model: mean: expected one number, or one for each of 1 channels; received \[0.1",
        ),
        (
            ["dataset.channels=3", "dataset.std=[1,1]"],
            "^model: std: expected one number, or one for each of 3 channels",
        ),
        (["dataset.channels=0"], "^dataset.channels: expected an integer above 0; received 0"),
        (["dataset.std=[0.1,0]"], "^dataset.std"),
        (["model=resnet20", "model.image_size=2"], "^(model|dataset).image_size: expected an integer of at least 4"),
        (["model=resnet20", "model.blocks=0"], "^model.blocks: expected an integer above 0"),
    ],
)
def test_channels_that_do_not_fit_together_are_refused_in_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build(compose(overrides))
    assert "\n" not in str(caught.value)


def test_a_model_s_yaml_without_the_key_is_of_one_channel(composed: Composed) -> None:
    config = composed("dataset.channels=3")
    del config["model"]["channels"]
    with pytest.raises(ValueError, match=r"model\.channels: expected 3, .* received 1"):
        build(config)
    config["dataset"]["channels"] = 1
    build(config)


def test_images_that_are_not_square_or_of_other_channels_are_refused_in_one_line() -> None:
    with pytest.raises(
        ValueError, match=r"expected square images, received drawn with images of 12 × 10; regbench new d"
    ):
        image_data(Drawn(3, 12, 10))
    with pytest.raises(
        ValueError, match=r"dataset\.channels: drawn holds images of 4 channels, its configuration says 3"
    ):
        image_data(Drawn(4))


@pytest.mark.parametrize("size", [12, 9, 20])
def test_channels_are_resized_each_by_itself(size: int) -> None:
    images = torch.randint(0, 256, (4, 3, 12, 12), dtype=torch.uint8)
    expected = torch.cat([resize(images[:, each], size) for each in range(3)], 1)
    torch.testing.assert_close(resize(images, size), expected)


def test_all_channels_of_an_image_move_together() -> None:
    images = torch.rand(6, 3, 11, 11)
    arguments = (torch.linspace(-0.5, 0.5, 6), torch.linspace(0.9, 1.1, 6), torch.randn(6, 2), torch.arange(6) % 2 == 0)
    moved = warp(images, *arguments)
    for each in range(3):
        torch.testing.assert_close(moved[:, each : each + 1], warp(images[:, each : each + 1], *arguments))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_stored_pictures_are_the_images_and_reports_draw_them(channels: int, tmp_path: Path) -> None:
    data = image_data(Drawn(channels), channels=channels)
    labels = data.splits["test"].labels
    logits = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
    write_predictions(tmp_path / "predictions.npz", data, logits, labels)
    found = read_predictions([tmp_path])
    assert not found.problems
    shape = (12, 12) if channels == 1 else (12, 12, channels)
    assert found.samples.shape == (16, *shape)
    expected = Drawn(channels).read(Path()).test_images[labels.argsort(stable=True)[:4]]
    stored = found.samples[:4].reshape(4, 12, 12, channels)
    assert np.array_equal(stored, expected.permute(0, 2, 3, 1).numpy()[:4])
    sample_grid("samples", found.samples, data.classes)
    mistake_grid("mistakes", found.mistakes, data.classes, "none")


@pytest.mark.parametrize(("channels", "expected"), [(1, 1), (2, 1), (3, 3), (5, 3)])
def test_of_many_channels_the_first_three_are_shown(channels: int, expected: int) -> None:
    image = np.random.default_rng(0).random((6, 6, channels))
    shown = visible(image)
    assert np.array_equal(shown.reshape(6, 6, expected), image[..., :expected])


def test_tensorboard_s_tiles_are_in_colour() -> None:
    images: Tensor = torch.zeros(3, 3, 20, 20)
    for each in range(3):
        images[each, each] = 1
    (shown,) = tiles(images.permute(0, 2, 3, 1).numpy(), ["red", "green", "blue"]).axes[0].get_images()
    colours = {tuple(colour) for colour in np.asarray(shown.get_array()).reshape(-1, 3).round().astype(int)}
    assert colours == {(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)}


def test_a_colour_file_is_read_as_it_is_and_white_lies_behind_transparency(tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 4), np.uint8)
    pixels[..., 3] = np.where(np.arange(10) < 5, 255, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = read_colour(tmp_path / "a.png")
    assert np.array_equal((found[:, :, :5] * 255).round(), pixels[:, :5, :3].transpose(2, 0, 1))
    assert (found[:, :, 5:] == 1).all()
    Image.fromarray(np.full((12, 12), 32_768, np.uint16)).save(tmp_path / "deep.png")
    assert np.allclose(read_colour(tmp_path / "deep.png"), 0.5, atol=1e-4)


def test_exports_say_what_images_they_take(composed: Composed) -> None:
    from regbench.storage.results import RunResults

    for overrides, told in (
        ([], "images (N, 1, 28, 28) in [0, 1], light on dark"),
        (["dataset.light_on_dark=false"], "images (N, 1, 28, 28) in [0, 1]"),
        (["dataset.channels=3"], "images (N, 3, 28, 28) in [0, 1], red, green, blue"),
    ):
        config = composed(*overrides)
        parts = build(config)
        results = RunResults.model_construct(dataset="a", model="b", setting="c", seed=0, config_hash="d", metrics={})
        assert metadata(TrainedRun(parts.classifier.net, parts.data, config, results))["input"] == told
