"""Whether a technique acts: training with it is compared with the same training without it."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from regbench.config.objects import construct
from regbench.data import ImageData
from regbench.data.module import Split
from regbench.regularizers import Regularizer
from regbench.runs.parts import build
from regbench.seeding import stream_seed
from regbench.training.checkpoints import read_checkpoint
from regbench.training.classifier import Classifier, parameter_groups

_BATCHES = 8


def find_acting(config: Mapping[str, Any], data: ImageData, last: Path) -> dict[str, bool] | None:
    """Return for each technique whether it acts; `None` where there is none.

    It does where layers, decays, gradients or weights differ in any bit from those of the same configuration and seed
    without it, on one of the first batches: at the beginning of training, or with the weights and the techniques' state
    at its end, since a technique may set in late. Steps are taken for techniques that act after a step, at the
    optimizer's own rate. Nothing of the run itself is used or changed. On the CPU, where equal operations give equal
    bits.

    Args:
        config: The run's composed configuration.
        data: Its data, set up.
        last: The checkpoint after the last epoch.
    """
    techniques = config["regularizer"]
    if not techniques:
        return None
    batches = [Split(*(each.cpu() for each in batch)) for batch in itertools.islice(data.training_batches(), _BATCHES)]
    return {name: _acts(name, config, batches, last) for name in sorted(techniques)}


def _acts(name: str, config: Mapping[str, Any], batches: Sequence[Split], last: Path) -> bool:
    others = {key: node for key, node in config["regularizer"].items() if key != name}
    try:
        technique = construct(config["regularizer"][name], Regularizer, f"regularizer.{name}")
        for checkpoint in (None, last):
            ours, theirs = (
                _observe({**config, "regularizer": chosen}, batches, checkpoint, technique.fills("after_step"))
                for chosen in (config["regularizer"], others)
            )
            if not all(_equal(*pair) for pair in zip(ours, theirs, strict=True)):
                return True
    except Exception:  # of code that is not ours, as a rule: what cannot be trained without it needs it
        return True
    return False


def _observe(
    config: Mapping[str, Any], batches: Sequence[Split], checkpoint: Path | None, with_steps: bool
) -> Iterator[Any]:
    """Build a run and give, batch by batch, all that its training depends on."""
    classifier = build({**config, "callbacks": {}, "compile": False}).classifier
    net, regularizer = classifier.net, classifier.regularizer
    # An identity is no difference, and it shifts the names of the layers beside it. A parametrized layer has a class of
    # its own in each network; its parametrizations are layers too.
    layers = [module for module in net.modules() if not isinstance(module, nn.Identity)]
    yield [type_before_parametrizations(layer) for layer in layers]
    yield [tuple(value.shape) for value in net.state_dict().values()]
    yield [regularizer.decay(name, parameter) for name, parameter in net.named_parameters()]
    if checkpoint is not None:
        _load(classifier, read_checkpoint(checkpoint))
    optimizer = classifier.make_optimizer(params=parameter_groups(net, regularizer)) if with_steps else None
    for number, batch in enumerate(batches):
        with torch.random.fork_rng(devices=[]):
            differentiate = _differentiation(classifier, batch, stream_seed(classifier.seed, "acting", number))
            if optimizer is None:
                differentiate()
            else:
                optimizer.step(closure=differentiate)
                with torch.no_grad():
                    regularizer.after_step(net)
        yield [each.grad if each.grad is None else each.grad.clone() for each in net.parameters()]
        yield [value.clone() for value in net.state_dict().values()]


def _differentiation(classifier: Classifier, batch: Split, seed: int) -> Callable[[], float]:
    """Return what computes the gradients of a batch as a step does, and gives the loss.

    The random stream is put back at each part: numbers that a technique draws and does not use are no difference.
    """
    net = classifier.net
    torch.manual_seed(seed)
    images, targets = classifier.regularized(batch)

    def compute() -> Tensor:
        torch.manual_seed(seed)
        with torch.enable_grad():
            loss, _ = classifier.objective(images, targets)
            net.zero_grad()
            loss.backward()
        return loss.detach()

    def recompute() -> None:
        compute()

    def differentiate() -> float:
        loss = compute()
        torch.manual_seed(seed)
        with torch.no_grad():
            classifier.regularizer.on_gradients(net, recompute)
        return loss.item()

    return differentiate


def _load(classifier: Classifier, checkpoint: Mapping[str, Any]) -> None:
    net = classifier.net
    weights = [value for name, value in checkpoint["state_dict"].items() if name.startswith("net.")]
    net.load_state_dict(dict(zip(net.state_dict(), weights, strict=True)))
    classifier.load_technique_state(checkpoint, torch.device("cpu"))


def _equal(ours: Any, theirs: Any) -> bool:
    """Compare bit by bit."""
    if isinstance(ours, Tensor) and isinstance(theirs, Tensor):
        return torch.equal(ours, theirs)
    if isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        return len(ours) == len(theirs) and all(map(_equal, ours, theirs))
    return bool(ours == theirs)
