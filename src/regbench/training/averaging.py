"""`StochasticWeightAveraging`: the mean of the weights at the ends of the last epochs."""

from typing import Annotated, Any

import pytorch_lightning as pl
from pydantic import Field, FiniteFloat
from pytorch_lightning.callbacks import WeightAveraging
from torch.optim.swa_utils import update_bn

from regbench.data import ImageData
from regbench.validation import validated


class StochasticWeightAveraging(WeightAveraging):
    """Averages the weights of the last epochs with equal shares; curves, checkpoints and results belong to the average.

    Training itself goes on with its own weights. Before the first averaged epoch each epoch's own weights are scored.

    Source: Izmailov, Podoprikhin, Garipov, Vetrov and Wilson (2018), arXiv:1803.05407.

    Args:
        start: Share of the epochs before the first that is averaged, in [0, 1).

    Raises:
        ValueError: `start` is out of its range.
    """

    # Nothing is to be done at a step, so training goes by chunks.
    on_train_batch_end = pl.Callback.on_train_batch_end

    @validated
    def __init__(self, start: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.75) -> None:
        super().__init__(use_buffers=False)
        self.start = start

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the epoch's weights into the average, and let it be scored."""
        self._include(trainer, pl_module)
        super().on_validation_epoch_start(trainer, pl_module)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]  # set at run time
        if self._averaged > 1 and isinstance(data, ImageData):
            # Batch norm's statistics were taken under other weights: torch computes them anew, if there are any.
            update_bn(data.evaluation_batches("train"), pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the epoch's weights into the average, unless its validation has."""
        self._include(trainer, pl_module)

    @property
    def _averaged(self) -> int:
        """How many epochs are in the average."""
        return int(self._average_model.n_averaged) if self._average_model is not None else 0

    def _include(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epoch = trainer.current_epoch
        if self._average_model is None or epoch <= self._latest_update_epoch:
            return
        if epoch <= int(self.start * (trainer.max_epochs or 0)):
            self._average_model.n_averaged.zero_()  # which makes the update a copy
        self._average_model.update_parameters(pl_module)
        self._latest_update_epoch = epoch
