"""Writes `docs/methods.md` from the method cards: the docstrings of techniques and the comments of callbacks' YAMLs.

`make methods` runs it; a test keeps the page current.
"""

import inspect
import pkgutil
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from regbench.config.composing import CONFIGS
from regbench.storage.files import write_text

_HEAD = """# Methods

What each technique does, where and when it acts, what it meets when it is combined with others, and where it comes
from. Any number of them are chosen as a list, `'regularizer=[batchnorm,weight_decay]'`; each key below is changed by
its path, `regularizer.dropout.p=0.3`. Several act in alphabetical order of their names. `none` is the baseline.

`make methods` writes this page from the docstrings in `src/regbench/regularizers/` and the YAMLs in `configs/`.
"""
_CALLBACKS = """# Callbacks

What acts on the course of training rather than on the network, the batch or the loss: `callbacks=early_stopping`,
`'callbacks=[early_stopping,ema]'`.
"""


def render() -> str:
    """Return the page."""
    techniques = [_technique(path) for path in _options("regularizer")]
    callbacks = [_callback(path) for path in _options("callbacks")]
    return "\n".join([_HEAD, *techniques, _CALLBACKS, *callbacks]).rstrip() + "\n"


def _options(group: str) -> list[Path]:
    return [path for path in sorted((CONFIGS / group).glob("*.yaml")) if path.stem != "none"]


def _technique(path: Path) -> str:
    """Return a technique's card from the docstrings of its class and its module."""
    ((key, node),) = _read(path).items()
    technique = pkgutil.resolve_name(node["_target_"])
    title = (inspect.getdoc(inspect.getmodule(technique)) or key).splitlines()[0].rstrip(".")
    summary, *paragraphs = re.split(r"\n\s*\n", inspect.getdoc(technique) or "")
    lines = [f"## {title}", "", _joined(summary), ""]
    for paragraph in paragraphs:
        name, _, text = paragraph.partition(":")
        if name == "Args":
            lines += ["- **Keys**:", *(f"  - {each}" for each in _arguments(text))]
        elif name != "Raises":
            lines.append(f"- **{name}**: {_joined(text)}")
    return "\n".join([*lines, "", *_code(path), ""])


def _callback(path: Path) -> str:
    """Return a callback's card from the comment at the head of its YAML."""
    ((key, node),) = _read(path).items()
    comment = " ".join(line.removeprefix("#").strip() for line in _comment(path))
    text, _, source = comment.partition(" Source: ")
    target = node["_target_"].rpartition(".")[2]
    return "\n".join([f"## `{key}`: {target}", "", text, "", f"- **Source**: {source}", "", *_code(path), ""])


def _arguments(text: str) -> list[str]:
    """Return `name: meaning` of each argument, which may go on over further, deeper lines."""
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text, re.MULTILINE)
    return [f"`{name}`: {_joined(meaning)}" for name, meaning in entries]


def _read(path: Path) -> dict[str, Any]:
    node = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(node, dict):
        raise ValueError(f"{path}: expected one key of the technique's name, received {node!r}")
    return node


def _comment(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]


def _code(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return ["```yaml", f"# configs/{path.relative_to(CONFIGS).as_posix()}", *lines[len(_comment(path)) :], "```"]


def _joined(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), render())
