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
from regbench.together.program import Vectorized, without_notices
from regbench.together.stack import named_state
from regbench.together.updates import update_of
from regbench.training.attributes import Attributes
from regbench.training.classifier import objective, parameter_groups

_IMAGES = 16
_SEED = 0
# Of the largest gradient: far more than single precision loses, far less than a slip.
_TOLERANCE = 1e-3


def find_obstacle(parts: Parts, other: Parts, images: Images) -> str | None:
    """Return in one line why the runs of a kind cannot be trained together; else `None`.

    Vectorized code sees each tensor without the dimension of members, so most code works as it is. What cannot is what
    reads numbers out of tensors, or keeps something of its own in Python: there is one technique for all members.

    Args:
        parts: Of one of the runs.
        other: Of the same one with another seed.
        images: Its data set's.
    """
    regularizer, net = parts.classifier.regularizer, parts.classifier.net
    if regularizer.fills("on_gradients"):
        return "regularizer: a technique changes gradients, which members have in one memory"
    for name, technique in regularizer.techniques.items() if isinstance(regularizer, Combined) else ():
        if type(technique).state_dict is not Regularizer.state_dict:
            return f"regularizer.{name}: it keeps state of its own, and there is one technique for all members"
    theirs = Attributes(other.classifier.regularizer, other.classifier.net)
    if (differing := Attributes(regularizer, net).differing(theirs)) is not None:
        return f"{differing}: it is another one with another seed, and there is one for all members"
    try:
        update_of(parts.classifier.make_optimizer(params=parameter_groups(net, regularizer)))
    except ValueError as error:
        return str(error)
    batch = images.images[:_IMAGES], torch.eye(len(parts.data.classes))[images.labels[:_IMAGES]]
    streams = _streams()
    try:
        with without_notices():
            found = _compare(net.train(), regularizer, *batch) or _compare(net.eval(), regularizer, *batch)
    except Exception as error:  # of whatever a technique or network of one's own does
        return f"it cannot be vectorized: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    if streams != _streams():
        return "regularizer: it draws from Python's or NumPy's random stream, which is one for all members"
    return found


def _compare(net: nn.Module, regularizer: Regularizer, images: Tensor, targets: Tensor) -> str | None:
    """Compare a lone member's step with that of a run alone, in the network's mode.

    Where something is drawn nothing is compared, since numbers may be drawn in another order; in evaluation mode layers
    draw nothing, and batches are left as they are.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        before = torch.get_rng_state()
        own, technique = copy.deepcopy((net, regularizer))
        attributes = Attributes(technique, own)
        alone = _alone(own, technique, images, targets)
        draws = not torch.equal(torch.get_rng_state(), before)
        together = _together(*copy.deepcopy((net, regularizer)), images, targets)
    if changed := attributes.changed():
        owner = min(changed)
        return f"{owner}: its attribute {min(changed[owner])} changes from step to step, and is one for all members"
    return None if draws or _agree(together, alone) else "regularizer: its gradients with others are not those alone"


def _alone(net: nn.Module, regularizer: Regularizer, images: Tensor, targets: Tensor) -> list[Tensor]:
    """Return the gradients of a run that is trained by itself, and what its state becomes after a step."""
    trained = [each for each in net.parameters() if each.requires_grad]
    if net.training:
        images, targets = regularizer.on_batch(images, targets)
    penalizes = regularizer.fills("penalty_on_logits")
    loss, _ = objective(net, regularizer, images, targets, penalizes_logits=penalizes)
    gradients = torch.autograd.grad(loss, trained)
    with torch.no_grad():
        regularizer.after_step(net)
    return [*gradients, *(each.detach() for each in named_state(net).values())]


def _together(net: nn.Module, regularizer: Regularizer, images: Tensor, targets: Tensor) -> list[Tensor]:
    """Return the gradients of a lone member, and what its state becomes after a step."""
    vectorized = Vectorized(net, regularizer)
    rows = {name: value.detach()[None].clone() for name, value in named_state(net).items()}
    trained = {name: rows[name].requires_grad_() for name, value in net.named_parameters() if value.requires_grad}
    others = {name: value for name, value in rows.items() if name not in trained}
    batch = images[None], targets[None]
    losses, _ = vectorized.loss(trained, others, *(vectorized.change(*batch) if net.training else batch))
    gradients = torch.autograd.grad(losses.sum(), list(trained.values()))
    vectorized.change_weights(trained, others)
    return [each[0] for each in (*gradients, *(value.detach() for value in rows.values()))]


def _agree(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    """Compare to a share of the largest value of all."""
    largest = max(float(each.abs().max()) for each in theirs if each.numel())
    return all(
        torch.allclose(our.double(), their.double(), rtol=0, atol=_TOLERANCE * largest)
        for our, their in zip(ours, theirs, strict=True)
    )


def _streams() -> tuple[Any, ...]:
    """Return the states of the random streams that are not torch's."""
    _, keys, *rest = np.random.get_state(legacy=True)
    return random.getstate(), bytes(np.asarray(keys)), *rest
