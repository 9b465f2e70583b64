"""Torchvision's sets in other formats than MNIST's, read from small files that are written here in these formats."""

import gzip
import hashlib
import io
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision import datasets

from regbench.config import compose
from regbench.config.composing import CONFIGS
from regbench.config.objects import construct
from regbench.data import ImageData
from regbench.data.sources import Arrays, TorchvisionIDX
from regbench.data.torchvision_sets import TorchvisionSet

TRAIN, TEST = 20, 10
Write = Callable[[Path, pytest.MonkeyPatch], tuple[Any, Any]]


def pixels(shape: tuple[int, ...], seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def idx(array: np.ndarray[Any, Any], kind: int = 8) -> bytes:
    stored = array.astype({8: np.uint8, 12: ">i4"}[kind])
    return bytes([0, 0, kind, array.ndim]) + np.array(array.shape, ">u4").tobytes() + stored.tobytes()


def write_cifar(name: str, folder: str, archive: str, label_key: str, classes: int) -> Write:
    def write(place: Path, patch: pytest.MonkeyPatch) -> tuple[Any, Any]:
        kind = getattr(datasets, name)
        parts = {"train": ["data_batch_1", "data_batch_2"], "test": ["test_batch"]}
        if name == "CIFAR100":
            parts = {"train": ["train"], "test": ["test"]}
        members: dict[str, bytes] = {}
        images, labels = pixels((TRAIN + TEST, 3, 32, 32), 1), np.arange(TRAIN + TEST) * 7 % classes
        shares = [*np.array_split(np.arange(TRAIN), len(parts["train"])), np.arange(TRAIN, TRAIN + TEST)]
        for member, share in zip(parts["train"] + parts["test"], shares, strict=True):
            entry = {"data": images[share].reshape(len(share), -1), label_key: labels[share].tolist()}
            members[member] = pickle.dumps(entry)
        members[kind.meta["filename"]] = pickle.dumps({kind.meta["key"]: ["a"] * classes})
        with tarfile.open(place / archive, "w:gz") as tar:
            for member, content in members.items():
                info = tarfile.TarInfo(f"{folder}/{member}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        patch.setattr(kind, "tgz_md5", md5((place / archive).read_bytes()))
        patch.setattr(kind, "train_list", [[each, md5(members[each])] for each in parts["train"]])
        patch.setattr(kind, "test_list", [[each, md5(members[each])] for each in parts["test"]])
        patch.setattr(kind, "meta", {**kind.meta, "md5": md5(members[kind.meta["filename"]])})
        return images, labels

    return write


def write_svhn(place: Path, patch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    images, labels = pixels((TRAIN + TEST, 3, 32, 32), 2), np.arange(TRAIN + TEST) % 10
    listed = dict(datasets.SVHN.split_list)
    for part, share in (("train", slice(TRAIN)), ("test", slice(TRAIN, None))):
        path = place / listed[part][1]
        stored = np.where(labels[share] == 0, 10, labels[share]).astype(np.uint8)[:, None]
        savemat(path, {"X": images[share].transpose(2, 3, 1, 0), "y": stored})
        listed[part] = [*listed[part][:2], md5(path.read_bytes())]
    patch.setattr(datasets.SVHN, "split_list", listed)
    return images, labels


def write_emnist(place: Path, patch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    images, labels = pixels((TRAIN + TEST, 28, 28), 3), np.arange(TRAIN + TEST) % 26
    raw = place / "EMNIST/raw"
    raw.mkdir(parents=True)
    with zipfile.ZipFile(raw / "gzip.zip", "w") as packed:
        for part, share in (("train", slice(TRAIN)), ("test", slice(TRAIN, None))):
            for kind, content in (
                ("images-idx3", idx(images[share].transpose(0, 2, 1))),
                ("labels-idx1", idx(labels[share] + 1)),
            ):
                packed.writestr(f"gzip/emnist-letters-{part}-{kind}-ubyte.gz", gzip.compress(content))
    patch.setattr(datasets.EMNIST, "md5", md5((raw / "gzip.zip").read_bytes()))
    return images, labels


def write_qmnist(place: Path, patch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    images, labels = pixels((TRAIN + TEST, 28, 28), 4), np.arange(TRAIN + TEST) % 10
    told = np.column_stack([labels, np.full((TRAIN + TEST, 7), 99)])
    raw = place / "QMNIST/raw"
    raw.mkdir(parents=True)
    resources = dict(datasets.QMNIST.resources)
    for part, share in (("train", slice(TRAIN)), ("test", slice(TRAIN, None))):
        contents = (idx(images[share]), idx(told[share], kind=12))
        found = []
        for (url, _), content in zip(resources[part], contents, strict=True):
            path = raw / url.rpartition("/")[2]
            path.write_bytes(gzip.compress(content))
            found.append((url, md5(path.read_bytes())))
        resources[part] = found
    patch.setattr(datasets.QMNIST, "resources", resources)
    return images, labels


WRITERS: dict[str, tuple[TorchvisionSet, Write]] = {
    "CIFAR10": (
        TorchvisionSet("CIFAR10"),
        write_cifar("CIFAR10", "cifar-10-batches-py", "cifar-10-python.tar.gz", "labels", 10),
    ),
    "CIFAR100": (
        TorchvisionSet("CIFAR100"),
        write_cifar("CIFAR100", "cifar-100-python", "cifar-100-python.tar.gz", "fine_labels", 100),
    ),
    "EMNIST": (TorchvisionSet("EMNIST", "letters"), write_emnist),
    "QMNIST": (TorchvisionSet("QMNIST"), write_qmnist),
    "SVHN": (TorchvisionSet("SVHN"), write_svhn),
}


@pytest.fixture(params=WRITERS)
def offered(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[TorchvisionSet, Path, Any, Any]:
    """A set, the folder that offers its archives, and what they hold; the network is gone."""
    source, write = WRITERS[request.param]
    place = tmp_path / "offered"
    place.mkdir()
    monkeypatch.setenv("DATA_DIR", str(place))
    for module in (datasets.utils, datasets.cifar, datasets.svhn, datasets.mnist):
        for name in ("_urlretrieve", "urllib"):
            if hasattr(module, name):
                monkeypatch.delattr(module, name)
    return source, place, *write(place, monkeypatch)


def check(arrays: Arrays, images: Any, labels: Any) -> None:
    for number, stored in enumerate((images[:TRAIN], labels[:TRAIN], images[TRAIN:], labels[TRAIN:])):
        assert np.array_equal(arrays[number].numpy(), stored)
    assert arrays.train_images.dtype == torch.uint8
    assert arrays.train_labels.dtype == torch.int64


def test_offered_archives_are_decoded_without_network_and_kept(
    offered: tuple[TorchvisionSet, Path, Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, place, images, labels = offered
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    check(source.read(tmp_path / "data"), images, labels)
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    shutil.rmtree(place)
    monkeypatch.delenv("DATA_DIR")
    check(source.read(tmp_path / "data"), images, labels)


def test_a_damaged_archive_is_refused_by_name(offered: tuple[TorchvisionSet, Path, Any, Any], tmp_path: Path) -> None:
    source, place, _, _ = offered
    archive = next(path for path in sorted(place.rglob("*")) if path.is_file())
    archive.write_bytes(archive.read_bytes()[:-3])
    with pytest.raises(
        ValueError, match=rf"{archive.name}: damaged, or no official archive .*; move it away"
    ) as caught:
        source.read(tmp_path / "data")
    assert "\n" not in str(caught.value)


def test_without_archives_one_line_says_which_and_where(
    offered: tuple[TorchvisionSet, Path, Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, place, _, _ = offered
    names = [path.name for path in place.rglob("*") if path.is_file()]
    shutil.rmtree(place)

    def broken(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("no network")

    for module in (datasets.cifar, datasets.mnist, datasets.svhn):
        for name in ("download_and_extract_archive", "download_url"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, broken)
    with pytest.raises(FileNotFoundError, match=r"no archive found in DATA_DIR=.* \(no such folder\)") as caught:
        source.read(tmp_path / "data")
    assert "\n" not in str(caught.value)
    for name in names:
        assert name in str(caught.value)


def test_an_unwritable_root_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"dataset\.root=.*file/data: cannot be written"):
        TorchvisionSet("CIFAR10").read(tmp_path / "file" / "data")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("CIFAR11",), "dataset: expected 'CIFAR10', .*; received 'CIFAR11'"),
        (("EMNIST",), "split: expected one of EMNIST's parts, received None"),
        (("SVHN", "letters"), "split: expected null for SVHN, received 'letters'"),
        (("EMNIST", "words"), "split: expected 'byclass'"),
    ],
)
def test_other_sets_and_parts_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TorchvisionSet(*arguments)


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIGS / "dataset").glob("*.yaml")))
def test_every_dataset_composes_with_each_kind_of_network_and_names_torchvisions_classes(name: str) -> None:
    for model in ("lenet5", "mlp", "resnet20"):
        config = compose([f"dataset={name}", f"model={model}"])
        assert config["model"]["channels"] == config["dataset"]["channels"]
    node = config["dataset"]
    data = construct(node, ImageData, "dataset")
    assert len(set(data.classes)) == len(data.classes)
    if isinstance(data.source, TorchvisionSet) and data.source.split:
        listed = datasets.EMNIST.classes_split_dict[data.source.split]
        assert data.classes == [each for each in listed if each != "N/A"]
    elif isinstance(data.source, TorchvisionIDX):
        known = [each.partition(" - ")[0] for each in data.source.dataset.classes]
        assert data.classes == known
