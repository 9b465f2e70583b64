"""What the constructors declare is what they refuse, what their cards say and what YAML gives."""

import inspect
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from regbench.config import compose
from regbench.config.objects import construct
from regbench.data.sources import Digits
from regbench.regularizers import Regularizer
from tests.declared import Node, invalid_values, is_bounded, nodes, schemas

NODES = nodes()
CLASSES = {each.target: each for each in NODES}
TECHNIQUES = [each for each in NODES if each.group == "regularizer"]
DECLARED = [
    pytest.param(node, name, schema, id=f"{node.cls.__name__}.{name}")
    for node in CLASSES.values()
    for name, schema in schemas(node.cls).items()
]


def test_the_yamls_name_classes_of_ours_that_declare_ranges() -> None:
    assert len(CLASSES) >= 16
    assert len(TECHNIQUES) >= 10
    assert sum(is_bounded(schema) for node in CLASSES.values() for schema in schemas(node.cls).values()) >= 25
    assert all(len(invalid_values(schema)) > 1 for node in CLASSES.values() for schema in schemas(node.cls).values())


def resolved(node: Node) -> dict[str, Any]:
    """The node as it is composed, with all interpolations resolved."""
    found: Any = compose(["dataset=digits", f"{node.group}={node.option}"])
    for part in node.key.split("."):
        found = found[part]
    return dict(found)


@pytest.fixture(scope="module")
def arguments() -> dict[str, dict[str, Any]]:
    """By class, arguments that its constructor takes."""
    parameters = [nn.Parameter(torch.zeros(1))]
    given = {"params": parameters, "optimizer": torch.optim.SGD(parameters), "source": Digits(), "root": Path()}
    given |= {"regularizer": Regularizer(), "network": nn.Linear(1, 1)}
    found = {}
    for target, node in CLASSES.items():
        taken = inspect.signature(node.cls).parameters
        found[target] = {name: value for name, value in {**resolved(node), **given}.items() if name in taken}
        node.cls(**found[target])
    return found


@pytest.mark.parametrize(("node", "name", "schema"), DECLARED)
def test_what_is_not_declared_is_refused_in_one_line_that_names_the_key_once(
    node: Node, name: str, schema: dict[str, Any], arguments: dict[str, dict[str, Any]]
) -> None:
    line = rf"{name}(\[0\])?: expected [^\n]+; received [^\n]+"
    for value in invalid_values(schema):
        changed = {**arguments[node.target], name: value}
        with pytest.raises(ValueError, match=rf"\A{line}\Z"):
            node.cls(**changed)
        with pytest.raises(ValueError, match=rf"\Athe\.node\.{line}\Z"):
            construct({"_target_": node.target, **changed}, object, "the.node")


@pytest.mark.parametrize("node", TECHNIQUES, ids=lambda node: node.option)
def test_a_technique_takes_its_yamls_values_by_default(node: Node) -> None:
    composed = construct(resolved(node), Regularizer, node.key)
    assert vars(node.cls()) == vars(composed) != {}


def test_every_default_of_a_constructor_is_the_one_that_its_yamls_agree_on() -> None:
    values = defaultdict(list)
    for node in NODES:
        parameters = inspect.signature(node.cls).parameters
        for name, value in node.arguments.items():
            interpolated = isinstance(value, str) and "${" in value
            if name in parameters and parameters[name].default is not inspect.Parameter.empty and not interpolated:
                values[node.cls, name].append(value)
    agreed = {key: found[0] for key, found in values.items() if all(value == found[0] for value in found)}
    assert len(agreed) >= 18
    for (cls, name), value in agreed.items():
        assert inspect.signature(cls).parameters[name].default == value, (cls, name)


@pytest.mark.parametrize("node", TECHNIQUES, ids=lambda node: node.option)
def test_a_techniques_card_tells_the_range_of_every_number_as_it_is_declared(node: Node) -> None:
    card = dict(re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", inspect.getdoc(node.cls) or "", re.MULTILINE))
    for name, schema in schemas(node.cls).items():
        if schema["type"] in {"number", "integer"}:
            lower, low = ("[", schema["minimum"]) if "minimum" in schema else ("(", schema["exclusiveMinimum"])
            upper, high = ("]", schema["maximum"]) if "maximum" in schema else (")", schema.get("exclusiveMaximum"))
            bound = f"{'at least' if lower == '[' else 'above'} {low}"
            assert (bound if high is None else f"in {lower}{low}, {high}{upper}") in " ".join(card[name].split())
