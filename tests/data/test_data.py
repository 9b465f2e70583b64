from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as transforms

from regbench.data.module import PROBE_SIZE, Batches, ImageData, Split, resize
from regbench.data.sources import Arrays, Digits, Source


def image_data(source: Source | None = None, **changes: Any) -> ImageData:
    arguments: dict[str, Any] = {
        "name": "digits", "classes": [str(digit) for digit in range(10)], "mean": 0.3, "std": 0.3, "train_images": 1437,
        "root": Path(), "image_size": 28, "batch_size": 50, "val_size": 237, "train_size": None, "split_seed": 0,
    }  # fmt: skip
    return ImageData(source or Digits(), **{**arguments, **changes})


def keys(split: Split) -> set[bytes]:
    return {image.numpy().tobytes() for image in split.images}


def test_splits_are_apart_whole_and_in_the_unit_interval() -> None:
    data = image_data()
    data.setup()
    train, val, test = (data.splits[name] for name in ("train", "val", "test"))
    assert [len(split.labels) for split in (train, val, test)] == [1200, 237, 360]
    assert train.images.shape == (1200, 1, 28, 28)
    assert train.images.min() >= 0
    assert train.images.max() <= 1
    assert not keys(train) & keys(val)
    assert not keys(train) & keys(test)


def test_validation_is_stratified() -> None:
    data = image_data()
    data.setup()
    whole = torch.cat([data.splits["train"].labels, data.splits["val"].labels]).bincount()
    expected = whole * 237 / 1437
    assert (data.splits["val"].labels.bincount() - expected).abs().max() <= 1.5


def test_smaller_training_sets_lie_within_larger_ones_and_are_stratified() -> None:
    sets = []
    for size in (100, 500, None):
        data = image_data(train_size=size)
        data.setup()
        sets.append(keys(data.splits["train"]))
        counts = data.splits["train"].labels.bincount(minlength=10)
        assert counts.max() - counts.min() <= (4 if size == 100 else 15)
    assert len(sets[0]) == 100
    assert sets[0] < sets[1] < sets[2]


def test_no_validation_leaves_everything_to_training() -> None:
    data = image_data(val_size=0)
    data.setup()
    assert len(data.splits["train"].labels) == 1437
    assert len(data.splits["val"].labels) == 0


def test_the_probe_is_a_stratified_beginning_of_the_training_split() -> None:
    data = image_data()
    data.setup()
    probe = data.evaluation_batches("probe").split
    assert torch.equal(probe.images, data.splits["train"].images[:PROBE_SIZE])


@pytest.mark.parametrize("size", [28, 32])
def test_resizing_equals_torchvisions_antialiased_bilinear(size: int) -> None:
    images = torch.randint(0, 256, (5, 28, 28), dtype=torch.uint8)
    expected = transforms.resize(images.unsqueeze(1).float() / 255, [size, size], antialias=True)
    torch.testing.assert_close(resize(images, size), expected)


@given(count=st.integers(1, 200), size=st.integers(1, 60))
def test_batches_hold_every_example_once_and_never_one_alone(count: int, size: int) -> None:
    split = Split(torch.arange(count).view(-1, 1, 1, 1).float(), torch.arange(count))
    batches = Batches(split, size, order=lambda: torch.arange(count).flip(0))
    labels = [batch.labels for batch in batches]
    assert len(labels) == len(batches)
    assert torch.cat(labels).tolist() == list(range(count))[::-1]
    assert all(len(batch) == size for batch in labels[:-2])
    if count > 1 and size > 1:
        assert all(len(batch) > 1 for batch in labels)
    assert all(torch.equal(batch.images.flatten().long(), batch.labels) for batch in batches)


def test_batches_without_an_order_are_views_of_the_split() -> None:
    split = Split(torch.rand(10, 1, 2, 2), torch.arange(10))
    first = next(iter(Batches(split, 4)))
    assert first.images.data_ptr() == split.images.data_ptr()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_size": 1437}, "val_size must be from 0 to 1436.*received 1437"),
        ({"train_size": 1201}, "train_size must be from 10 .* to 1200 .* received 1201"),
        ({"train_size": 9}, "train_size must be from 10"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused_before_reading(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        image_data(**changes)


class Tiny(Source):
    def read(self, root: Path) -> Arrays:
        images, labels = torch.zeros(30, 4, 4, dtype=torch.uint8), torch.arange(30) % 3
        return Arrays(images, labels, images, labels)


def test_a_set_of_another_size_than_configured_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dataset\.train_images: digits holds 30 training images.* says 1437"):
        image_data(Tiny()).setup()


def test_more_labels_than_class_names_are_refused() -> None:
    data = image_data(Tiny(), train_images=30, classes=["a", "b"], val_size=3)
    with pytest.raises(ValueError, match=r"dataset\.classes: .* labels up to 2, but 2 names"):
        data.setup()
