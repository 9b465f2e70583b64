"""What constructors declare about their arguments, read from source files: no class is imported for it, and no torch.

So what makes many runs, as a search, refuses wrong values when it is planned, by the annotations that refuse them when
an object is built.
"""

import ast
import builtins
import contextlib
import operator
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from regbench.config.source_code import Definition, Installed, Module, locate, read_module, statements_of
from regbench.storage.moved import current_target
from regbench.validation import check_value

# Whose names an annotation may use: all that states a type and its range, and nothing that acts.
_LIBRARIES = frozenset({"annotated_types", "math", "pydantic", "typing", "typing_extensions"})
_BUILT_IN = frozenset({"bool", "dict", "float", "int", "list", "set", "str", "tuple"})
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.BitOr: operator.or_,
    ast.Div: operator.truediv,
    ast.Mult: operator.mul,
    ast.Pow: operator.pow,
    ast.Sub: operator.sub,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_GROUPS_OF_NAMED = ("regularizer", "callbacks")
_SINGLE = ("model", "optimizer", "scheduler")


class _UnreadError(Exception):
    """An annotation says more than its source alone tells."""


def check_declared(config: Mapping[str, Any]) -> None:
    """Refuse values of model, techniques, optimizer, schedule and callbacks that their constructors would refuse.

    Args:
        config: The configuration in plain containers.

    Raises:
        ValueError: In one line that names the key, what was expected and what was received.
    """
    for group in _SINGLE:
        _check_node(config.get(group), group)
    for group in _GROUPS_OF_NAMED:
        for name, node in (config.get(group) or {}).items():
            _check_node(node, f"{group}.{name}")


@cache
def declared_types(target: str) -> Mapping[str, Any]:
    """Return the types of a class's arguments with their ranges, as far as its source file tells them.

    There are none of an installed package's class, and none that need more than typing and pydantic.

    Args:
        target: The class's full name, as in `_target_`.
    """
    constructor = _constructor(locate(current_target(target)))
    if constructor is None:
        return {}
    module, function = constructor
    named = function.args
    found = {}
    for each in (*named.posonlyargs, *named.args, *named.kwonlyargs):
        if each.annotation is not None:
            with contextlib.suppress(_UnreadError):
                found[each.arg] = _read(each.annotation, module)
    return found


def _check_node(node: Any, key: str) -> None:
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        return
    types = declared_types(node["_target_"])
    for name, value in node.items():
        if isinstance(value, Mapping) and "_target_" in value:
            _check_node(value, f"{key}.{name}")
        elif name in types:
            check_value(value, types[name], f"{key}.{name}")


def _constructor(found: Definition | Installed | None) -> tuple[Module, ast.FunctionDef] | None:
    """Return a class's `__init__`, its own or the one that it inherits; `None` where that cannot be told."""
    if not isinstance(found, Definition) or not found.name:
        return None
    module, statement = read_module(found.module), statements_of(found)[-1]
    if not isinstance(statement, ast.ClassDef):
        return None
    for each in reversed(statement.body):  # the last one counts; those before may be its overloads
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            return module, each
    if statement.decorator_list or not statement.bases:  # a decorator may write it, as that of dataclasses
        return None
    path = ".".join(_names(statement.bases[0]))
    return _constructor(locate(f"{module.name}.{path}")) if path else None


def _read(node: ast.expr, module: Module) -> Any:
    """Return what an annotation stands for.

    Raises:
        _UnreadError: That takes more than reading.
    """
    try:
        value = _value(node, module)
    except Exception as error:  # whatever pydantic and typing raise at what they do not understand
        raise _UnreadError from error
    if isinstance(value, str):  # a name within quotes
        raise _UnreadError
    return value


def _value(node: ast.expr, module: Module) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name() | ast.Attribute():
            return _named(_names(node), module)
        case ast.Subscript():
            return _value(node.value, module)[_value(node.slice, module)]
        case ast.Tuple():
            return tuple(_value(each, module) for each in node.elts)
        case ast.List():
            return [_value(each, module) for each in node.elts]
        case ast.BinOp():
            return _OPERATORS[type(node.op)](_value(node.left, module), _value(node.right, module))
        case ast.UnaryOp():
            return _OPERATORS[type(node.op)](_value(node.operand, module))
        case ast.Call():
            arguments = {each.arg: _value(each.value, module) for each in node.keywords if each.arg is not None}
            return _value(node.func, module)(*(_value(each, module) for each in node.args), **arguments)
    raise _UnreadError


def _named(names: list[str], module: Module) -> Any:
    """Return what a dotted name of a module stands for: a library's, or an alias such as `Rate = Annotated[…]`."""
    if not names:
        raise _UnreadError
    root, *rest = names
    if root in module.bindings and not rest:
        statement = module.bindings[root][-1]
        if isinstance(statement, ast.Assign) or type(statement).__name__ == "TypeAlias":
            return _value(statement.value, module)  # type: ignore[attr-defined]  # older Pythons do not know the second
        raise _UnreadError
    if root in module.imports:
        path = ".".join([module.imports[root], *rest])
        if path.partition(".")[0] in _LIBRARIES:
            return pkgutil.resolve_name(path)
        found = locate(path)
        if isinstance(found, Definition) and found.name:
            return _named([found.name], read_module(found.module))
    if root in _BUILT_IN and not rest:
        return getattr(builtins, root)
    raise _UnreadError


def _names(node: ast.AST) -> list[str]:
    """Return the parts of a dotted name; none of anything else."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return [node.id, *reversed(attributes)] if isinstance(node, ast.Name) else []
