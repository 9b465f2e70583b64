"""Writes `src/regbench/config/known_code.json`: the fingerprints of RegBench's own code, each with its revision.

`make known-code` runs it after a change that leaves all numbers as they are. Where a change alters numbers, raise the
`revision` of what was changed by hand as well: its runs are trained again then, and finished ones stay beside them. A
test keeps the file current.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from regbench.config.fingerprint import ENGINE, KNOWN_CODE, LISTED_MODULES, code_of, known_code
from regbench.config.source_code import Definition, is_class_or_function, locate, read_module
from regbench.storage.files import write_text
from regbench.storage.moved import stable_target

_SOURCES = Path(__file__).parents[1] / "src"


def render() -> str:
    """Return the file's content: today's fingerprints with the revisions that it has, 1 for what is new."""
    revisions = {name: entry["revision"] for name, entry in known_code().items()}
    listed = {
        stable_target(each.path): {
            "fingerprint": code_of(each).fingerprint,
            "revision": revisions.get(stable_target(each.path), 1),
        }
        for each in _definitions()
    }
    return json.dumps(dict(sorted(listed.items())), indent=1) + "\n"


def _definitions() -> Iterator[Definition]:
    for path in ENGINE:
        found = locate(path)
        if not isinstance(found, Definition) or found.path != path:
            raise ValueError(f"ENGINE: expected where RegBench defines a class or function, received {path}")
        yield found
    for module in _modules():
        names = [name for name in read_module(module).bindings if not name.startswith("_")]
        yield from (each for name in names if is_class_or_function(each := Definition(module, name)))


def _modules() -> Iterator[str]:
    for listed in LISTED_MODULES:
        place = _SOURCES.joinpath(*listed.split("."))
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
        for file in files:
            name = ".".join(file.relative_to(_SOURCES).with_suffix("").parts)
            yield name.removesuffix(".__init__")


if __name__ == "__main__":
    write_text(Path(sys.argv[1]) if len(sys.argv) > 1 else KNOWN_CODE, render())
