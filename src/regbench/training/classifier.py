"""`Classifier`, the LightningModule: one network, one regularizer, one optimizer."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from regbench.regularizers import Regularizer
from regbench.seeding import stream_seed
from regbench.training.around_steps import AroundSteps
from regbench.training.attributes import TECHNIQUES, Attributes, is_plain
from regbench.training.compiling import Compiled
from regbench.training.measures import Measures
from regbench.training.scoring import scores
from regbench.training.steps import ChunkedModule


class Classifier(ChunkedModule):
    """Trains a network on whole batches and scores it at each epoch's end.

    Losses and counts stay on the device during an epoch and are read once, at its end. Validation sees one loader for
    each name in `watched`.

    Args:
        net: Maps images `(N, C, S, S)` in [0, 1] to logits `(N, num_classes)`.
        regularizer: The one object that holds all techniques; the network's slots are filled by it already.
        optimizer: Takes `params` as groups with their `weight_decay` and returns the optimizer.
        scheduler: Takes the `optimizer` and returns the schedule.
        interval: Whether the schedule moves on after every `epoch` or every `step`.
        num_classes: C.
        seed: With the epoch, it seeds the stochastic layers and batch changes.
        compile: Whether forward pass and loss are compiled.
        watched: Names of the validation loaders, in their order.
        measures: What is scored besides; nothing unless given.
    """

    _one_hot: Tensor

    def __init__(
        self,
        net: nn.Module,
        regularizer: Regularizer,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler],
        *,
        interval: Literal["epoch", "step"],
        num_classes: int,
        seed: int,
        compile: bool,
        watched: tuple[str, ...],
        measures: Measures | None = None,
    ) -> None:
        super().__init__()
        # Convolutions are quickest in channels-last, but for a compiled step without the compiler's own layout pass.
        self._training_format = torch.contiguous_format if compile else torch.channels_last
        self.net = net.to(memory_format=self._training_format)
        self.regularizer = regularizer
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.interval = interval
        self.num_classes = num_classes
        self.seed = seed
        self.watched = watched
        self.measures = measures or Measures({}, num_classes)
        self._attributes = Attributes(regularizer, net)
        self._around_steps = AroundSteps(regularizer, net)
        self._penalizes_logits = regularizer.fills("penalty_on_logits")
        self._forward_and_loss = (
            Compiled(self._loss, self._attributes.changing_numbers, options={"layout_optimization": False})
            if compile
            else self._loss
        )
        # Rows of the identity are the targets: unlike F.one_hot, taking them reads no label back.
        self.register_buffer("_one_hot", torch.eye(num_classes), persistent=False)
        self._totals = torch.zeros(3, dtype=torch.float64)
        self._logits: list[list[Tensor]] = []
        self._labels: list[list[Tensor]] = []

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits `(N, C)`."""
        return self.net(images)  # type: ignore[no-any-return]  # nn.Module's call is untyped

    def configure_optimizers(self) -> Any:
        """Return the optimizer over the regularizer's parameter groups, and its schedule."""
        optimizer = self.make_optimizer(params=parameter_groups(self.net, self.regularizer))
        self._around_steps.attach(optimizer)
        schedule = {"scheduler": self.make_scheduler(optimizer=optimizer), "interval": self.interval}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_train_epoch_start(self) -> None:
        """Seed all that is stochastic in training from (seed, epoch), so that an epoch repeats exactly."""
        super().on_train_epoch_start()
        self.seed_epoch(self.current_epoch)
        self._totals = torch.zeros(3, dtype=torch.float64, device=self.device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what techniques and layers keep beside weights.

        Raises:
            ValueError: A technique keeps what no checkpoint can hold.
        """
        own = self.regularizer.state_dict()
        if not is_plain(own):
            raise ValueError(
                "regularizer: expected of state_dict numbers, texts, tensors, lists, tuples and dicts alone"
            )
        checkpoint[TECHNIQUES] = {"own": own, "attributes": self._attributes.changed()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up what `on_save_checkpoint` added, and the count of steps."""
        super().on_load_checkpoint(checkpoint)
        if TECHNIQUES in checkpoint:  # weights alone tell of none
            # The network itself is moved there later.
            self.load_technique_state(checkpoint, self.trainer.strategy.root_device)

    def load_technique_state(self, checkpoint: Mapping[str, Any], device: torch.device) -> None:
        """Let techniques and layers continue from what they kept in a checkpoint.

        Args:
            checkpoint: As Lightning reads it.
            device: Of the training.
        """
        state = checkpoint[TECHNIQUES]
        self.regularizer.load_state_dict(state["own"])
        self._attributes.restore(state["attributes"], device)

    def batch_loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the loss of the regularized batch plus the regularizer's penalty."""
        if self._around_steps.repeats:
            return self._forward_and_loss(*self._around_steps.kept())[0]
        images, targets = self.regularized(batch)
        if self._around_steps.keeps:
            self._around_steps.keep(images, targets)
        loss, totals = self._forward_and_loss(images, targets)
        self._totals += totals
        return loss

    def seed_epoch(self, epoch: int) -> None:
        """Put the global random stream where the epoch's training begins."""
        torch.manual_seed(stream_seed(self.seed, "noise", epoch))

    def preview(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor] | None:
        """Return what `regularized` would in the first epoch, without a trace in random streams and techniques.

        `None` where a technique cannot be copied, since it would change.
        """
        regularizer = self.regularizer
        try:
            self.regularizer = copy.deepcopy(regularizer)
        except Exception:  # of whatever a technique of one's own holds
            return None
        try:
            with torch.random.fork_rng():
                self.seed_epoch(0)
                return self.regularized(batch)
        finally:
            self.regularizer = regularizer

    def regularized(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the images and targets `(N, C)` on which a batch of images and labels is trained."""
        images, labels = batch
        return self.regularizer.on_batch(images, self._one_hot.index_select(0, labels))

    def objective(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return what training makes small, a scalar, and the logits `(N, C)` of a regularized batch."""
        return objective(self.net, self.regularizer, images, targets, penalizes_logits=self._penalizes_logits)

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's logits, and lay the weights out for evaluation."""
        self._lay_out(torch.channels_last)
        self._logits = [[] for _ in self.watched]
        self._labels = [[] for _ in self.watched]

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Keep a batch's logits, computed in evaluation mode."""
        images, labels = batch
        self._logits[dataloader_idx].append(self.net(images))
        self._labels[dataloader_idx].append(labels)

    def on_validation_epoch_end(self) -> None:
        """Log the epoch's scores, for callbacks and files."""
        examples, objective, correct = self._totals.tolist()
        if examples:
            self.log_dict(
                {"train/objective": objective / examples, "train/acc_online": correct / examples}, logger=False
            )
        for name, logits, labels in zip(self.watched, self._logits, self._labels, strict=True):
            values = scores(torch.cat(logits), torch.cat(labels), self.measures)
            # A curve for each class of each split would be too many.
            whole = {f"{name}/{metric}": value for metric, value in values.items() if "/" not in metric}
            self.log_dict(whole, logger=False)
        self._logits, self._labels = [], []
        self._lay_out(self._training_format)

    def _lay_out(self, memory_format: torch.memory_format) -> None:
        """Change how the convolutions' weights lie in memory; outside inference mode, so that they can be trained."""
        with torch.inference_mode(mode=False):
            self.net.to(memory_format=memory_format)

    def _loss(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, and `(3,)`: examples, summed loss, correct answers."""
        loss, logits = self.objective(images, targets)
        return loss, totals(loss, logits, targets)


def objective(
    net: nn.Module, regularizer: Regularizer, images: Tensor, targets: Tensor, *, penalizes_logits: bool
) -> tuple[Tensor, Tensor]:
    """Return what training makes small, a scalar, and the logits `(N, C)` of a regularized batch.

    Args:
        net: In training mode.
        regularizer: Whose penalties are added.
        images: `(N, C, S, S)`.
        targets: Class probabilities `(N, C)`.
        penalizes_logits: Whether the regularizer fills `penalty_on_logits`.
    """
    logits = net(images)
    loss = F.cross_entropy(logits, targets) + regularizer.penalty(net)
    if penalizes_logits:
        loss = loss + regularizer.penalty_on_logits(logits, targets)
    return loss, logits


def totals(loss: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """Return `(3,)` in double precision: examples, summed loss, correct answers of a batch."""
    with torch.no_grad():
        examples = torch.full((), len(logits), dtype=torch.float64, device=logits.device)
        correct = (logits.argmax(1) == targets.argmax(1)).sum().double()
        return torch.stack([examples, loss.detach().double() * len(logits), correct])


def parameter_groups(net: nn.Module, regularizer: Regularizer) -> list[dict[str, Any]]:
    """Return optimizer groups of the trainable parameters that share a decay.

    Every group states its `weight_decay`, so no optimizer's own default acts.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(regularizer.decay(name, parameter), []).append(parameter)
    return [{"params": parameters, "weight_decay": decay} for decay, parameters in groups.items()]
