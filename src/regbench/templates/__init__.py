"""Parts of one's own: two files each, a class and its YAML, from templates that run as they are.

The templates are files of this package, `GROUP/template_name.py` and `.yaml`; their name is replaced by the part's.
"""

import importlib.util
import keyword
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from regbench.config.composing import CONFIGS

Kind = Literal["regularizer", "model", "optimizer", "metric"]

# The group of configurations, where it is called otherwise.
_GROUPS: Mapping[str, str] = {"metric": "metrics"}
_NAME, _CLASS = "template_name", "TemplateName"
_ALLOWED = re.compile(r"[a-z][a-z0-9_]*")
_LONGEST = 40  # letters, so that no line of a template becomes too long


@dataclass(frozen=True)
class Written:
    """What `write_part` has written: the class, its YAML, and the command that trains with it."""

    code: Path
    config: Path
    command: str


def write_part(kind: Kind, name: str, folder: Path) -> Written:
    """Write `<folder>/<name>.py` and `<folder>/configs/<group>/<name>.yaml`; nothing that is there is replaced.

    Args:
        kind: What it is; it becomes an option of the group of configurations of that name, a metric of `metrics`.
        name: Small letters, digits and underscores.
        folder: One's own, made if missing.

    Raises:
        ValueError: The name is no name, is one of RegBench's options or Python's modules, or a file is there already.
        OSError: The folder cannot be written.
    """
    group = _GROUPS.get(kind, kind)
    _check_name(kind, group, name)
    code, config = folder / f"{name}.py", folder / "configs" / group / f"{name}.yaml"
    for each in (code, config):
        if each.exists():
            raise ValueError(f"{each}: there already, and nothing is replaced; give another name, or another --dir")
    if name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        raise ValueError(f"{name}: expected a name that no Python module has, since {code} becomes one; give another")
    template = Path(__file__).parent / kind
    try:
        for path in (code, config):
            path.parent.mkdir(parents=True, exist_ok=True)
            text = (template / f"{_NAME}{path.suffix}").read_text(encoding="utf-8")
            path.write_text(_named(text, name), encoding="utf-8")
    except OSError as error:
        raise OSError(f"{folder}: cannot be written ({error.strerror}); give another --dir") from error
    place = shlex.quote(str(folder))
    configs = shlex.quote(str(folder / "configs"))
    command = f"PYTHONPATH={place} regbench train --config-dir {configs} {group}={name} dataset=digits"
    return Written(code, config, command)


def _check_name(kind: Kind, group: str, name: str) -> None:
    if not _ALLOWED.fullmatch(name) or keyword.iskeyword(name) or len(name) > _LONGEST:
        raise ValueError(
            f"NAME: expected up to {_LONGEST} small letters, digits and _, of which a Python module may be called, "
            f"such as my_{kind}; received {name!r}"
        )
    if (CONFIGS / group / f"{name}.yaml").exists():
        raise ValueError(f"NAME: {group}={name} is RegBench's own; give another name")
    template = (Path(__file__).parent / kind / f"{_NAME}.py").read_text(encoding="utf-8")
    if yaml.safe_load(name) != name or _class_name(name) in re.findall(r"\w+", template):
        raise ValueError(f"NAME: {name} means something else in YAML or in the file that is written; give another name")


def _named(template: str, name: str) -> str:
    return template.replace(_CLASS, _class_name(name)).replace(_NAME, name)


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
