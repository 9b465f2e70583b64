import gzip
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

from regbench.config import compose
from regbench.config.objects import construct
from regbench.data.sources import Digits, Source, TorchvisionIDX
from tests.data.idx import FILES, trust_archives, write_archives


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of small archives that DATA_DIR names and torchvision trusts; the network is out of reach."""
    folder = tmp_path / "offered"
    write_archives(folder)
    trust_archives(folder, monkeypatch)
    monkeypatch.setenv("DATA_DIR", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("network out of reach")

    monkeypatch.setattr(socket, "create_connection", refuse)


def content_hashes(folder: Path) -> dict[str, str]:
    import hashlib

    raw = folder / "MNIST" / "raw"
    return {name: hashlib.sha256(gzip.decompress((raw / f"{name}.gz").read_bytes())).hexdigest() for name in FILES}


def test_archives_of_data_dir_are_decoded_without_network_and_left_untouched(offered: Path, tmp_path: Path) -> None:
    raw = offered / "MNIST" / "raw"
    before = {path.name: path.stat().st_mtime_ns for path in raw.iterdir()}
    raw.chmod(0o555)
    arrays = TorchvisionIDX("MNIST", content_hashes(offered)).read(tmp_path / "data")
    raw.chmod(0o755)
    assert {path.name: path.stat().st_mtime_ns for path in raw.iterdir()} == before
    assert arrays.train_images.shape == (60, 28, 28)
    assert arrays.train_images.dtype == torch.uint8
    assert arrays.train_labels.tolist() == [number % 10 for number in range(60)]
    assert arrays.test_images.shape == (20, 28, 28)
    expected = gzip.decompress((raw / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    assert arrays.test_images.numpy().tobytes() == expected


def test_extracted_files_are_enough_the_second_time(
    offered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = TorchvisionIDX("MNIST").read(tmp_path / "data")
    monkeypatch.delenv("DATA_DIR")
    shutil.rmtree(offered)
    assert TorchvisionIDX("MNIST").read(tmp_path / "data").sha256() == first.sha256()


def test_without_archives_and_network_one_error_says_which_files_and_where(
    offered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "empty"))
    with pytest.raises(FileNotFoundError) as caught:
        TorchvisionIDX("MNIST").read(tmp_path / "data")
    message = str(caught.value)
    assert "\n" not in message
    looked = f"no archive found in DATA_DIR={tmp_path / 'empty'} (no such folder)"
    for part in (*FILES, str(tmp_path / "data" / "MNIST" / "raw"), looked, "or set DATA_DIR", "dataset=digits"):
        assert part in message


def test_a_damaged_archive_is_refused_by_name(offered: Path, tmp_path: Path) -> None:
    archive = offered / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz"
    archive.write_bytes(archive.read_bytes()[:-3])
    with pytest.raises(
        ValueError, match=r"train-labels-idx1-ubyte\.gz: damaged, or no official archive.*move it away, replace"
    ):
        TorchvisionIDX("MNIST").read(tmp_path / "data")


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_extracted_file_is_refused_by_name(name: str, offered: Path, tmp_path: Path) -> None:
    source = TorchvisionIDX("MNIST", content_hashes(offered))
    source.read(tmp_path / "data")
    path = tmp_path / "data" / "MNIST" / "raw" / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: damaged \(SHA-256 .* move it away and run again"):
        source.read(tmp_path / "data")
    path.unlink()
    source.read(tmp_path / "data")


def test_swapped_label_files_are_refused(offered: Path, tmp_path: Path) -> None:
    source = TorchvisionIDX("MNIST", content_hashes(offered))
    source.read(tmp_path / "data")
    raw = tmp_path / "data" / "MNIST" / "raw"
    train, test = raw / "train-labels-idx1-ubyte", raw / "t10k-labels-idx1-ubyte"
    train.rename(raw / "kept")
    test.rename(train)
    (raw / "kept").rename(test)
    with pytest.raises(ValueError, match="labels-idx1-ubyte: damaged"):
        source.read(tmp_path / "data")


def test_without_hashes_counts_that_differ_are_refused(offered: Path, tmp_path: Path) -> None:
    TorchvisionIDX("MNIST").read(tmp_path / "data")
    raw = tmp_path / "data" / "MNIST" / "raw"
    shutil.copyfile(raw / "t10k-labels-idx1-ubyte", raw / "train-labels-idx1-ubyte")
    with pytest.raises(ValueError, match="60 training images but 20 labels"):
        TorchvisionIDX("MNIST").read(tmp_path / "data")


def test_first_use_by_many_at_once_prepares_once(offered: Path, tmp_path: Path) -> None:
    source = TorchvisionIDX("MNIST", content_hashes(offered))
    with ThreadPoolExecutor(8) as pool:
        hashes = set(pool.map(lambda _: source.read(tmp_path / "data").sha256(), range(8)))
    assert len(hashes) == 1


def test_an_unwritable_root_is_named(offered: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"dataset\.root=.*file/data: cannot be written"):
        TorchvisionIDX("MNIST").read(tmp_path / "file" / "data")


@pytest.mark.parametrize("name", ["CIFAR10", "EMNIST", "FasionMNIST", "VisionDataset"])
def test_a_set_in_another_format_is_refused_and_the_known_ones_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=rf"FashionMNIST, KMNIST, MNIST\), received '{name}'"):
        TorchvisionIDX(name)


def test_hashes_of_other_files_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sha256 must name train-images.* received images"):
        TorchvisionIDX("MNIST", {"images": "0"})


def test_digits_hold_every_image_once_in_a_stratified_split() -> None:
    arrays = Digits().read(Path())
    assert arrays.train_images.shape == (1437, 28, 28)
    assert arrays.test_images.shape == (360, 28, 28)
    counts = torch.from_numpy(load_digits().target).bincount()
    shares = arrays.test_labels.bincount() / counts
    assert (shares - 0.2).abs().max() < 0.01
    assert (arrays.train_labels.bincount() + arrays.test_labels.bincount()).tolist() == counts.tolist()
    # Resizing keeps the mean brightness of the original 8×8 images.
    images = torch.cat([arrays.train_images, arrays.test_images]).double()
    assert images.mean() / 255 == pytest.approx(load_digits().images.mean() / 16, abs=0.002)
    assert Digits().read(Path()).sha256() == arrays.sha256()


@pytest.mark.archives
@pytest.mark.slow
@pytest.mark.parametrize("name", ["fashion_mnist", "mnist"])
def test_official_archives_decode_to_the_verified_sets(
    name: str, archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(archives))
    dataset = compose([f"dataset={name}"])["dataset"]
    arrays = construct(dataset["source"], Source, "dataset.source").read(tmp_path)  # type: ignore[type-abstract]  # mypy wants a concrete class for type[T]
    assert arrays.train_images.shape == (60_000, 28, 28)
    assert arrays.test_images.shape == (10_000, 28, 28)
    pixels = arrays.train_images.double() / 255
    assert pixels.mean().item() == pytest.approx(dataset["mean"], abs=5e-5)
    assert pixels.std().item() == pytest.approx(dataset["std"], abs=5e-5)
    assert arrays.test_labels.bincount().tolist() == (
        [1000] * 10 if name == "fashion_mnist" else [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    )
