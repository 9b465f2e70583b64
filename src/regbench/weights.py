"""Weights as plain state dicts, read without running anything that a file may hold."""

from pathlib import Path

import torch
from torch import Tensor, nn


def load_weights(net: nn.Module, path: Path) -> None:
    """Load a plain state dict into the network; nothing but tensors is read from the file.

    Raises:
        ValueError: The file is missing, damaged, holds more than tensors, or belongs to another architecture.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; expected a state dict saved by torch.save") from None
    except Exception as error:  # torch raises many kinds, by the place of the damage
        if "Unsupported" in str(error) or "GLOBAL" in str(error):
            reason = "refused: it holds more than plain tensors, and loading it could run code"
        else:
            reason = "truncated or not a PyTorch file"
        raise ValueError(f"{path}: {reason}; expected a plain state dict") from error
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
