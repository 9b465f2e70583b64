"""`TorchvisionSet`: sets that torchvision keeps in other formats than MNIST's."""

import contextlib
import functools
import io
import os
import shutil
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.error import URLError

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from regbench.data.sources import (
    ARCHIVES_VARIABLE,
    Arrays,
    Source,
    damaged_archive,
    file_hash,
    where_archives_are,
)
from regbench.storage.files import replace_file
from regbench.validation import validated

SetName = Literal["CIFAR10", "CIFAR100", "EMNIST", "QMNIST", "SVHN"]
EMNISTSplit = Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"]


class _Archive(NamedTuple):
    """A file that torchvision downloads: its place below the folder of data, and its MD5."""

    place: Path
    md5: str


class TorchvisionSet(Source):
    """CIFAR-10, CIFAR-100, SVHN, QMNIST or a part of EMNIST, as torchvision downloads and reads them.

    Archives come from the folder that the environment variable `DATA_DIR` names (torchvision's layout, possibly
    read-only) or else from torchvision's download; their MD5 is torchvision's. SVHN is its training and test part,
    without the extra images, CIFAR-100 its fine classes. EMNIST's images are turned upright, and its letters count
    from 0.

    Sources: Krizhevsky (2009), Learning multiple layers of features from tiny images; Netzer et al. (2011), NIPS
    workshop; Yadav and Bottou (2019), arXiv:1905.10498; Cohen, Afshar, Tapson and van Schaik (2017), arXiv:1702.05373.

    Args:
        dataset: Name of the class in `torchvision.datasets`.
        split: EMNIST's part; `None` for the others.

    Raises:
        ValueError: `dataset` or `split` is another word, or they do not go together.
    """

    @validated
    def __init__(self, dataset: SetName, split: EMNISTSplit | None = None) -> None:
        from torchvision import datasets

        if (dataset == "EMNIST") != (split is not None):
            expected = "one of EMNIST's parts" if dataset == "EMNIST" else f"null for {dataset}"
            raise ValueError(f"split: expected {expected}, received {split!r}")
        self.dataset: Any = getattr(datasets, dataset)
        self.split = split

    def read(self, root: Path) -> Arrays:
        """Prepare the files once, whatever the number of processes, and decode them.

        Raises:
            FileNotFoundError: Neither the archives nor a network is there.
            ValueError: An archive, or what was extracted from it, is damaged.
            OSError: `root` cannot be written.
        """
        try:
            root.mkdir(parents=True, exist_ok=True)
            held = FileLock(root / f".{self.dataset.__name__}.lock").acquire()
        except OSError as error:
            raise OSError(f"dataset.root={root}: cannot be written ({error.strerror}); give another folder") from None
        with held:
            train, test = (self._decode(self._open(root, train=train)) for train in (True, False))
        for part, (images, labels) in (("training", train), ("test", test)):
            if len(images) != len(labels):
                raise ValueError(f"{self._place(root)}: {len(images)} {part} images but {len(labels)} labels")
        return Arrays(*train, *test)

    def _open(self, root: Path, *, train: bool) -> Any:
        """Return torchvision's own object, with its files fetched if they are not there or not whole."""
        arguments: dict[str, Any] = {"train": train}
        if self.dataset.__name__ == "SVHN":
            arguments = {"split": "train" if train else "test"}
        elif self.split is not None:
            arguments["split"] = self.split
        try:
            return self.dataset(root, **arguments)
        except RuntimeError:  # the files are not there, or damaged
            self._fetch(root)
        except (ValueError, AssertionError, EOFError, TypeError) as error:
            place = self._place(root)
            raise ValueError(
                f"{place}: damaged ({' '.join(str(error).split())}); move it away and run again"
            ) from error
        try:
            # torchvision reports what it does on standard output; our one message says what to do.
            with contextlib.redirect_stdout(io.StringIO()):
                return self.dataset(root, **arguments, download=True)
        except (RuntimeError, URLError, EOFError) as error:
            places = ", ".join(str(archive.place) for archive in self._archives())
            raise FileNotFoundError(
                f"{self.dataset.__name__}: no archive found{where_archives_are()} and none could be downloaded; put "
                f"{places} into {root}, or set {ARCHIVES_VARIABLE} to a folder that holds them (dataset=digits "
                "needs no files)"
            ) from error

    def _fetch(self, root: Path) -> None:
        """Copy the archives that `DATA_DIR` offers, and refuse damaged ones."""
        named = os.environ.get(ARCHIVES_VARIABLE)
        for place, md5 in self._archives():
            here = root / place
            origin = Path(named) / place if named else here
            if not here.exists() and origin.is_file():
                here.parent.mkdir(parents=True, exist_ok=True)
                replace_file(here, functools.partial(shutil.copyfile, origin))
            if here.exists() and file_hash(here, "md5") != md5:
                raise ValueError(damaged_archive(here, origin if origin.is_file() else here, md5))

    def _archives(self) -> list[_Archive]:
        """Return what torchvision downloads of this set."""
        kind, raw = self.dataset, Path(self.dataset.__name__, "raw")
        match kind.__name__:
            case "EMNIST":
                return [_Archive(raw / Path(kind.url).name, kind.md5)]
            case "QMNIST":
                return [
                    _Archive(raw / Path(url).name, md5)
                    for part in ("train", "test")
                    for url, md5 in kind.resources[part]
                ]
            case "SVHN":
                return [
                    _Archive(Path(kind.split_list[part][1]), kind.split_list[part][2]) for part in ("train", "test")
                ]
            case _:
                return [_Archive(Path(kind.filename), kind.tgz_md5)]

    def _place(self, root: Path) -> Path:
        """Return the folder that an error is about."""
        return root / self._archives()[0].place.parent

    def _decode(self, opened: Any) -> tuple[Tensor, Tensor]:
        """Return images `(N, H, W)` or `(N, C, H, W)` as bytes, and labels `(N,)` from 0."""
        match self.dataset.__name__:
            case "EMNIST":
                first = 1 if self.split == "letters" else 0
                return opened.data.transpose(1, 2).contiguous(), opened.targets - first
            case "QMNIST":
                return opened.data, opened.targets[:, 0].contiguous()
            case "SVHN":
                images, labels = opened.data, opened.labels
            case _:
                images, labels = opened.data.transpose(0, 3, 1, 2), opened.targets
        return torch.from_numpy(np.ascontiguousarray(images)), torch.as_tensor(labels)
