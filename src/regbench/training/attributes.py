"""What techniques and layers keep in plain attributes: what changes there while training belongs into a checkpoint."""

import hashlib
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regbench.regularizers import Combined, Regularizer

TECHNIQUES = "techniques"  # the key of what techniques and layers keep, in Lightning's checkpoint

_PLAIN = (bool, int, float, str, bytes, type(None))
_PLAIN_CONTAINERS = (list, tuple, dict)
_MODULES_OWN = frozenset(vars(nn.Module()))


class Attributes:
    """Watches the attributes of a run's techniques and layers, weights and buffers apart.

    A technique that overrides `Regularizer.state_dict` is left alone: it knows what to keep.

    Args:
        regularizer: The run's; each technique of a `Combined` is watched on its own.
        net: Already built: what the techniques have by now is where they start.
    """

    def __init__(self, regularizer: Regularizer, net: nn.Module) -> None:
        techniques = regularizer.techniques if isinstance(regularizer, Combined) else {"": regularizer}
        self._net = net
        self._owners: dict[str, object] = {
            f"regularizer.{name}": each
            for name, each in techniques.items()
            if type(each).state_dict is Regularizer.state_dict
        }
        self._owners |= {f"net.{name}": module for name, module in net.named_modules()}
        self._first = {
            key: {name: _frozen(value) for name, value in _attributes(owner).items()}
            for key, owner in self._owners.items()
        }
        self._first_values = {
            key: {name: _detached(value) for name, value in _attributes(owner).items() if is_plain(value)}
            for key, owner in self._owners.items()
        }

    def changed(self) -> dict[str, dict[str, Any]]:
        """Return the attributes that are no longer what they were, by owner and name, as plain values and tensors.

        Raises:
            ValueError: A technique changes an attribute that no checkpoint can hold.
        """
        found: dict[str, dict[str, Any]] = {}
        saved = self._in_the_state_dict()
        for key, owner in self._owners.items():
            first = self._first[key]
            for name, value in _attributes(owner).items():
                parts = list(_parts(value))
                if (parts and saved.issuperset(map(id, parts))) or _frozen(value) == first.get(name):
                    continue
                if is_plain(value) and name not in _MODULES_OWN:
                    found.setdefault(key, {})[name] = _detached(value)
                elif isinstance(owner, Regularizer):
                    raise ValueError(
                        f"{key}: expected state that a checkpoint can hold; its attribute {name} changes while "
                        f"training and is a {type(value).__name__}; keep numbers, texts, tensors or lists, tuples and "
                        "dicts of these, or override state_dict and load_state_dict"
                    )
        return found

    def differing(self, other: "Attributes") -> str | None:
        """Return the name of an attribute that another run's objects began with another value of; else `None`."""
        ours, theirs = self._in_the_state_dict(), other._in_the_state_dict()
        for key, owner in self._owners.items():
            for name, value in _attributes(owner).items():
                parts = list(_parts(value))
                if parts and ours.issuperset(map(id, parts)):
                    continue
                own, its = self._first[key].get(name), other._first.get(key, {}).get(name)
                if own != its and not theirs.issuperset(map(id, _parts(_attributes(other._owners[key]).get(name)))):
                    return f"{key}.{name}"
        return None

    def changing_numbers(self) -> list[str]:
        """Return the names of the attributes that are Python numbers and changed."""
        return [
            f"{key}.{name}"
            for key, values in self.changed().items()
            for name, value in values.items()
            if isinstance(value, (int, float))
        ]

    def restore(self, state: Mapping[str, Mapping[str, Any]], device: torch.device) -> None:
        """Take up what `changed` gave; what had not changed then is as it was at first.

        Args:
            state: The attributes by owner and name; owners that are not there are passed over.
            device: Where a tensor is put that was made while training.
        """
        for key, now in self.changed().items():
            first = self._first_values[key]
            self._take_up(key, {name: first[name] for name in now if name in first}, device)
        for key in state.keys() & self._owners.keys():
            self._take_up(key, state[key], device)

    def _take_up(self, key: str, values: Mapping[str, Any], device: torch.device) -> None:
        own = vars(self._owners[key])
        for name, value in values.items():
            there = own.get(name)
            if isinstance(value, Tensor) and isinstance(there, Tensor) and there.shape == value.shape:
                there.detach().copy_(value)
            else:
                own[name] = _mapped(value, lambda tensor: tensor.to(device, copy=True))

    def _in_the_state_dict(self) -> set[int]:
        """Return the ids of the network's own layers and weights, to which a technique may refer."""
        net = self._net
        return {id(each) for kind in (net.modules(), net.parameters(), net.buffers()) for each in kind}


def is_plain(value: Any) -> bool:
    """Whether a value is made of numbers, texts, tensors, and lists, tuples and dicts of these alone."""
    if isinstance(value, Tensor) or type(value) in _PLAIN:
        return True
    return type(value) in _PLAIN_CONTAINERS and all(map(is_plain, _items(value)))


def _attributes(owner: object) -> dict[str, Any]:
    own = getattr(owner, "__dict__", {})
    internal = _MODULES_OWN if isinstance(owner, nn.Module) and not isinstance(owner, Regularizer) else ()
    return {name: value for name, value in own.items() if name not in internal}


def _items(container: Any) -> list[Any]:
    return [*container.keys(), *container.values()] if isinstance(container, dict) else list(container)


def _parts(value: Any) -> Iterator[Any]:
    """Give what containers hold, however deep."""
    if isinstance(value, (*_PLAIN_CONTAINERS, nn.ModuleList)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _parts(each)
    else:
        yield value


def _frozen(value: Any) -> object:
    """Return what is equal for equal values and stays as it is when the value changes."""
    if type(value) in _PLAIN:
        return type(value), repr(value)
    if isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().view(-1).view(torch.uint8) if value.numel() else value
        return value.dtype, tuple(value.shape), hashlib.sha256(content.numpy().tobytes()).digest()
    if type(value) in _PLAIN_CONTAINERS:
        return type(value), tuple(map(_frozen, _items(value)))
    if isinstance(value, Iterator):
        return object()  # whoever keeps one uses it up
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return type(value), hashlib.sha256(pickle.dumps(value)).digest()
    except Exception:  # whatever cannot be pickled, a function of one's own above all
        return type(value), id(value)


def _detached(value: Any) -> Any:
    """Return the value with its tensors apart from the graph and from memory that they share."""
    return _mapped(value, lambda tensor: tensor.detach().clone())


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return the value with its tensors changed, and with containers of its own."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(each, change) for key, each in value.items()}
    return type(value)(_mapped(each, change) for each in value) if isinstance(value, (list, tuple)) else value
