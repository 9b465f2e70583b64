"""Reading and writing weights as plain state dicts, without running code that a file may contain."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn

from regbench.storage.files import read_bytes, replace_file


def load_weights(net: nn.Module, path: Path) -> None:
    """Load a plain state dict into the network; nothing but tensors is read from the file.

    Raises:
        ValueError: The file is missing, damaged, holds more than tensors, or belongs to another architecture.
    """
    state = read_tensors(path)
    if isinstance(state, dict) and isinstance(inner := state.get("state_dict"), dict):  # a Lightning checkpoint
        state = {key.removeprefix("net."): value for key, value in inner.items()}
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path}: expected a plain state dict of tensors, received {type(state).__name__}")
    expected = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    received = {key: tuple(value.shape) for key, value in state.items()}
    if expected != received:
        key = sorted(set(expected.items()) ^ set(received.items()))[0][0]
        raise ValueError(
            f"{path}: weights of another architecture: for {key} expected {expected.get(key, 'nothing')}, "
            f"received {received.get(key, 'nothing')}; give its model= and regularizer="
        )
    net.load_state_dict(state)


def read_tensors(path: Path, map_location: Any = "cpu") -> Any:
    """Return what `torch.save` wrote, if it is tensors and plain values alone; nothing in the file is ever run.

    Raises:
        ValueError: The file is missing, damaged or holds more.
    """
    try:
        content = io.BytesIO(read_bytes(path, most=None))
        _check_sums(content)
        return torch.load(content, map_location=map_location, weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; expected a state dict saved by torch.save") from None
    except Exception as error:  # torch raises many kinds, by the place of the damage
        if re.search(r"unsupported (global|class)", str(error), re.IGNORECASE):
            reason = "refused: it holds more than plain tensors, and loading it could run code"
        else:
            reason = "truncated or not a PyTorch file"
        raise ValueError(f"{path}: {reason}; expected a plain state dict") from error


def write_tensors(path: Path, value: Any) -> None:
    """Write what `read_tensors` reads, in one step: a reader sees the old file or the new one.

    By way of memory, since torch's own writer hides the system's error when a disk is full.

    Raises:
        OSError: The disk is full or the folder cannot be written; the message names the file.
    """
    content = io.BytesIO()
    torch.save(apply_to_collection(value, Tensor, _on_its_own), content)
    replace_file(path, lambda target: target.write_bytes(content.getbuffer()))


def _on_its_own(tensor: Tensor) -> Tensor:
    """Return a part of a larger tensor with memory of its own: torch would write the whole."""
    return tensor.clone() if tensor.untyped_storage().nbytes() > tensor.nbytes else tensor


def _check_sums(content: io.BytesIO) -> None:
    """Refuse a flipped bit: torch does not compare the checksums that it writes. Its old format has none."""
    if zipfile.is_zipfile(content):
        with zipfile.ZipFile(content) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"checksum of {damaged}")
    content.seek(0)
