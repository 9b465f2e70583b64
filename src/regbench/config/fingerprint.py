"""Fingerprints of the code that a configuration names, so that a result of other code is never taken for its own.

A class in one's own files counts with everything in one's own files that it refers to; a class of an installed package
by the package's version. RegBench's own classes count only where they are not the known ones: `known_code.json` lists
each with its fingerprint and a revision, which is raised when its numbers change. `docs/run-folder.md` says what that
means for a run's identity. A process sees the code as it was when it first looked: that is what it imports, too.
"""

import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from regbench.config.code_digest import canonical, digest
from regbench.config.source_code import (
    Definition,
    Installed,
    distributions,
    is_class_or_function,
    locate,
    read_module,
    references,
    statements_of,
)
from regbench.storage.code import CORE, targets
from regbench.storage.identity import without_measured
from regbench.storage.moved import current_target, stable_target

KNOWN_CODE = Path(__file__).with_name("known_code.json")
# What trains and scores every run, whatever its configuration names.
ENGINE = (
    "regbench.models.initialize",
    "regbench.training.classifier.Classifier",
    "regbench.training.checkpoints.Checkpoints",
    "regbench.runs.evaluation.predict_splits",
    "regbench.runs.evaluation.score_splits",
)
# Whose public classes and functions a configuration, or somebody's own class, may use.
LISTED_MODULES = (
    *("regbench.models", "regbench.seeding", "regbench.validation"),
    *(
        "regbench.training.schedules",
        "regbench.training.averaging",
        "regbench.training.metrics",
        "regbench.training.muon",
    ),
    *("regbench.data", "regbench.regularizers"),
)


@dataclass(frozen=True)
class Code:
    """What a definition is made of.

    Attributes:
        fingerprint: Of itself and of what it refers to in one's own files, up to definitions that are listed.
        listed: RegBench's listed definitions that it refers to.
        packages: Installed packages that it refers to, but for the core.
        modules: One's own modules that it is made of.
    """

    fingerprint: str
    listed: frozenset[Definition]
    packages: frozenset[str]
    modules: frozenset[str] = frozenset()


def counted_code(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the code that is part of a run's identity: all that is neither RegBench's known code nor a core package's.

    Metrics that are measured alone decide no number of training, so their code does not count.

    Returns:
        By class: a fingerprint, with the versions of packages that the class uses; `package==version` of an installed
        class; or the revision of a class of RegBench whose numbers have changed.
    """
    return dict(_counted(tuple(targets(without_measured(config)))))


def recorded_code(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the fingerprint or `package==version` of every class that a configuration names."""
    found = {path: locate(current_target(path)) for path in targets(config)}
    return {path: _shown(each) for path, each in found.items() if each is not None}


@cache
def known_code() -> dict[str, dict[str, Any]]:
    """Return what `known_code.json` lists: `fingerprint` and `revision` by stable name."""
    try:
        return dict(json.loads(KNOWN_CODE.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


@cache
def code_of(definition: Definition) -> Code:
    """Read what a definition is made of, from source files alone."""
    parts: dict[str, str] = {}
    listed: set[Definition] = set()
    packages: set[str] = set()
    waiting = [definition]
    while waiting:
        each = waiting.pop()
        if each.path in parts:
            continue
        module = read_module(each.module)
        statements = statements_of(each)
        parts[each.path] = canonical(statements)
        parts[f"{each.module}:"] = canonical(module.effects)
        for path in references([*statements, *module.effects], module):
            found = locate(path)
            if isinstance(found, Installed):
                packages.add(found.package)
            elif found is not None and _is_listed(found) and found != definition:
                listed.add(found)
            elif found is not None:
                waiting.append(found)
    text = digest(f"{name}={parts[name]}" for name in sorted(parts))
    modules = frozenset(name.removesuffix(":") for name in parts if name.endswith(":"))
    return Code(text, frozenset(listed), frozenset(packages - CORE), modules)


@cache
def _counted(named: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    counted: dict[str, str] = {}
    listed: set[Definition] = set()
    for path in (*named, *ENGINE):
        found = locate(current_target(path))
        if isinstance(found, Definition) and _is_listed(found):
            listed.add(found)
        elif isinstance(found, Definition):
            listed |= code_of(found).listed
            counted[stable_target(path)] = _shown(found)
        elif isinstance(found, Installed) and found.package not in CORE:
            counted[path] = _shown(found)
    for each in _with_what_they_use(listed):
        if (difference := _difference(each)) is not None:
            counted[stable_target(each.path)] = difference
    return tuple(sorted(counted.items()))


def _difference(listed: Definition) -> str | None:
    """Return in what a listed definition is not the known one, if it is not."""
    fingerprint = code_of(listed).fingerprint
    known = known_code().get(stable_target(listed.path), {"fingerprint": None})
    if known["fingerprint"] != fingerprint:
        return fingerprint
    return f"revision {known['revision']}" if known["revision"] > 1 else None


def _with_what_they_use(listed: set[Definition]) -> set[Definition]:
    """Add the listed definitions that these refer to."""
    waiting, found = list(listed), set(listed)
    while waiting:
        new = code_of(waiting.pop()).listed - found
        found |= new
        waiting += new
    return found


def _is_listed(found: Definition) -> bool:
    if found.path in ENGINE:
        return True
    in_module = any(found.module == each or found.module.startswith(f"{each}.") for each in LISTED_MODULES)
    return in_module and not found.name.startswith("_") and is_class_or_function(found)


def _shown(found: Definition | Installed) -> str:
    """Return a class's fingerprint with the packages that it uses, or its package's version."""
    if isinstance(found, Installed):
        return _version(found.package)
    code = code_of(found)
    return " ".join([code.fingerprint, *map(_version, sorted(code.packages))])


@cache
def _version(package: str) -> str:
    """Return `distribution==version` of an import's top-level name."""
    name = package if package in CORE and _is_namesake(package) else distributions()[package][0]
    found = importlib.metadata.distribution(name)
    return f"{found.metadata['Name']}=={found.version}"


def _is_namesake(package: str) -> bool:
    """Tell whether a package is of the distribution of its name; to ask all distributions takes half a second."""
    try:
        files = importlib.metadata.distribution(package).read_text("RECORD") or ""
    except importlib.metadata.PackageNotFoundError:
        return False
    return f"{package}/__init__.py," in files
