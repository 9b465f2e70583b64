"""Reading source files without importing them: where a name is defined, what its code is and what it refers to.

Importing would run a stranger's code, and take seconds where parsing takes milliseconds.
"""

import ast
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from regbench.config.code_digest import strip
from regbench.storage.code import CORE

OWN = "regbench"
PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})
_MOST_HOPS = 20  # a name that is imported from module to module more often than this is taken for a circle
_DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BLOCK = (ast.If, ast.Try, ast.With, ast.For, ast.While)


@dataclass(frozen=True)
class Definition:
    """A function, class or constant at a module's top level; with an empty name, all that the module does."""

    module: str
    name: str

    @property
    def path(self) -> str:
        """The full name, as a `_target_` writes it."""
        return f"{self.module}.{self.name}" if self.name else self.module


@dataclass(frozen=True)
class Installed:
    """Something of an installed package, which is known by its version."""

    package: str


@dataclass
class Module:
    """A parsed module: what its top level binds, where imported names come from, and what it does besides."""

    name: str
    is_package: bool
    statements: list[ast.stmt]
    bindings: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    star_imports: list[str] = field(default_factory=list)
    effects: list[ast.stmt] = field(default_factory=list)

    def __post_init__(self) -> None:
        for statement in self.statements:
            self._add(statement)

    def _add(self, statement: ast.stmt) -> None:
        bound = set(_bound_names(statement))
        imported = [each for each in _statements(statement) if isinstance(each, ast.Import | ast.ImportFrom)]
        for each in imported:
            for alias, target in _imported_names(each, self):
                if alias == "*":
                    self.star_imports.append(target)
                else:
                    self.imports[alias] = target
        for name in bound:
            self.bindings.setdefault(name, []).append(statement)
        if not bound and not imported and not _is_entry(statement):
            self.effects.append(statement)


@cache
def locate(path: str) -> Definition | Installed | None:
    """Return where the full name `path` is defined, in one's own files or in an installed package.

    `None` for what is built in, of the standard library or not to be found.
    """
    for _ in range(_MOST_HOPS):
        spec = _find_module(path)
        if spec is None or path.partition(".")[0] in sys.stdlib_module_names:
            return None
        if _is_installed(spec):
            return Installed(path.partition(".")[0])
        rest = path.removeprefix(spec.name).removeprefix(".").split(".")
        module = read_module(spec.name)
        name = rest[0]
        if not name or name in module.bindings:
            return Definition(spec.name, name)
        if (target := _imported_target(module, name)) is None:
            return Definition(spec.name, "")  # made at run time, so that the whole module counts
        path = ".".join([target, *rest[1:]])
    return None


@cache
def read_module(name: str) -> Module:
    """Parse a module of one's own; what is no Python source has its bytes as its only statement."""
    spec = _find_module(name)
    if spec is None or spec.origin is None or not spec.has_location:
        return Module(name, True, [])
    if (content := read_source(name)) is None:
        return Module(name, False, [])
    try:
        statements = strip(ast.parse(content))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        statements = [ast.Expr(ast.Call(ast.Constant(content), [], []))]
    return Module(name, spec.submodule_search_locations is not None, statements)


@cache
def read_source(name: str) -> bytes | None:
    """Return a module's file as it was at the first look; `None` where it has none that can be read."""
    spec = _find_module(name)
    try:
        return Path(spec.origin).read_bytes() if spec and spec.origin and spec.has_location else None
    except OSError:
        return None


def statements_of(definition: Definition) -> list[ast.stmt]:
    """Return the statements that make up a definition."""
    module = read_module(definition.module)
    return module.bindings[definition.name] if definition.name else module.statements


def is_class_or_function(definition: Definition) -> bool:
    """Tell whether a definition is neither a constant nor a whole module."""
    return bool(definition.name) and isinstance(statements_of(definition)[0], _DEFINITION)


@cache
def distributions() -> Mapping[str, list[str]]:
    """Return the names of installed distributions by the package that is imported."""
    return importlib.metadata.packages_distributions()


def references(statements: Iterable[ast.stmt], module: Module) -> set[str]:
    """Return the full names of all that statements of a module refer to, as far as it binds or imports it."""
    found: set[str] = set()
    for statement in statements:
        inner = [node for node in ast.walk(statement) if isinstance(node, ast.Import | ast.ImportFrom)]
        local = dict(pair for node in inner for pair in _imported_names(node, module))
        for root, *rest in _chains(statement):
            if root in local:
                found.add(".".join([local[root], *rest]))
            elif root in module.bindings or root in module.imports or module.star_imports:
                found.add(".".join([module.name, root, *rest]))
    return found


def _chains(node: ast.AST) -> Iterator[list[str]]:
    """Yield each name with the attributes behind it: `["a", "b"]` for `a.b`."""
    attributes: list[str] = []
    inner = node
    while isinstance(inner, ast.Attribute):
        attributes.append(inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name):
        yield [inner.id, *reversed(attributes)]
    for child in ast.iter_child_nodes(inner):
        yield from _chains(child)


def _imported_names(statement: ast.Import | ast.ImportFrom, module: Module) -> Iterator[tuple[str, str]]:
    """Yield each name that an import binds, with the full name of what it stands for."""
    if isinstance(statement, ast.Import):
        for each in statement.names:
            top = each.name.partition(".")[0]
            yield (each.asname, each.name) if each.asname else (top, top)
        return
    package = module.name.split(".") if module.is_package else module.name.split(".")[:-1]
    above = package[: len(package) - statement.level + 1] if statement.level else []
    base = ".".join([*above, *([statement.module] if statement.module else [])])
    for each in statement.names:
        yield each.asname or each.name, base if each.name == "*" else f"{base}.{each.name}"


@cache
def _find_module(path: str) -> ModuleSpec | None:
    """Return the innermost module on the way to `path`, by looking at files alone."""
    top, *rest = path.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    for name in rest:
        if spec is None or spec.submodule_search_locations is None:
            break
        below = PathFinder.find_spec(f"{spec.name}.{name}", list(spec.submodule_search_locations))
        if below is None:
            break
        spec = below
    return spec


def _is_installed(spec: ModuleSpec) -> bool:
    """Tell whether a module belongs to an installed package; RegBench's own files always count as one's own."""
    package = spec.name.partition(".")[0]
    if package == OWN:
        return False
    places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or [])
    if not any(PACKAGE_FOLDERS.intersection(Path(place or "").parts) for place in places):
        return False
    return package in CORE or package in distributions()  # a file that somebody copied there has no version


def _imported_target(module: Module, name: str) -> str | None:
    if name in module.imports and module.imports[name] != f"{module.name}.{name}":
        return module.imports[name]
    for star in module.star_imports:
        found = locate(f"{star}.{name}")
        if isinstance(found, Installed) or (isinstance(found, Definition) and found.name):
            return f"{star}.{name}"
    return None


def _statements(statement: ast.stmt) -> Iterator[ast.stmt]:
    """Yield a statement and those of its blocks; not those of functions and classes."""
    yield statement
    if isinstance(statement, _BLOCK):
        for child in ast.iter_child_nodes(statement):
            inner: Iterable[ast.AST] = child.body if isinstance(child, ast.ExceptHandler) else [child]
            for each in inner:
                if isinstance(each, ast.stmt):
                    yield from _statements(each)


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    for each in _statements(statement):
        if isinstance(each, _DEFINITION):
            yield each.name
        elif isinstance(each, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.For):
            targets = each.targets if isinstance(each, ast.Assign) else [each.target]
            for target in targets:
                yield from (node.id for node in ast.walk(target) if _is_stored(node))  # type: ignore[attr-defined]  # a name
        elif type(each).__name__ == "TypeAlias":  # since Python 3.12
            yield each.name.id  # type: ignore[attr-defined]  # which older ones do not know


def _is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _is_entry(statement: ast.stmt) -> bool:
    """Tell whether a statement is `if __name__ == "__main__"`, which an import does not run."""
    return isinstance(statement, ast.If) and any(
        isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(statement.test)
    )
