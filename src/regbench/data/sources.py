"""Data sources: each reads one dataset, verifies what it decoded and returns plain arrays."""

import contextlib
import functools
import hashlib
import io
import os
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError

import torch
from filelock import FileLock
from torch import Tensor
from torch.nn import functional as F

from regbench.seeding import stratified_order
from regbench.storage.files import replace_file
from regbench.validation import validated

ARCHIVES_VARIABLE = "DATA_DIR"


class Arrays(NamedTuple):
    """A decoded data set: images as bytes, labels `(N,)` as 64-bit integers, official split.

    Images are `(N, C, H, W)`, or `(N, H, W)` where there is one channel.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    def sha256(self) -> str:
        """Return one hash over all four arrays, to state which data a result belongs to."""
        digest = hashlib.sha256()
        for array in self:
            digest.update(array.numpy().tobytes())
        return digest.hexdigest()


class Source(ABC):
    """Reads one data set."""

    @abstractmethod
    def read(self, root: Path) -> Arrays:
        """Return the decoded, verified arrays; archives are kept and extracted below `root`."""


class TorchvisionIDX(Source):
    """A set that torchvision keeps in MNIST's IDX format: MNIST, FashionMNIST or KMNIST.

    Archives come from the folder that the environment variable `DATA_DIR` names (torchvision's layout,
    `<Name>/raw/*.gz`, possibly read-only) or else from torchvision's download; their MD5 is torchvision's.

    Args:
        dataset: Name of the class in `torchvision.datasets`.
        sha256: Hash of each extracted file by its name. `None` skips this check.

    Raises:
        ValueError: `dataset` is no such class, or `sha256` names other files than the set has.
    """

    @validated
    def __init__(self, dataset: str, sha256: dict[str, str] | None = None) -> None:
        from torchvision import datasets

        known = {name: each for name, each in vars(datasets).items() if _is_idx_set(each)}
        if dataset not in known:
            raise ValueError(
                f"dataset must name one of torchvision's IDX sets ({', '.join(sorted(known))}), received {dataset!r}"
            )
        self.dataset: Any = known[dataset]
        self.archives: dict[str, str] = dict(self.dataset.resources)
        if sha256 is not None and set(sha256) != {name.removesuffix(".gz") for name in self.archives}:
            expected = ", ".join(name.removesuffix(".gz") for name in self.archives)
            raise ValueError(f"sha256 must name {expected}; received {', '.join(sha256) or 'nothing'}")
        self.sha256 = sha256

    def read(self, root: Path) -> Arrays:
        """Prepare the files once, whatever the number of processes, verify them and decode them.

        Raises:
            FileNotFoundError: Neither the archives nor a network is there.
            ValueError: An archive or an extracted file is damaged.
            OSError: `root` cannot be written.
        """
        raw = root / self.dataset.__name__ / "raw"
        try:
            raw.mkdir(parents=True, exist_ok=True)
            held = FileLock(raw / ".lock").acquire()
        except OSError as error:
            raise OSError(f"dataset.root={root}: cannot be written ({error.strerror}); give another folder") from None
        with held:
            self._extract(root, raw)
            self._verify(raw)
            train, test = (self.dataset(root, train=train) for train in (True, False))
        arrays = Arrays(train.data, train.targets, test.data, test.targets)
        for part, images, labels in (("training", *arrays[:2]), ("test", *arrays[2:])):
            if len(images) != len(labels):
                raise ValueError(f"{raw}: {len(images)} {part} images but {len(labels)} labels; move the folder away")
        return arrays

    def _extract(self, root: Path, raw: Path) -> None:
        if all((raw / name.removesuffix(".gz")).exists() for name in self.archives):
            return
        offline = self._find_archives()
        for name, md5 in self.archives.items():
            if offline is not None and not (raw / name).exists():
                replace_file(raw / name, functools.partial(shutil.copyfile, offline / name))
            if (raw / name).exists() and file_hash(raw / name, "md5") != md5:
                origin = offline / name if offline is not None else raw / name
                raise ValueError(damaged_archive(raw / name, origin, md5))
        try:
            # torchvision reports each mirror that it tries on standard output; our one message says what to do.
            with contextlib.redirect_stdout(io.StringIO()):
                self.dataset(root, download=True)
        except (RuntimeError, URLError, EOFError) as error:
            raise FileNotFoundError(
                f"{self.dataset.__name__}: no archive found{where_archives_are()} and none could be downloaded; put "
                f"{', '.join(self.archives)} into {raw} or set {ARCHIVES_VARIABLE} to a folder that holds "
                f"{self.dataset.__name__}/raw/ with them (dataset=digits needs no files)"
            ) from error

    def _find_archives(self) -> Path | None:
        """Return the folder of offline archives, if `DATA_DIR` names one that holds them all."""
        named = os.environ.get(ARCHIVES_VARIABLE)
        if not named:
            return None
        folder = Path(named) / self.dataset.__name__ / "raw"
        return folder if all((folder / name).is_file() for name in self.archives) else None

    def _verify(self, raw: Path) -> None:
        for name, expected in (self.sha256 or {}).items():
            received = file_hash(raw / name, "sha256")
            if received != expected:
                raise ValueError(
                    f"{raw / name}: damaged (SHA-256 {received[:12]}…, expected {expected[:12]}…); "
                    "move it away and run again"
                )


def where_archives_are() -> str:
    """Say where offline archives were looked for, since the folder's name may be mistyped."""
    named = os.environ.get(ARCHIVES_VARIABLE)
    return f" in {ARCHIVES_VARIABLE}={named}{'' if Path(named).is_dir() else ' (no such folder)'}" if named else ""


def damaged_archive(path: Path, origin: Path, md5: str) -> str:
    """Return the line about an archive that is not the official one: it was copied from `origin`, or lay there."""
    replaced = f", replace {origin}" if origin != path else ""
    return (
        f"{path}: damaged, or no official archive (its MD5 is not {md5}); move it away{replaced} and run again "
        "(images of your own: regbench new dataset)"
    )


class Digits(Source):
    """The 1,797 handwritten digits that scikit-learn carries, resized from 8×8 to 28×28; needs no files.

    A fixed stratified fifth is the test split. Source: Alpaydin and Kaynak (1998), UCI Optical Recognition of
    Handwritten Digits, test part.
    """

    test_size = 360
    test_seed = 1797

    def read(self, root: Path) -> Arrays:
        """Return 1,437 training and 360 test images."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        small = torch.from_numpy(digits.images).float().unsqueeze(1) / 16
        images = F.interpolate(small, size=(28, 28), mode="bilinear", antialias=True).squeeze(1)
        images = images.mul(255).round().to(torch.uint8)
        labels = torch.from_numpy(digits.target).long()
        order = stratified_order(labels, self.test_seed)
        test, train = order[: self.test_size], order[self.test_size :]
        return Arrays(images[train], labels[train], images[test], labels[test])


def _is_idx_set(candidate: Any) -> bool:
    """Tell whether a class reads MNIST's four files; EMNIST and QMNIST derive from it but hold others."""
    from torchvision.datasets import MNIST

    return (
        isinstance(candidate, type)
        and issubclass(candidate, MNIST)
        and candidate.__init__ is MNIST.__init__  # type: ignore[misc]  # of the very class
        and "resources" in vars(candidate)
    )


def file_hash(path: Path, algorithm: str) -> str:
    """Return the hexadecimal hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
