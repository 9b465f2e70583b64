"""Members' losses are those of the runs alone, step by step, for each technique and optimizer."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from regbench.config.composing import CONFIGS
from regbench.data.module import Split
from regbench.runs.parts import Parts, build
from regbench.together.images import Images
from regbench.together.program import Program
from regbench.together.stack import Member, Stack
from regbench.together.updates import rates_of, update_of
from regbench.training.classifier import objective, parameter_groups
from tests.together.scripted import Script

Composed = Callable[..., dict[str, Any]]
# Those that change gradients are trained one by one, see `regbench.together.trial`.
ALONE = {"gradient_clipping", "sam"}
TECHNIQUES = sorted({path.stem for path in (CONFIGS / "regularizer").glob("*.yaml")} - ALONE)
SMALL = ("model=mlp_small", "dataset.train_size=400")
CPU = torch.device("cpu")
OPTIMIZERS = ("adam", "adamw", "sgd")
# A technique knows of no optimizer, but for weight decay, which each of them applies in its own way.
CASES = [
    *zip(TECHNIQUES, itertools.cycle(OPTIMIZERS), strict=False),
    *(("weight_decay", each) for each in OPTIMIZERS),
]


class Prepared:
    """A run's parts, with its own optimizer and schedule."""

    def __init__(self, config: dict[str, Any], kind: torch.dtype) -> None:
        self.parts: Parts = build(config)
        classifier = self.parts.classifier
        self.net, self.regularizer = classifier.net.to(kind).train(), classifier.regularizer
        self.optimizer = classifier.make_optimizer(params=parameter_groups(self.net, self.regularizer))
        self.schedule = classifier.make_scheduler(optimizer=self.optimizer)
        self.by_step = classifier.interval == "step"

    def batches(self) -> Iterator[Split]:
        return itertools.chain.from_iterable(iter(self.parts.data.training_batches()) for _ in itertools.count())


def read(
    configs: Sequence[dict[str, Any]], kind: torch.dtype, device: torch.device = CPU
) -> tuple[Images, list[Prepared]]:
    runs = [Prepared(config, kind) for config in configs]
    images = Images(runs[0].parts.data, device)
    images.images = images.images.to(kind)
    images.images_on_device = images.images.to(device)
    for each in runs:
        images.give_to(each.parts.data)
    return images, runs


def losses_alone(configs: Sequence[dict[str, Any]], steps: int, kind: torch.dtype) -> Tensor:
    """Train each by torch's own optimizer; return the losses, `(steps, M)`."""
    _, runs = read(configs, kind)
    found = torch.zeros(steps, len(runs), dtype=torch.float64)
    for column, each in enumerate(runs):
        targets = torch.eye(each.parts.classifier.num_classes, dtype=kind)
        for step, (images, labels) in zip(range(steps), each.batches(), strict=False):
            changed = each.regularizer.on_batch(images.fetched(), targets[labels])  # type: ignore[attr-defined]  # a selection
            penalizes = each.regularizer.fills("penalty_on_logits")
            loss, _ = objective(each.net, each.regularizer, *changed, penalizes_logits=penalizes)
            each.optimizer.zero_grad()
            loss.backward()
            each.optimizer.step()
            with torch.no_grad():
                each.regularizer.after_step(each.net)
            if each.by_step:
                each.schedule.step()
            found[step, column] = loss.item()
    return found


def losses_together(configs: Sequence[dict[str, Any]], steps: int, kind: torch.dtype) -> Tensor:
    """Train all as one program; return the losses, `(steps, M)`."""
    images, runs = read(configs, kind)
    first = runs[0]
    update = update_of(first.optimizer)
    stack = Stack(
        {row: Member(each.net, each.optimizer) for row, each in enumerate(runs)}, len(runs), update, images.device
    )
    classes = first.parts.classifier.num_classes
    program = Program(first.net, first.regularizer, stack, update, images, classes, compile=False)
    found = []
    for _, batches in zip(range(steps), zip(*(each.batches() for each in runs), strict=True), strict=False):
        places = torch.stack([batch.images.places for batch in batches])  # type: ignore[attr-defined]  # selections
        rates = torch.tensor([rates_of(each.optimizer) for each in runs], dtype=torch.float64)
        program.take_steps(places, [places.shape[1]], rates[None])
        for each in runs:
            if each.by_step:
                each.optimizer._opt_called = True  # type: ignore[attr-defined]  # the schedule is not to warn
                each.schedule.step()
        totals = program.take_totals()
        found.append(totals[:, 1] / totals[:, 0])
    return torch.stack(found)


def check(configs: Sequence[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare in double precision over 50 steps, and in single over the first 20.

    A bias before batch norm has no gradient but what single precision leaves of one, and Adam takes a whole step along
    it: there a run alone is as far from its own in double precision, and no nearer is asked for.
    """
    script = Script(monkeypatch)
    exact = losses_alone(configs, 50, torch.float64)
    assert exact.isfinite().all()
    assert float(exact.std(1).min()) > 0
    script.begin()
    torch.testing.assert_close(losses_together(configs, 50, torch.float64), exact, rtol=1e-9, atol=0)
    script.begin()
    alone = losses_alone(configs, 20, torch.float32)
    script.begin()
    together = losses_together(configs, 20, torch.float32)
    own_error = float((alone / exact[:20] - 1).abs().max())
    assert own_error < 1e-3
    torch.testing.assert_close(together, alone, rtol=max(1e-4, 2 * own_error), atol=0)


@pytest.mark.parametrize(("technique", "optimizer"), sorted(set(CASES)))
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_each_technique_and_optimizer_has_the_losses_of_three_runs_alone(
    technique: str, optimizer: str, composed: Composed, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = composed(*SMALL, f"regularizer={technique}", f"optimizer={optimizer}")
    check([{**config, "seed": seed} for seed in range(3)], monkeypatch)


@pytest.mark.parametrize("regularizer", ["[batchnorm,dropout]", "[augmentation,cutout,mixup]", "[layernorm,l1]"])
def test_maps_have_the_losses_of_runs_alone(
    regularizer: str, composed: Composed, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = ("model=lenet5", "dataset.train_size=200", "dataset.batch_size=20", f"regularizer={regularizer}")
    check([{**composed(*chosen), "seed": seed} for seed in range(3)], monkeypatch)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_members_may_differ_in_rate_schedule_decay_and_dropouts_p(
    optimizer: str, composed: Composed, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = (*SMALL, f"optimizer={optimizer}")
    own = (
        ("regularizer=dropout", "regularizer.dropout.p=0.1", "optimizer.lr=0.003"),
        ("regularizer=[dropout,weight_decay]", "regularizer.weight_decay.coefficient=0.01", "scheduler=warmup_cosine"),
        ("regularizer=dropout", "scheduler=one_cycle", "trainer.max_epochs=9"),
        ("regularizer=[dropout,weight_decay]", "regularizer.weight_decay.parameters=all", "seed=3"),
    )
    check([composed(*common, *each) for each in own], monkeypatch)
