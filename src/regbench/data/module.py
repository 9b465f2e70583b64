"""`ImageData`, the LightningDataModule: splits in memory on the training device, served by whole batches."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytorch_lightning as pl
import torch
from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from regbench.data.chunks import Chunks
from regbench.data.sources import Arrays, Source
from regbench.seeding import batch_order, stratified_order
from regbench.validation import validated

PROBE_SIZE = 5_000
EVALUATION_BATCH = 500


PerChannel = Annotated[list[FiniteFloat], Field(min_length=1)]
PositivePerChannel = Annotated[list[Annotated[FiniteFloat, Field(gt=0)]], Field(min_length=1)]


class Split(NamedTuple):
    """Images `(N, C, S, S)` in [0, 1] and labels `(N,)`."""

    images: Tensor
    labels: Tensor

    def first(self, count: int) -> "Split":
        """Return the first `count` examples."""
        return Split(self.images[:count], self.labels[:count])


class Batches:
    """Iterates over a split by whole batches: one index per batch, no work per image.

    Args:
        split: The examples.
        size: Images a batch. A last batch of one joins the batch before it, since batch norm cannot
            normalize a single image.
        order: Called at the start of each pass for the order of the examples; `None` keeps it.
    """

    def __init__(self, split: Split, size: int, order: Callable[[], Tensor] | None = None) -> None:
        self.split = split
        self.order = order
        count = len(split.labels)
        bounds = [*range(0, count, size), count]
        if count > size and count % size == 1:
            del bounds[-2]
        self._sizes = [stop - start for start, stop in itertools.pairwise(bounds)]

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[Split]:
        images, labels = self.split
        if self.order is None:
            yield from map(Split, images.split(self._sizes), labels.split(self._sizes))
            return
        for index in self.order().to(labels.device).split(self._sizes):
            # Five times as quick as images[index], which takes its way through general indexing.
            yield Split(images.index_select(0, index), labels.index_select(0, index))


class ImageData(pl.LightningDataModule):
    """A set of square images with train, validation and test splits, whole in memory.

    The validation split is a stratified part of the official training set, drawn from a random stream of its own; the
    training split is a stratified, nested part of the rest: 1,000 images are among the 5,000, those among all.

    Args:
        source: Where the arrays come from.
        name: The set's name in folders and tables.
        classes: Class names by label.
        mean: Mean of the training pixels in [0, 1], for the network's normalization; one number, or one a channel.
        std: Their standard deviation, likewise.
        train_images: Images in the official training set, checked against what was read. Known beforehand, so that
            sizes can be refused and compilation be decided before anything is read.
        root: Folder in which archives are kept.
        image_size: Side in pixels to which images are resized (bilinear, antialiased).
        batch_size: Images a training batch.
        val_size: Validation images; 0 allowed (the last checkpoint is used then).
        train_size: Training images; `None` takes all that validation leaves.
        split_seed: Seed of the split; `None` takes the run's: then the split is another one for each seed, and the same
            for all settings of a seed.
        flip: Whether a mirrored image keeps its class; augmentation asks for it.
        margin: The smallest difference in test accuracy that matters on this set, a fraction; reports judge by it.
        channels: C, 1 for grey images and 3 for colour.
        light_on_dark: Whether its images are light on dark ground: then grey image files are inverted for its networks
            where they are not.
        seed: With the epoch, it alone decides the order of the training batches.
        watched: Splits that are scored at each epoch's end, as `evaluation_batches` names them.

    Raises:
        ValueError: An argument is out of its range, or sizes do not fit together.
    """

    @validated
    def __init__(
        self,
        source: Source,
        name: str,
        classes: Annotated[list[str], Field(min_length=1)],
        mean: FiniteFloat | PerChannel,
        std: Annotated[FiniteFloat, Field(gt=0)] | PositivePerChannel,
        train_images: PositiveInt,
        root: Path,
        image_size: PositiveInt,
        batch_size: PositiveInt,
        val_size: NonNegativeInt,
        train_size: int | None = None,
        split_seed: int | None = None,
        flip: bool = False,
        margin: Annotated[float, Field(gt=0, lt=1)] = 0.003,
        channels: PositiveInt = 1,
        light_on_dark: bool = True,
        seed: int = 0,
        watched: tuple[str, ...] = ("probe", "val"),
    ) -> None:
        super().__init__()
        if val_size >= train_images:
            raise ValueError(
                f"val_size must be from 0 to {train_images - 1}, below the {train_images} training images of {name}, "
                f"received {val_size}"
            )
        if train_size is not None and not len(classes) <= train_size <= train_images - val_size:
            raise ValueError(
                f"train_size must be from {len(classes)} (one a class) to {train_images - val_size} (the "
                f"{train_images} training images of {name} less val_size={val_size}), received {train_size}"
            )
        self.source = source
        self.name = name
        self.classes = classes
        self.mean = mean
        self.std = std
        self.train_images = train_images
        self.root = root
        self.image_size = image_size
        self.batch_size = batch_size
        self.val_size = val_size
        self.train_size = train_size
        self.split_seed = split_seed
        self.flip = flip
        self.margin = margin
        self.channels = channels
        self.light_on_dark = light_on_dark
        self.seed = seed
        self.watched = watched
        self.sha256: str | None = None
        self.splits: dict[str, Split] = {}

    def setup(self, stage: str | None = None) -> None:
        """Read, split and resize once, onto the training device.

        Raises:
            ValueError: The set does not hold what its configuration states.
        """
        if self.splits:
            return
        device = self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")
        arrays = self.source.read(Path(self.root))
        self.check(arrays)
        self.sha256 = arrays.sha256()
        train, val = self.divide(arrays.train_labels)

        def split(images: Tensor, labels: Tensor) -> Split:
            return Split(resize(images, self.image_size).to(device), labels.to(device))

        self.splits = {
            "train": split(arrays.train_images[train], arrays.train_labels[train]),
            "val": split(arrays.train_images[val], arrays.train_labels[val]),
            "test": split(arrays.test_images, arrays.test_labels),
        }

    def divide(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the places of the training and of the validation examples in the official training set.

        Args:
            labels: Of the official training set, `(N,)`.
        """
        order = stratified_order(labels, self.seed if self.split_seed is None else self.split_seed)
        return order[self.val_size :][: self.train_size], order[: self.val_size]

    def check(self, arrays: Arrays) -> None:
        """Compare what was read with what the configuration states.

        Raises:
            ValueError: It is another number of training images, images of another shape, or more classes.
        """
        if len(arrays.train_labels) != self.train_images:
            raise ValueError(
                f"dataset.train_images: {self.name} holds {len(arrays.train_labels)} training images, "
                f"its configuration says {self.train_images}"
            )
        for images in (arrays.train_images, arrays.test_images):
            channels, height, width = (images if images.ndim == 4 else images.unsqueeze(1)).shape[1:]
            if height != width:
                raise ValueError(
                    f"dataset.source: expected square images, received {self.name} with images of {height} × {width}; "
                    "regbench new dataset makes them square"
                )
            if channels != self.channels:
                raise ValueError(
                    f"dataset.channels: {self.name} holds images of {channels} channels, its configuration says "
                    f"{self.channels}"
                )
        highest = int(max(arrays.train_labels.max(), arrays.test_labels.max()))
        if highest >= len(self.classes):
            raise ValueError(
                f"dataset.classes: {self.name} has labels up to {highest}, but {len(self.classes)} names are given"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds of the data: their hash."""
        return {"sha256": self.sha256}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to resume a run on other data than those with which it began.

        Raises:
            ValueError: The data's hash is another one.
        """
        if (began := state_dict["sha256"]) != self.sha256:
            raise ValueError(
                f"dataset: expected the data with which this run began (SHA-256 {str(began)[:12]}…), received others "
                f"({str(self.sha256)[:12]}…); put those back, or train from scratch by force=true"
            )

    def train_dataloader(self) -> Batches | Chunks:
        """Return the training batches, by chunks where the module takes the steps itself (manual optimization)."""
        batches = self.training_batches()
        by_chunks = self.trainer is not None and not self.trainer.lightning_module.automatic_optimization
        return Chunks(batches) if by_chunks else batches

    def training_batches(self) -> Batches:
        """Return the training batches in the order of (seed, epoch)."""
        train = self.splits["train"]

        def order() -> Tensor:
            epoch = self.trainer.current_epoch if self.trainer is not None else 0
            return batch_order(len(train.labels), self.seed, epoch)

        return Batches(train, self.batch_size, order)

    def val_dataloader(self) -> list[Batches]:
        """Return the batches of each watched split."""
        return [self.evaluation_batches(split) for split in self.watched]

    def evaluation_batches(self, split: str) -> Batches:
        """Return a split in its own order, at the batch size at which evaluation is quick.

        Args:
            split: `train`, `val`, `test`, or `probe`: a fixed stratified part of the training split, at most 5,000
                images, on which the curves by epoch are measured.
        """
        chosen = self.splits["train"].first(PROBE_SIZE) if split == "probe" else self.splits[split]
        return Batches(chosen, EVALUATION_BATCH)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Return the batch as it is: the splits are on the device already."""
        return batch


def resize(images: Tensor, size: int) -> Tensor:
    """Turn bytes into floats `(N, C, size, size)` in [0, 1] (bilinear, antialiased where sizes differ).

    Args:
        images: `(N, C, H, W)`, or `(N, H, W)` of one channel.
        size: The side in pixels.
    """
    if images.ndim == 3:
        images = images.unsqueeze(1)
    result = torch.empty(*images.shape[:2], size, size)
    # By parts, so that no second whole copy in floating point is held.
    for source, target in zip(images.split(4096), result.split(4096), strict=True):
        floats = source.float().div_(255)
        if floats.shape[-2:] != (size, size):
            floats = F.interpolate(floats, size=(size, size), mode="bilinear", antialias=True)
        target.copy_(floats)
    return result
