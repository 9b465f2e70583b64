"""The shipped networks of R1: they load into what their card says, and score what their study's results say."""

from pathlib import Path

import pytest
import torch

from regbench.config import compose
from regbench.runs.evaluation import predict_splits, score_splits
from regbench.runs.parts import build
from regbench.study import load
from regbench.training.weights import load_weights

from .conftest import ROOT

PUBLISHED = ROOT / "docs/published"
BUILT = {
    "none": ["regularizer=none"],
    "dropout": ["regularizer=dropout"],
    "weight_decay": ["regularizer=weight_decay"],
    "batchnorm": ["regularizer=batchnorm", "regularizer.batchnorm.layers=maps"],
}


@pytest.mark.parametrize("name", BUILT)
def test_a_shipped_network_is_a_small_plain_state_dict(name: str) -> None:
    path = PUBLISHED / f"networks/{name}.pt"
    assert path.stat().st_size < 300_000
    weights = torch.load(path, weights_only=True)
    expected = 61_706 + (2 * (6 + 16) if name == "batchnorm" else 0)
    buffers = ("mean", "std", "running_var", "num_batches_tracked")
    assert sum(each.numel() for key, each in weights.items() if not key.endswith(buffers)) == expected


@pytest.mark.archives
@pytest.mark.parametrize("name", BUILT)
def test_a_shipped_network_scores_what_its_run_scored(name: str, archives: Path) -> None:
    built = build({**compose([*BUILT[name], "dataset=fashion_mnist", "dataset.val_size=0"]), "compile": False})
    load_weights(built.classifier.net, PUBLISHED / f"networks/{name}.pt")
    found = score_splits(predict_splits(built.classifier.net, built.data))
    run = load(PUBLISHED / "r1_lenet5_fashion_mnist").runs.query("setting == @name and seed == 0").iloc[0]
    for metric in ("train/acc", "test/acc"):
        # Another processor rounds differently, which may turn an image or two.
        assert found[metric] == pytest.approx(run[metric], abs=3e-4)
