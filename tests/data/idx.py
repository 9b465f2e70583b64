"""Small archives in MNIST's IDX format, standing in for the official ones."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def write_archives(folder: Path, train: int = 60, test: int = 20) -> dict[str, str]:
    """Write `<folder>/MNIST/raw/*.gz` with random images, labels 0–9 in turn; return the SHA-256 of each content."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    generator = np.random.default_rng(0)
    hashes = {}
    for name in FILES:
        count = train if name.startswith("train") else test
        if "images" in name:
            header = np.array([2051, count, 28, 28], ">i4").tobytes()
            content = header + generator.integers(0, 256, (count, 28, 28), np.uint8).tobytes()
        else:
            content = np.array([2049, count], ">i4").tobytes() + (np.arange(count) % 10).astype(np.uint8).tobytes()
        (raw / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
        hashes[name] = hashlib.sha256(content).hexdigest()
    return hashes


def trust_archives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torchvision's MNIST expect the archives of `folder`."""
    raw = folder / "MNIST" / "raw"
    resources = [(f"{name}.gz", hashlib.md5((raw / f"{name}.gz").read_bytes()).hexdigest()) for name in FILES]
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
