"""Building the object that a YAML node describes: the constructor's signature is the schema.

A node names a class in `_target_` and holds its arguments; `name` labels it in folders and tables and reaches only a
constructor that takes it. It is built only if the class is what its slot expects, so
a configuration from a stranger runs no other code, and every mistake is reported by its key before anything starts.
"""

import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from regbench.storage.moved import current_target
from regbench.validation import annotations, check_value

T = TypeVar("T")


def construct(node: Any, slot: type[T], key: str, **given: Any) -> T:
    """Build the object that `node` describes.

    Args:
        node: A mapping with `_target_`; nested mappings with a `_target_` are built first, their slot being the
            annotation of the argument that they fill.
        slot: The class of which the target must be a subclass.
        key: The node's place in the configuration, named in errors.
        given: Arguments that the program supplies and the configuration may not.

    Raises:
        ValueError: Whatever is wrong with the node, in one line that begins with the key.
    """
    target, arguments = _prepare(node, slot, key, given)
    try:
        return target(**arguments, **given)  # type: ignore[no-any-return]  # resolved at run time
    except Exception as error:  # a foreign constructor may raise anything
        raise ValueError(f"{key}: {_one_line(error)}") from error


def construct_partial(node: Any, slot: type[T], key: str, given: tuple[str, ...], **offered: Any) -> Callable[..., T]:
    """Like `construct`, but leave the arguments named in `given` for the program to fill in later.

    Args:
        node: As in `construct`.
        slot: Likewise.
        key: Likewise.
        given: Names of the arguments that the program supplies later.
        offered: Arguments that the program supplies to a constructor that has them by name.
    """
    target, arguments = _prepare(node, slot, key, dict.fromkeys(given), offered)

    def build(**late: Any) -> T:
        try:
            return target(**late, **arguments)  # type: ignore[no-any-return]  # resolved at run time
        except Exception as error:  # a foreign constructor may raise anything
            raise ValueError(f"{key}: {_one_line(error)}") from error

    return build


def find_class(node: Any, slot: type[T], key: str) -> type[T]:
    """Return the class that a node names.

    Raises:
        ValueError: It names none, or one that is no subclass of `slot`.
    """
    if not isinstance(node, Mapping):
        raise ValueError(f"{key}: expected keys and values with a _target_, received {node!r}")
    if not isinstance(node.get("_target_"), str):
        raise ValueError(
            f"{key}._target_: expected the full name of a {slot.__name__} class, received {node.get('_target_')!r}"
        )
    return _resolve(node["_target_"], slot, key)


def check_call(
    function: Callable[..., Any], arguments: Mapping[str, Any], key: str, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `arguments`, converted to the types of the function's signature.

    Raises:
        ValueError: An argument is unknown, missing, of the wrong type or out of its range.
    """
    parameters = {
        name: parameter for name, parameter in inspect.signature(function).parameters.items() if name != "self"
    }
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    known = [
        name
        for name, parameter in parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD and name not in given
    ]
    for name in arguments:
        if name in given or not (name in known or open_ended):
            raise ValueError(f"{_join(key, name)}: no such key; expected {', '.join(known) or 'none'}")
    for name in known:
        if parameters[name].default is inspect.Parameter.empty and name not in arguments:
            raise ValueError(f"{_join(key, name)}: missing")
    hints = annotations(function)
    return {name: check_value(value, hints.get(name, Any), _join(key, name)) for name, value in arguments.items()}


def _prepare(
    node: Any, slot: type, key: str, given: Mapping[str, Any], offered: Mapping[str, Any] | None = None
) -> tuple[Callable[..., Any], dict[str, Any]]:
    target: Any = find_class(node, slot, key)
    named = inspect.signature(target).parameters
    label = set() if "name" in named else {"name"}
    taken = {name: value for name, value in (offered or {}).items() if name in named}
    arguments = {name: value for name, value in node.items() if name not in {"_target_", "_partial_"} | label}
    hints = annotations(target)
    for name, value in arguments.items():
        expected = hints.get(name)
        if isinstance(value, Mapping) and "_target_" in value and isinstance(expected, type):
            arguments[name] = construct(value, expected, _join(key, name))
    return target, check_call(target, arguments, key, {**given, **taken}) | taken


def _resolve(name: str, slot: type[T], key: str) -> type[T]:
    """Import the class `name`, refusing what is not a subclass of `slot`.

    What cannot be one is not even imported: some modules act when they are, every `__main__` and a few of Python's own.
    Nor is `MODULE:CLASS`, of which no fingerprint would be taken.
    """
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        raise ValueError(f"{key}._target_: expected MODULE.CLASS, names with dots between them; received {name!r}")
    if "__main__" in parts or (_is_pythons_own(name) and not _is_pythons_own(slot.__module__)):
        raise ValueError(f"{key}._target_: expected a subclass of {slot.__name__}, received {name!r}")
    try:
        found = pkgutil.resolve_name(current_target(name))
    except (ImportError, AttributeError, ValueError) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == parts[0]
        hint = f"; for a file {parts[0]}.py of your own, name its folder in PYTHONPATH" if missing else ""
        raise ValueError(f"{key}._target_: {name!r} cannot be imported ({_one_line(error)}){hint}") from error
    if not (isinstance(found, type) and issubclass(found, slot)):
        raise ValueError(f"{key}._target_: expected a subclass of {slot.__name__}, received {name!r}")
    return found


def _is_pythons_own(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
