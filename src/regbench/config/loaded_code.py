"""Whether the code that a process has imported is the one whose fingerprint counts.

A module is imported once and its file read once, and it may be edited in between, as in a notebook.
"""

import ast
import inspect
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
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
        pythons_own = path.partition(".")[0] in sys.stdlib_module_names  # refused by its slot, in words that fit
        if module == "__main__" or (module in sys.modules and not pythons_own and locate(current_target(path)) is None):
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
            if name.partition(".")[0] == OWN or name not in sys.modules:
                continue
            module, source = sys.modules[name], read_source(name)
            if source is None or type(loader := getattr(module.__spec__, "loader", None)) is not SourceFileLoader:
                continue
            if _is_outdated(loader, name, source):
                raise ValueError(
                    f"{path}: Python takes {module.__cached__} for the compiled {module.__file__}, since time and size "
                    "are the same, yet it is of other code; delete it"
                )
            if _differs(module, source):
                raise ValueError(f"{path}: {name} was edited after this process had imported it; start it again")


def _is_outdated(loader: SourceFileLoader, name: str, source: bytes) -> bool:
    """Tell whether Python would take a compiled file of other code for the source's: it compares time and size."""
    try:
        written = compile(source, loader.path, "exec", dont_inherit=True)
        taken = loader.get_code(name) if Path(loader.path).read_bytes() == source else None
        return taken is not None and _essence(taken) != _essence(written)
    except (SyntaxError, ValueError, OSError, ImportError):
        return False


def _differs(module: ModuleType, source: bytes) -> bool:
    """Tell whether functions, methods or constants that are loaded are not those of the source."""
    try:
        tree = ast.parse(source)
        written = _by_name(compile(source, str(module.__file__), "exec", dont_inherit=True))
    except (SyntaxError, ValueError):
        return True
    loaded = list(_functions(module))
    if any(_essence(each.__code__) not in written.get(each.__code__.co_qualname, ()) for each in loaded):
        return True
    return _values_differ(tree.body, vars(module), _rebound(tree)) or _defaults_differ(tree, loaded)


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
    return code.co_code, code.co_names, code.co_varnames, tuple(map(_shown, constants))


def _shown(constant: Any) -> Any:
    """Return what is equal for equal constants: the order in a set depends on how it was made."""
    if isinstance(constant, CodeType):
        return _essence(constant)
    return sorted(map(repr, constant)) if isinstance(constant, frozenset) else repr(constant)


def _values_differ(body: list[ast.stmt], there: Mapping[str, Any], rebound: Collection[str]) -> bool:
    """Tell whether plain values of a module or of a class in it, however deep, are not those written."""
    for name, value in _constants(body).items():
        loaded = there.get(name, value)
        if name not in rebound and isinstance(loaded, _FIXED) and loaded != value:
            return True
    classes = ((each, there.get(each.name)) for each in body if isinstance(each, ast.ClassDef))
    return any(isinstance(kind, type) and _values_differ(each.body, vars(kind), rebound) for each, kind in classes)


def _constants(body: list[ast.stmt]) -> dict[str, Any]:
    """Return the plain values that a module's or a class's statements bind once, by name."""
    found: dict[str, list[Any]] = {}
    for each in body:
        if not isinstance(each, ast.Assign | ast.AnnAssign) or each.value is None:
            continue
        bound = each.targets if isinstance(each, ast.Assign) else [each.target]
        if len(bound) == 1 and isinstance(bound[0], ast.Name):
            found.setdefault(bound[0].id, []).append(_plain(each.value))
    return {name: values[0] for name, values in found.items() if len(values) == 1 and isinstance(values[0], _FIXED)}


def _rebound(tree: ast.Module) -> set[str]:
    """Return the names whose values the module's code changes while it runs, such as counters."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.Global):
            found.update(node.names)
    return found


def _defaults_differ(tree: ast.Module, loaded: Iterable[FunctionType]) -> bool:
    """Tell whether plain defaults of arguments are not those written."""
    written: dict[str, list[ast.arguments]] = {}
    for name, node in _definitions(tree.body, ""):
        written.setdefault(name, []).append(node.args)
    for each in loaded:
        arguments = written.get(each.__code__.co_qualname, [])
        if len(arguments) == 1:
            named = zip(arguments[0].kwonlyargs, arguments[0].kw_defaults, strict=True)
            there = each.__kwdefaults__ or {}
            pairs = [
                *zip(each.__defaults__ or (), arguments[0].defaults, strict=False),
                *((there.get(argument.arg), default) for argument, default in named if default is not None),
            ]
            plain = ((value, _plain(default)) for value, default in pairs)
            if any(isinstance(new, _FIXED) and isinstance(old, _FIXED) and old != new for old, new in plain):
                return True
    return False


def _definitions(body: list[ast.stmt], outer: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield the functions and methods that statements define, by qualified name."""
    for each in body:
        if isinstance(each, ast.ClassDef):
            yield from _definitions(each.body, f"{outer}{each.name}.")
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{outer}{each.name}", each


def _plain(node: ast.expr) -> Any:
    """Return the plain value that an expression writes; a list, which is not compared, where it is computed."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return []
