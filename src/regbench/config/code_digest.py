"""A digest of code that changes with what the code does: comments, docstrings and layout do not count."""

import ast
import hashlib
from collections.abc import Iterable
from typing import Any

_DIGITS = 12
_NOT_CODE = frozenset({"ctx", "kind", "type_comment", "simple"})


def digest(parts: Iterable[str]) -> str:
    """Return twelve hexadecimal digits that stand for these texts."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(f"{len(part)}:{part}".encode())
    return hashed.hexdigest()[:_DIGITS]


def strip(tree: ast.Module) -> list[ast.stmt]:
    """Return a module's statements without what does nothing: docstrings, bare constants, most annotations.

    Annotations stay where they check and convert values, in constructors and under decorators, and where they may
    declare fields, in the body of a class.
    """
    stripped = _Stripper().visit(tree)
    return list(stripped.body)


def canonical(node: Any) -> str:
    """Write stripped code so that equal code is equal text, in every version of Python."""
    if isinstance(node, list):
        return f"[{''.join(map(canonical, node))}]"
    if not isinstance(node, ast.AST):
        return f"{node!r},"
    # Newer versions of Python add fields, which are empty in code that an older one can read.
    fields = [(name, value) for name, value in ast.iter_fields(node) if name not in _NOT_CODE]
    shown = [f"{name}={canonical(value)}" for name, value in fields if value is not None and value != []]
    return f"{type(node).__name__}({' '.join(shown)})"


class _Stripper(ast.NodeTransformer):
    def __init__(self) -> None:
        self._in_class = False

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._inside(node, in_class=True)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if self._in_class:
            return self.generic_visit(node)
        return self.generic_visit(ast.Assign([node.target], node.value)) if node.value is not None else None

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Pass(self, node: ast.Pass) -> None:
        return None

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        if node.name != "__init__" and not node.decorator_list:
            named = node.args
            for each in (*named.posonlyargs, *named.args, *named.kwonlyargs, named.vararg, named.kwarg):
                if each is not None:
                    each.annotation = None
        return self._inside(node, in_class=False)

    def _inside(self, node: ast.AST, *, in_class: bool) -> ast.AST:
        around, self._in_class = self._in_class, in_class
        visited = self.generic_visit(node)
        self._in_class = around
        return visited
