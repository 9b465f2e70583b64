"""Whether a run's own code can be trained with others: tried on a few images before anything is trained."""

import copy
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regbench.regularizers import Combined, Regularizer
from regbench.runs.parts import Parts
from regbench.together.images import Images
from regbench.together.program import Vectorized
from regbench.training.attributes import Attributes
from regbench.training.classifier import objective
from regbench.training.steps import watches_steps

_IMAGES = 16
_SEED = 0
# Of the largest gradient: far more than single precision loses, far less than a slip.
_TOLERANCE = 1e-3


def find_obstacle(parts: Parts, images: Images) -> str | None:
    """Return in one line why the runs of a kind cannot be trained together; else `None`.

    Vectorized code sees each tensor without the dimension of members, so most code works as it is. What cannot is what
    reads numbers out of tensors, or keeps state in Python: there is one technique for all members.

    Args:
        parts: Of one of the runs.
        images: Its data set's.
    """
    for callback in parts.callbacks:
        if watches_steps(callback):
            return f"callbacks: {type(callback).__name__} watches single steps"
    regularizer, net = parts.classifier.regularizer, parts.classifier.net
    if regularizer.fills("on_gradients"):
        return "regularizer: a technique changes gradients, which members have in common memory"
    for name, technique in regularizer.techniques.items() if isinstance(regularizer, Combined) else ():
        if type(technique).state_dict is not Regularizer.state_dict:
            return f"regularizer.{name}: it keeps state of its own, and there is one technique for all members"
    batch = images.images[:_IMAGES], images.labels[:_IMAGES]
    try:
        return _try(net, regularizer, *batch, classes=len(parts.data.classes))
    except Exception as error:  # of whatever a technique or network of one's own does
        return f"it cannot be vectorized: {str(error).splitlines()[0] if str(error) else type(error).__name__}"


def _try(net: nn.Module, regularizer: Regularizer, images: Tensor, labels: Tensor, classes: int) -> str | None:
    targets = torch.eye(classes)[labels]
    streams = _streams()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        before = torch.get_rng_state()
        own, technique = copy.deepcopy((net.train(), regularizer))
        attributes = Attributes(technique, own)
        alone = _alone(own, technique, images, targets)
        draws = not torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(_SEED)
        together = _together(*copy.deepcopy((net, regularizer)), images, targets)
    if changed := attributes.changed():
        owner = min(changed)
        return f"{owner}: its attribute {min(changed[owner])} changes from step to step, and is one for all members"
    if streams != _streams():
        return "regularizer: it draws from Python's or NumPy's random stream, which is one for all members"
    # Where something is drawn, the numbers may be drawn in another order.
    return None if draws or _agree(together, alone) else "regularizer: its gradients with others are not those alone"


def _alone(net: nn.Module, regularizer: Regularizer, images: Tensor, targets: Tensor) -> list[Tensor]:
    """Return the gradients of a run that is trained by itself, and what its weights become after a step."""
    trained = [each for each in net.parameters() if each.requires_grad]
    changed = regularizer.on_batch(images, targets)
    loss, _ = objective(net, regularizer, *changed, penalizes_logits=regularizer.fills("penalty_on_logits"))
    gradients = torch.autograd.grad(loss, trained)
    with torch.no_grad():
        regularizer.after_step(net)
    return [*gradients, *trained]


def _together(net: nn.Module, regularizer: Regularizer, images: Tensor, targets: Tensor) -> list[Tensor]:
    """Return the gradients of a lone member, and what its weights become after a step."""
    vectorized = Vectorized(net, regularizer)
    trained = {
        name: value.detach()[None].requires_grad_() for name, value in net.named_parameters() if value.requires_grad
    }
    others = {name: value.detach()[None].clone() for name, value in net.state_dict().items() if name not in trained}
    losses, _ = vectorized.loss(trained, others, *vectorized.change(images[None], targets[None]))
    gradients = torch.autograd.grad(losses.sum(), list(trained.values()))
    vectorized.change_weights(trained)
    return [each[0] for each in (*gradients, *trained.values())]


def _agree(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    largest = max(float(each.detach().abs().max()) for each in theirs)
    return all(torch.allclose(*pair, rtol=0, atol=_TOLERANCE * largest) for pair in zip(ours, theirs, strict=True))


def _streams() -> tuple[Any, ...]:
    """Return the states of the random streams that are not torch's."""
    _, keys, *rest = np.random.get_state(legacy=True)
    return random.getstate(), bytes(np.asarray(keys)), *rest
