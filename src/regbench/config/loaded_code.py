"""Whether the code that a process has imported is the one whose fingerprint counts.

A module is imported once and its file read once, and it may be edited in between, as in a notebook.
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from importlib.machinery import SourceFileLoader
from types import CodeType, FunctionType, ModuleType
from typing import Any

from regbench.config.fingerprint import code_of
from regbench.config.source_code import OWN, Definition, locate, read_source
from regbench.storage.code import targets
from regbench.storage.moved import current_target

_FIXED = (bool, int, float, str, tuple, type(None))


def check_files(config: Mapping[str, Any]) -> None:
    """Refuse classes without a file: what code they are is not seen, so a run of an edited one would seem the same.

    Raises:
        ValueError: In one line that names the class.
    """
    for path in targets(config):
        module = path.rpartition(".")[0]
        if module == "__main__" or (module in sys.modules and locate(current_target(path)) is None):
            raise ValueError(
                f"{path}: expected a class in a file that can be imported, received one that was made in a script, a "
                "notebook or at run time: after an edit its old results would be taken for those of the new code"
            )


def check_loaded_code(config: Mapping[str, Any]) -> None:
    """Refuse classes of which this process has imported other code than their files held when they were looked at.

    Raises:
        ValueError: In one line that names the class and the module.
    """
    for path in targets(config):
        found = locate(current_target(path))
        for name in sorted(code_of(found).modules) if isinstance(found, Definition) else []:
            if name.partition(".")[0] != OWN and name in sys.modules and _differs(sys.modules[name], read_source(name)):
                raise ValueError(f"{path}: {name} was edited after this process had imported it; start it again")


def _differs(module: ModuleType, source: bytes | None) -> bool:
    """Tell whether functions, methods or constants that are loaded are not those of the source."""
    if source is None or type(getattr(module.__spec__, "loader", None)) is not SourceFileLoader:
        return False
    try:
        tree = ast.parse(source)
        written = _by_name(compile(source, str(module.__file__), "exec", dont_inherit=True))
    except (SyntaxError, ValueError):
        return True
    loaded = (each.__code__ for each in _functions(module))
    if any(_essence(code) not in written.get(code.co_qualname, ()) for code in loaded):
        return True
    return any(name in vars(module) and vars(module)[name] != value for name, value in _constants(tree).items())


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    """Yield the functions and methods that a module itself has defined."""
    for each in vars(module).values():
        members = vars(each).values() if isinstance(each, type) and each.__module__ == module.__name__ else [each]
        for member in members:
            inner = getattr(member, "__func__", getattr(member, "fget", member))
            function = inspect.unwrap(inner) if callable(inner) else inner
            if isinstance(function, FunctionType) and function.__code__.co_filename == module.__file__:
                yield function


def _by_name(code: CodeType) -> dict[str, list[Any]]:
    """Return what each function of compiled code does, by its qualified name."""
    found: dict[str, list[Any]] = {}
    for inner in (each for each in code.co_consts if isinstance(each, CodeType)):
        found.setdefault(inner.co_qualname, []).append(_essence(inner))
        for name, essences in _by_name(inner).items():
            found.setdefault(name, []).extend(essences)
    return found


def _essence(code: CodeType) -> tuple[Any, ...]:
    """Return what compiled code does, without its place in the file and its docstring."""
    first, *rest = code.co_consts or (None,)
    constants = [None if isinstance(first, str) else first, *rest]
    shown = tuple(_essence(each) if isinstance(each, CodeType) else repr(each) for each in constants)
    return code.co_code, code.co_names, code.co_varnames, shown


def _constants(tree: ast.Module) -> dict[str, Any]:
    """Return the plain values that a module's top level binds once, by name."""
    found: dict[str, list[Any]] = {}
    for each in tree.body:
        if isinstance(each, ast.Assign) and len(each.targets) == 1 and isinstance(each.targets[0], ast.Name):
            try:
                value = ast.literal_eval(each.value)
            except (ValueError, TypeError):
                value = [None]  # computed, and so not compared
            found.setdefault(each.targets[0].id, []).append(value)
    return {name: values[0] for name, values in found.items() if len(values) == 1 and isinstance(values[0], _FIXED)}
