"""A data set's images, held once for all members: each has its splits as places in them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regbench.data import ImageData
from regbench.data.module import Split, resize


class Images:
    """The images and labels of a whole set, the training part first, on the CPU and on the device.

    Args:
        data: Built for one of the members; the others' differ in their seeds alone.
        device: Where training takes them from.

    Raises:
        ValueError: The set does not hold what its configuration states.
    """

    def __init__(self, data: ImageData, device: torch.device) -> None:
        arrays = data.source.read(Path(data.root))
        data.check(arrays)
        self.sha256 = arrays.sha256()
        self.train_labels = arrays.train_labels
        self.labels = torch.cat([arrays.train_labels, arrays.test_labels])
        parts = (arrays.train_images, arrays.test_images)
        self.images = torch.cat([resize(part, data.image_size) for part in parts])
        self.device = device
        self.images_on_device = self.images.to(device)
        self.labels_on_device = self.labels.to(device)

    def give_to(self, data: ImageData) -> None:
        """Give a member's data its splits, so that it reads nothing itself."""
        train, val = data.divide(self.train_labels)
        test = torch.arange(len(self.train_labels), len(self.labels))
        data.sha256 = self.sha256
        data.splits = {
            name: Split(Selection(self.images, places), self.labels[places])  # type: ignore[arg-type]  # as a tensor
            for name, places in (("train", train), ("val", val), ("test", test))
        }


class Selection:
    """Some images of a set, by their places; to be used as the tensor that it becomes where it is looked at.

    Args:
        images: The whole set's, `(N, C, H, W)`.
        places: Which of them, `(K,)`.
    """

    def __init__(self, images: Tensor, places: Tensor) -> None:
        self._images = images
        self.places = places

    @property
    def shape(self) -> torch.Size:
        """`(K, C, H, W)`."""
        return torch.Size([len(self.places), *self._images.shape[1:]])

    def fetched(self) -> Tensor:
        """Return the images, `(K, C, H, W)`."""
        return self._images.index_select(0, self.places)

    def index_select(self, dim: int, index: Tensor) -> "Selection":
        """Return some of them, not fetched; `dim` is 0."""
        return Selection(self._images, self.places.index_select(dim, index))

    def split(self, sizes: int | Sequence[int]) -> Iterator["Selection"]:
        """Give them part by part, not fetched."""
        parts: Any = self.places.split(sizes)
        return (Selection(self._images, places) for places in parts)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Selection(self._images, self.places[index])
        return self.fetched()[index]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.fetched(), name)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Let torch's functions see the images."""
        return function(*map(_seen, args), **{name: _seen(value) for name, value in (kwargs or {}).items()})


def _seen(value: Any) -> Any:
    if isinstance(value, Selection):
        return value.fetched()
    return type(value)(map(_seen, value)) if isinstance(value, (list, tuple)) else value
