"""What source files tell of constructors, against what Python tells of the imported classes."""

import typing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ConfigDict, PydanticUserError, TypeAdapter

from regbench.config.declared_types import check_declared, declared_types
from tests.declared import nodes

OWN = """
import typing as t

from pydantic import Field
from mine_types import Share
from torch import Tensor

raise RuntimeError("imported")

_MOST = 2 * 8


class Base:
    @t.overload
    def __init__(self, share: None, size: str): ...

    def __init__(self, share: Share, size: t.Annotated[int, Field(ge=-1, le=_MOST)], start: Tensor, end: "int"):
        pass


class Mine(Base):
    pass


class Unknown(Tensor):
    pass
"""
CHECKED = ("model", "regularizer", "optimizer", "scheduler", "callbacks")
TYPES = "import typing\n\nimport pydantic\n\nShare = typing.Annotated[float, pydantic.Field(lt=1)] | None\n"


def schema(hint: Any) -> dict[str, Any] | None:
    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).json_schema()
    except PydanticUserError:
        return None


def test_sources_tell_the_same_types_as_the_imported_classes() -> None:
    told = 0
    for node in (each for each in nodes() if each.group in CHECKED):
        hints = typing.get_type_hints(node.cls.__init__, include_extras=True)
        expected = {name: each for name, hint in hints.items() if name != "return" and (each := schema(hint))}
        found = {name: schema(hint) for name, hint in declared_types(node.target).items()}
        for name in node.arguments.keys() & expected.keys():
            if "_target_" not in str(node.arguments[name]):
                assert found[name] == expected[name], (node.target, name)
                told += 1
    assert told > 50


def test_a_class_of_ones_own_is_read_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_declared.py").write_text(OWN)
    (tmp_path / "mine_types.py").write_text(TYPES)
    monkeypatch.syspath_prepend(tmp_path)
    assert schema(declared_types("mine_declared.Mine")["size"]) == {"type": "integer", "minimum": -1, "maximum": 16}
    assert sorted(declared_types("mine_declared.Mine")) == ["share", "size"]
    node = {"_target_": "mine_declared.Mine", "share": None, "size": 3}
    check_declared({"regularizer": {"mine": node}})
    with pytest.raises(ValueError, match=r"^regularizer\.mine\.share: expected .*less than 1; received 1$"):
        check_declared({"regularizer": {"mine": {**node, "share": 1}}})
    for target in ("mine_declared.Unknown", "mine_declared.Missing", "torch.optim.SGD", "nowhere.X", "X"):
        assert declared_types(target) == {}
