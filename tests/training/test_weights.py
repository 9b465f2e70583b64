import os
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from regbench.training.weights import load_weights


@pytest.fixture
def net() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def test_a_plain_state_dict_and_a_lightning_checkpoint_are_loaded(net: nn.Module, tmp_path: Path) -> None:
    other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    torch.save(other.state_dict(), tmp_path / "plain.pt")
    torch.save({"state_dict": {f"net.{key}": each for key, each in other.state_dict().items()}}, tmp_path / "full.ckpt")
    for name in ("plain.pt", "full.ckpt"):
        load_weights(net, tmp_path / name)
        assert torch.equal(net[0].weight, other[0].weight)


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_malicious_file_is_refused_and_its_payload_does_not_run(writer: str, net: nn.Module, tmp_path: Path) -> None:
    path, proof = tmp_path / "weights.pt", tmp_path / "ran"
    if writer == "torch":
        torch.save({"0.weight": Payload(proof)}, path)
    else:
        path.write_bytes(pickle.dumps(Payload(proof)))
    with pytest.raises(ValueError, match=r"weights\.pt: .*expected a plain state dict"):
        load_weights(net, path)
    assert not proof.exists()


@pytest.mark.parametrize("keep", [0, 10, 300, -20])
def test_a_truncated_file_is_named(keep: int, net: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(net.state_dict(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"weights\.pt: truncated or not a PyTorch file"):
        load_weights(net, path)


def test_weights_of_another_architecture_are_refused_by_the_first_key_that_differs(
    net: nn.Module, tmp_path: Path
) -> None:
    torch.save(nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)).state_dict(), tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"for 0\.weight expected \(2, 3\), received \(2, 4\)"):
        load_weights(net, tmp_path / "w.pt")
    torch.save(nn.Sequential(nn.Linear(3, 2)).state_dict(), tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"for 1\.bias expected \(2,\), received nothing"):
        load_weights(net, tmp_path / "w.pt")


def test_a_missing_file_and_other_content_are_named(net: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"w\.pt: no such file"):
        load_weights(net, tmp_path / "w.pt")
    torch.save([1, 2], tmp_path / "w.pt")
    with pytest.raises(ValueError, match="expected a plain state dict of tensors, received list"):
        load_weights(net, tmp_path / "w.pt")
