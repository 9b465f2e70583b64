import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import nn

from regbench.config import compose
from regbench.config.composing import CONFIGS
from regbench.config.objects import check_call, construct, construct_partial
from regbench.data import ImageData
from regbench.data.sources import Source
from regbench.regularizers import Regularizer
from regbench.regularizers.dropout import Dropout
from regbench.runs.parts import build

GROUPS = ("dataset", "model", "regularizer", "optimizer", "scheduler", "callbacks", "metrics")
OPTIONS = [(group, path.stem) for group in GROUPS for path in sorted((CONFIGS / group).glob("*.yaml"))]


def test_the_groups_hold_at_least_what_is_documented() -> None:
    assert len(OPTIONS) >= 29


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_yaml_fits_the_constructor_that_it_configures_and_shows_every_argument_of_ours(
    group: str, option: str
) -> None:
    import inspect
    import pkgutil

    config = compose(["dataset=digits", f"{group}={option}"])
    build(config)
    node = config[group]
    nodes = list(node.values()) if group in {"regularizer", "callbacks", "metrics"} else [node]
    supplied = {"self", "seed", "watched", "regularizer", "optimizer", "params", "network"}
    for each in nodes:
        target = pkgutil.resolve_name(each["_target_"])
        if target.__module__.startswith("regbench"):
            assert set(inspect.signature(target).parameters) - supplied <= set(each), each["_target_"]


class Scaling(Regularizer):
    def __init__(self, factor: float) -> None:
        self.factor = factor


def dropout(**changes: Any) -> dict[str, Any]:
    return {"_target_": "regbench.regularizers.dropout.Dropout", "p": 0.5, "layers": "dense", **changes}


def test_a_node_becomes_its_object() -> None:
    built = construct(dropout(p=0.25), Regularizer, "regularizer.dropout")
    assert isinstance(built, Dropout)
    assert built.p == 0.25


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (dropout(q=1), r"^r\.d\.q: no such key; expected p, layers$"),
        ({"_target_": f"{__name__}.Scaling"}, r"^r\.d\.factor: missing$"),
        (dropout(p="half"), r"^r\.d\.p: expected a number in \[0, 1\); received 'half'$"),
        (dropout(layers="conv"), r"^r\.d\.layers: expected 'dense', 'all' or 'f6'; received 'conv'$"),
        (dropout(p=1.5), r"^r\.d\.p: expected a number in \[0, 1\); received 1.5$"),
        (dropout(_target_="regbench.regularizers.dropout.Dropuot"), r"^r\.d\._target_: '.*Dropuot' cannot be imported"),
        (dropout(_target_="nowhere.Dropout"), r"^r\.d\._target_: 'nowhere.Dropout' cannot be imported"),
        (dropout(_target_="os.system"), r"^r\.d\._target_: expected a subclass of Regularizer, received 'os.system'$"),
        (dropout(_target_="torch.nn.Dropout"), r"^r\.d\._target_: expected a subclass of Regularizer"),
        (
            dropout(_target_="regbench.regularizers.dropout:Dropout"),
            r"^r\.d\._target_: expected MODULE\.CLASS, names .*:D",
        ),
        (
            dropout(_target_="regbench.regularizers.dropout.Dropout."),
            r"^r\.d\._target_: expected MODULE\.CLASS, names ",
        ),
        (dropout(_target_="..regularizers.dropout.Dropout"), r"^r\.d\._target_: expected MODULE\.CLASS, names with do"),
        (dropout(_target_=5), r"^r\.d\._target_: expected the full name of a Regularizer class, received 5$"),
        ({"p": 0.5}, r"^r\.d\._target_: expected the full name"),
        (0.5, r"^r\.d: expected keys and values with a _target_, received 0.5$"),
        (None, r"^r\.d: expected keys and values"),
    ],
)
def test_each_mistake_is_told_in_one_line_that_begins_with_its_key(node: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        construct(node, Regularizer, "r.d")
    assert "\n" not in str(caught.value)


def test_nothing_that_is_no_subclass_of_its_slot_is_called(tmp_path: Path) -> None:
    path = tmp_path / "made"
    for target in ("pathlib.Path.touch", "builtins.open", "subprocess.run", "torch.load"):
        with pytest.raises(ValueError, match="_target_: expected a subclass"):
            construct({"_target_": target, "self": str(path), "file": str(path)}, Regularizer, "r")
    assert not path.exists()


def test_a_module_that_acts_when_it_is_imported_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "program").mkdir()
    (tmp_path / "program/__main__.py").write_text("from torch.nn import Identity\n\nprint('ran')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for target in ("venv.__main__.main", "antigravity.main", "program.__main__.Identity"):
        with pytest.raises(ValueError, match=rf"^r\._target_: expected a subclass of Module, received '{target}'$"):
            construct({"_target_": target}, nn.Module, "r")
        assert target.rpartition(".")[0] not in sys.modules
    assert capfd.readouterr() == ("", "")


def test_nested_nodes_are_held_to_the_annotation_of_their_argument() -> None:
    node = compose(["dataset=digits"])["dataset"]
    assert isinstance(construct(node, ImageData, "dataset").source, Source)
    assert construct({"_target_": "decimal.Decimal", "value": "1"}, Decimal, "d") == 1
    node["source"] = {"_target_": "subprocess.Popen", "args": ["true"]}
    with pytest.raises(ValueError, match=r"^dataset\.source\._target_: expected a subclass of Source"):
        construct(node, ImageData, "dataset")


def test_a_partial_leaves_the_programs_arguments_for_later() -> None:
    node = {"_target_": "torch.optim.SGD", "name": "sgd", "lr": 0.5}
    make = construct_partial(node, torch.optim.Optimizer, "optimizer", given=("params",))
    optimizer = make(params=[nn.Parameter(torch.zeros(1))])
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_a_key_that_stored_configurations_still_hold_is_passed_over() -> None:
    assert vars(construct(dropout(_partial_=True), Regularizer, "r.d")) == vars(Dropout(0.5))


def test_the_programs_own_arguments_are_refused_in_a_configuration() -> None:
    node = {"_target_": "torch.optim.SGD", "params": [], "lr": 0.5}
    with pytest.raises(ValueError, match=r"^optimizer\.params: no such key"):
        construct_partial(node, torch.optim.Optimizer, "optimizer", given=("params",))


@pytest.mark.parametrize(
    ("lr", "message"), [(-1, "optimizer: Invalid learning rate: -1"), ("fast", r"optimizer\.lr: expected")]
)
def test_values_of_foreign_classes_are_refused_by_key(lr: Any, message: str) -> None:
    node = {"_target_": "torch.optim.Adam", "lr": lr}
    with pytest.raises(ValueError, match=message):
        construct_partial(node, torch.optim.Optimizer, "optimizer", given=("params",))(
            params=[nn.Parameter(torch.zeros(1))]
        )


def test_a_call_is_checked_against_names_and_types() -> None:
    def function(count: int, kind: Literal["a", "b"] = "a", **others: Any) -> None: ...

    assert check_call(function, {"count": "3", "more": None}, "", {}) == {"count": 3, "more": None}
    with pytest.raises(ValueError, match=r"^count: expected a valid integer, got a number with a fractional part"):
        check_call(function, {"count": 1.5}, "", {})
