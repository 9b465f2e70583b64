"""Lightning as the public templates write it: DataLoader, transforms, torchmetrics logged by step, checkpoints."""

import tempfile
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy
from torchvision import datasets, transforms

from benchmarks.contenders.lenet5 import lenet5
from benchmarks.gate import Gate, lightning_gate
from benchmarks.problem import BATCH, LEARNING_RATE, options, read, weights


class Ordinary(pl.LightningModule):
    """A module with a metric object for each number of each split."""

    def __init__(self, initial: Any) -> None:
        super().__init__()
        self.net = lenet5(initial)
        self.train_loss, self.val_loss = MeanMetric(), MeanMetric()
        self.train_acc, self.val_acc = (MulticlassAccuracy(10, average="micro") for _ in range(2))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self._step(batch, "train", self.train_loss, self.train_acc)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._step(batch, "val", self.val_loss, self.val_acc)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.net.parameters(), LEARNING_RATE)

    def _step(self, batch: tuple[Tensor, Tensor], split: str, loss: MeanMetric, acc: MulticlassAccuracy) -> Tensor:
        images, labels = batch
        logits = self.net(images)
        objective = F.cross_entropy(logits, labels)
        loss(objective)
        acc(logits.argmax(1), labels)
        self.log(f"{split}/loss", loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log(f"{split}/acc", acc, on_step=False, on_epoch=True, prog_bar=True)
        return objective


def main() -> None:
    warnings.simplefilter("ignore")
    given = options()
    torch.set_num_threads(given.threads)
    arrays = read(given)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(arrays["mean"], arrays["std"])])
    everything = datasets.FashionMNIST(given.root, transform=transform)
    gate: Any = lightning_gate(Gate(), lambda trainer: trainer.callback_metrics["val/loss"].item())
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            max_epochs=1000,
            accelerator=given.accelerator,
            devices=1,
            logger=TensorBoardLogger(folder),
            callbacks=[gate(), TQDMProgressBar(), ModelCheckpoint(monitor="val/acc", mode="max", save_last=True)],
        )
        trainer.fit(
            Ordinary(weights(arrays)),
            DataLoader(Subset(everything, range(given.train_size)), BATCH, shuffle=True),
            DataLoader(Subset(everything, range(55_000, 60_000)), BATCH),
        )


if __name__ == "__main__":
    main()
