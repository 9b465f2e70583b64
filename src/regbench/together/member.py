"""A member: a run with its own trainer, callbacks and folder, whose steps and scores are computed with others'."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from regbench.data import ImageData
from regbench.data.chunks import Chunk
from regbench.runs.engine import Engine
from regbench.runs.parts import Parts, build
from regbench.together.forming import Formed
from regbench.together.images import Images, Selection
from regbench.together.questions import Drawing, Predictions, Scores, Steps
from regbench.together.stack import leave
from regbench.together.turns import Ask
from regbench.together.updates import rates_of
from regbench.training.classifier import Classifier
from regbench.training.steps import schedules

T = TypeVar("T")

# Of the member's own trainer, which trains nothing itself. Lightning asks for validation batches; the scores are those
# of the program, so one for each split is enough.
_OPTIONS = {"accelerator": "cpu", "devices": 1, "limit_val_batches": 1}


class MemberEngine(Engine):
    """Lets the program compute a run's numbers.

    Its own network and optimizer stay on the CPU, where they hold at each epoch's end what was computed.

    Args:
        ask: Asks the program.
        images: The data set's.
        formed: The group.
        row: The member's.
    """

    def __init__(self, ask: Ask, images: Images, formed: Formed, row: int) -> None:
        self._ask = ask
        self._images = images
        self.identity = formed.identity()
        self.recorded = formed.recorded(row)
        self.device = images.device
        self.most_epochs = formed.most_epochs

    def build(self, config: Mapping[str, Any]) -> Parts:
        """Return the parts of the run; its data are there already."""
        trainer = {**config["trainer"], **_OPTIONS}
        parts = build({**config, "trainer": trainer, "compile": False}, partial(MemberClassifier, self._ask))
        self._images.give_to(parts.data)
        return parts

    def predict(
        self, classifier: Classifier, data: ImageData, device: torch.device
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Return logits and labels of each whole split, on the CPU."""
        names = [name for name in ("train", "val", "test") if name != "val" or data.val_size]
        places = tuple(places_of(data, name) for name in names)
        logits = self._ask(Predictions(classifier.net, places))
        return {name: (each, data.splits[name].labels) for name, each in zip(names, logits, strict=True)}

    def draw(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what a function draws, while others draw for other members."""
        drawn: T = self._ask(Drawing(function, arguments))
        return drawn


class MemberClassifier(Classifier):
    """Asks for the steps and scores of its chunks and epochs; all that is logged and kept is as when trained alone.

    Args:
        ask: Asks the program.
        arguments: Those of `Classifier`.
        options: Likewise.
    """

    def __init__(self, ask: Ask, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._ask = ask
        self._begins = True

    def on_fit_start(self) -> None:
        """Refuse what watches single steps.

        Raises:
            RuntimeError: A callback or an option of the trainer does.
        """
        super().on_fit_start()
        if self.automatic_optimization:
            raise RuntimeError(
                "hydra.launcher: expected nothing that asks for single steps where runs are trained together; received "
                "a callback or an option of the trainer that does; train this run alone"
            )

    def on_train_epoch_start(self) -> None:
        """Begin an epoch."""
        super().on_train_epoch_start()
        self._begins = True

    def regularized(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the images and targets `(N, C)` on which a batch is trained."""
        images, labels = batch
        return super().regularized((images.fetched() if isinstance(images, Selection) else images, labels))

    def on_validation_epoch_end(self) -> None:
        """Log the epoch's scores, from what the program has computed."""
        data = self._data()
        self._totals, logits = self._ask(Scores(tuple(places_of(data, name) for name in self.watched)))
        self._logits = [[each] for each in logits]
        self._labels = [[data.evaluation_batches(name).split.labels] for name in self.watched]
        super().on_validation_epoch_end()

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Do nothing: whole splits are scored at once."""

    def on_fit_end(self) -> None:
        """Leave the stack."""
        leave(self.net)

    def _take_steps(self, chunk: Chunk) -> None:
        trainer = self.trainer
        (optimizer,) = trainer.optimizers
        each_step = schedules(trainer, "step")
        counted = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        # The schedules are to take the steps as done: they warn where they come before the optimizer's first.
        optimizer._opt_called = True  # type: ignore[attr-defined]  # torch's own mark
        places, rates = [], []
        for batch in chunk:
            places.append(batch.images.places)
            rates.append(rates_of(optimizer))
            counted.increment_by(1)
            for scheduler in each_step:
                scheduler.step()
        sizes = tuple(map(len, places))
        self._ask(
            Steps(
                self.net,
                optimizer,
                self.regularizer,
                self.current_epoch,
                self._begins,
                torch.cat(places),
                sizes,
                torch.tensor(rates, dtype=torch.float64),
            )
        )
        self._begins = False
        if trainer.is_last_batch:
            for scheduler in schedules(trainer, "epoch"):
                scheduler.step()

    def _lay_out(self, memory_format: torch.memory_format) -> None:
        """Leave the weights where they are: they are part of the stack."""

    def _data(self) -> ImageData:
        data: ImageData = self.trainer.datamodule  # type: ignore[attr-defined]  # set at run time
        return data


def places_of(data: ImageData, name: str) -> Tensor:
    """Return the places of a split's images in the whole set, `(N,)`; `name` as `evaluation_batches` takes it."""
    images = data.evaluation_batches(name).split.images
    if not isinstance(images, Selection):
        raise TypeError(f"{name}: expected a selection of images, received {type(images).__name__}")
    return images.places
