"""Which runs are trained together, and what is said of those that are not."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from regbench.regularizers import Regularizer
from regbench.runs.parts import build
from regbench.together import forming
from regbench.together.forming import Formed, form_groups
from regbench.together.images import Images
from regbench.together.kinds import kind_of, obstacle
from regbench.together.trial import find_obstacle
from tests.inert import Annealed

Composed = Callable[..., dict[str, Any]]
SMALL = "model=mlp_small"


@pytest.mark.parametrize(
    "overrides",
    [
        ["seed=7", "dataset.split_seed=3", "study=other", "keep=results", "histograms=true"],
        ["optimizer.lr=0.5", "scheduler=one_cycle", "monitor=val/loss", "callbacks=early_stopping"],
        ["regularizer=weight_decay"],
    ],
)
def test_runs_of_one_kind_may_differ_in_what_is_their_own(overrides: list[str], composed: Composed) -> None:
    assert kind_of(composed(SMALL)) == kind_of(composed(SMALL, *overrides))


def test_dropouts_p_may_differ_where_there_is_dropout(composed: Composed) -> None:
    half, tenth, never = (
        kind_of(composed(SMALL, "regularizer=dropout", f"regularizer.dropout.p={p}")) for p in (0.5, 0.1, 0)
    )
    assert half == tenth
    assert never == kind_of(composed(SMALL)) != half


@pytest.mark.parametrize(
    "override",
    [
        *("model=mlp", "regularizer=batchnorm", "regularizer=label_smoothing", "optimizer=sgd", "threads=2"),
        *("optimizer.eps=1e-3", "dataset.batch_size=20", "dataset.train_size=199", "trainer.max_epochs=2"),
        *("track_test=true", "compile=true", "dataset.val_size=0"),
    ],
)
def test_other_runs_are_of_another_kind(override: str, composed: Composed) -> None:
    assert kind_of(composed(SMALL, "compile=false")) != kind_of(composed(SMALL, "compile=false", override))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"trainer": {"precision": "bf16-mixed"}}, r"trainer\.precision: bf16-mixed is not 32-true"),
        ({"trainer": {"gradient_clip_val": 1.0}}, r"trainer\.gradient_clip_val: not known"),
        ({"trainer": {"devices": [0]}}, r"trainer\.devices: \[0\] is not 1"),
        ({"callbacks": {"mine": {"_target_": "mine.Ramp"}}}, r"callbacks\.mine: mine\.Ramp is none of"),
    ],
)
def test_a_configuration_tells_what_stands_in_the_way(
    changed: Mapping[str, Any], reason: str, composed: Composed
) -> None:
    config = composed(SMALL)
    assert obstacle(config) is None
    found = obstacle({**config, **changed})
    assert found is not None
    assert re.match(reason, found)


class Reads(Regularizer):
    """Reads a number out of a tensor."""

    def penalty(self, net: nn.Module) -> Tensor | float:
        total = torch.stack([each.abs().sum() for each in net.parameters()]).sum()
        return total if total.item() > 0 else 0.0


class DrawsByNumPy(Regularizer):
    """Draws from a stream that all members share."""

    def on_batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return images * np.random.uniform(0.9, 1.1), targets


class KeepsWeights(Regularizer):
    """Penalizes layers that it keeps apart from the network, as they were when it first saw them."""

    def __init__(self) -> None:
        self._seen: list[Tensor] = []

    def __deepcopy__(self, memo: Any) -> "KeepsWeights":
        return self

    def penalty(self, net: nn.Module) -> Tensor | float:
        self._seen = self._seen or [each for each in net.parameters() if each.ndim == 2]
        return 10 * torch.stack([each.square().sum() for each in self._seen]).sum()


class Prepared(Regularizer):
    """Keeps the network's weights from before, which no vectorized call replaces."""

    def prepare(self, net: nn.Module) -> None:
        self._weights = [each for each in net.parameters() if each.ndim == 2]

    def penalty(self, net: nn.Module) -> Tensor | float:
        return 10 * torch.stack([each.square().sum() for each in self._weights]).sum()


class TowardsTheStart(Regularizer):
    """Draws weights towards those with which the run began."""

    def prepare(self, net: nn.Module) -> None:
        self._start = [each.detach().clone() for each in net.parameters()]

    def penalty(self, net: nn.Module) -> Tensor | float:
        pairs = zip(net.parameters(), self._start, strict=True)
        return torch.stack([(each - start).square().sum() for each, start in pairs]).sum()


class Counts(Regularizer):
    """Counts steps in a buffer that it gives the network."""

    def prepare(self, net: nn.Module) -> None:
        net.register_buffer("count", torch.zeros(()))

    def penalty(self, net: nn.Module) -> Tensor | float:
        net.count = net.count + 1  # type: ignore[assignment,operator]  # another tensor, where one changed in place would do
        return 0.0


class HasState(Regularizer):
    """Keeps what only it knows how to keep."""

    def state_dict(self) -> dict[str, Any]:
        return {"one": 1}


@pytest.mark.parametrize(
    ("technique", "reason"),
    [
        (Reads, "it cannot be vectorized: "),
        (DrawsByNumPy, "regularizer: it draws from Python's or NumPy's random stream"),
        (Annealed, "regularizer.own: its attribute "),
        (KeepsWeights, "it cannot be vectorized: |regularizer: its gradients|regularizer.own: its attribute"),
        (Prepared, "regularizer: its gradients with others are not those alone"),
        (TowardsTheStart, r"regularizer\.own\._start: it is another one with another seed"),
        (Counts, "regularizer: its gradients with others are not those alone"),
        (HasState, "regularizer.own: it keeps state of its own"),
    ],
)
def test_a_trial_finds_techniques_that_cannot_be_shared(technique: type, reason: str, composed: Composed) -> None:
    config = composed(SMALL)
    config["regularizer"] = {"own": {"_target_": f"{technique.__module__}.{technique.__name__}"}}
    found = trial(config)
    assert found is not None
    assert re.match(reason, found), found


def test_a_trial_finds_nothing_against_the_techniques_of_the_house(composed: Composed) -> None:
    assert trial(composed(SMALL, "callbacks=early_stopping", "regularizer=[batchnorm,dropout,l1,mixup]")) is None
    assert trial(composed(SMALL, "regularizer=[dropconnect,max_norm,spatial_dropout]")) is None


def test_a_penalty_without_a_gradient_is_found_beside_layers_that_draw(composed: Composed) -> None:
    config = composed(SMALL, "regularizer=dropout")
    config["regularizer"]["own"] = {"_target_": f"{__name__}.Prepared"}
    assert trial(config) == "regularizer: its gradients with others are not those alone"


@pytest.mark.parametrize(
    ("optimizer", "received"),
    [
        ({"_target_": "torch.optim.RMSprop", "lr": 0.1}, "RMSprop"),
        ({"_target_": "torch.optim.Adam", "amsgrad": True}, "Adam with amsgrad"),
        ({"_target_": "torch.optim.SGD", "lr": 0.1, "dampening": 0.5}, "SGD with dampening"),
        ({"_target_": "torch.optim.SGD", "lr": 0.1, "maximize": True}, "SGD with maximize"),
        ({"_target_": "regbench.training.muon.MuonWithAdamW"}, "MuonWithAdamW"),
    ],
)
def test_optimizers_whose_steps_are_not_known_for_many_networks_are_named(
    optimizer: dict[str, Any], received: str, composed: Composed
) -> None:
    found = trial({**composed(SMALL), "optimizer": optimizer})
    assert found is not None
    assert found.startswith("optimizer: expected Adam, AdamW or SGD without dampening")
    assert found.endswith(f"; received {received}")


def test_techniques_that_change_gradients_are_left_alone(composed: Composed) -> None:
    found = trial(composed(SMALL, "regularizer=sam"))
    assert found is not None
    assert found.startswith("regularizer: a technique changes gradients")


def trial(config: dict[str, Any]) -> str | None:
    parts, other = (build({**config, "seed": seed}) for seed in (0, 1))
    before = torch.get_rng_state()
    found = find_obstacle(parts, other, Images(parts.data, torch.device("cpu")))
    assert torch.equal(torch.get_rng_state(), before)
    return found


def test_members_that_were_killed_before_all_had_a_checkpoint_are_one_group_again(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = {name: composed(SMALL, f"seed={seed}") for seed, name in enumerate("abcd")}
    states: dict[str, list[dict[str, Any]]] = {
        "a": [{"epochs": 1, "engine": Formed(list("abcd"), {}, "s").identity()}],
        "d": [{"epochs": 5}],  # trained alone meanwhile
    }
    monkeypatch.setattr(forming, "recorded_states", lambda folder, identity: states.get(folder.name, []))
    (group,) = form_groups(tmp_path, configs, members=40)
    assert (list(group.names), group.runs, group.stream, group.most_epochs) == (
        list("abcd"),
        {0: "a", 1: "b", 2: "c"},
        "s",
        0,
    )
    states["a"][0]["epochs"] = 7
    (group,) = form_groups(tmp_path, configs, members=40)
    assert (group.runs, group.most_epochs) == ({0: "a", 1: "b", 2: "c"}, None)


def test_groups_are_as_few_and_even_as_can_be(composed: Composed, tmp_path: Path) -> None:
    configs: dict[str, Any] = {f"n{seed}": composed(SMALL, f"seed={seed}") for seed in range(7)}
    configs |= {"b0": composed(SMALL, "regularizer=batchnorm")}
    configs |= {f"d{seed}": composed(SMALL, "regularizer=dropout", f"seed={seed}") for seed in range(3)}
    groups = form_groups(tmp_path, configs, members=3)
    assert [list(each.runs.values()) for each in groups] == [
        ["n0", "n1"],
        ["n2", "n3", "n4"],
        ["n5", "n6"],
        ["d0", "d1", "d2"],
    ]
    assert [len(each.names) for each in groups] == [2, 3, 2, 3]
    assert len({each.stream for each in groups}) == 4
    assert form_groups(tmp_path, {"b0": configs["b0"]}, members=3) == []
