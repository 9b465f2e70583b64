"""What the constructors that `configs/` names declare about their arguments, and values that break it."""

import inspect
import math
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_type_hints

from omegaconf import OmegaConf
from pydantic import ConfigDict, PydanticUserError, TypeAdapter

from regbench.config.composing import CONFIGS


@dataclass(frozen=True)
class Node:
    """A node of a YAML that describes an object of ours, with its interpolations as they are written."""

    group: str
    option: str
    key: str
    target: str
    arguments: dict[str, Any]

    @property
    def cls(self) -> Any:
        return pkgutil.resolve_name(self.target)


def nodes() -> list[Node]:
    """Find every node of the groups' YAMLs whose class is ours."""
    found = []
    for path in sorted(CONFIGS.glob("*/*.yaml")):
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        found += [Node(path.parent.name, path.stem, *each) for each in _walk(content, path.parent.name)]
    return [each for each in found if each.target.startswith("regbench.")]


def schemas(cls: Any) -> dict[str, dict[str, Any]]:
    """Return what each annotated argument takes as a JSON schema; `{}` for one that takes instances of a class."""
    hints = get_type_hints(cls.__init__, include_extras=True) if "__init__" in vars(cls) else {}
    return {name: _schema(hints[name]) for name in inspect.signature(cls).parameters if name in hints}


def is_bounded(schema: dict[str, Any]) -> bool:
    return bool({"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"} & set(schema))


def invalid_values(schema: dict[str, Any]) -> list[Any]:
    """Return values that a schema excludes: the nearest beyond each bound, other types, no numbers, unknown words."""
    if "anyOf" in schema:
        members = [each for each in schema["anyOf"] if each != {"type": "null"}]
        found = [value for each in members for value in invalid_values(each) if value is not None]
        return [value for value in found if not any(_takes(each, value) for each in members)]
    match schema.get("type"):
        case "number" | "integer":
            return [*_beyond_bounds(schema), math.nan, math.inf, -math.inf, True, False, "word", None, [1]]
        case "array":
            elements = [value for value in invalid_values(schema["items"]) if not isinstance(value, bool)]
            return ["word", 5, None, *([[]] if "minItems" in schema else []), *([value] for value in elements)]
        case "string":
            return [5, None, [], *(["no such word"] if "enum" in schema else [])]
        case "boolean":
            return ["no such word", 5, None]
        case _:
            return ["no such word", 5]


def _takes(schema: dict[str, Any], value: Any) -> bool:
    """Tell whether a number or a list of numbers fits a schema of either: what one excludes another may take."""
    if schema.get("type") == "array":
        return isinstance(value, list) and value != [] and all(_takes(schema["items"], each) for each in value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return schema.get("type") == "number" and is_number and math.isfinite(value) and value not in _beyond_bounds(schema)


def _beyond_bounds(schema: dict[str, Any]) -> list[float]:
    """Return each excluded bound itself, and the value next to each included one."""
    whole = schema["type"] == "integer"
    found = [schema[key] for key in ("exclusiveMinimum", "exclusiveMaximum") if key in schema]
    for key, sign in (("minimum", -1), ("maximum", 1)):
        if key in schema:
            found.append(schema[key] + sign if whole else math.nextafter(schema[key], sign * math.inf))
    return found


def _schema(hint: Any) -> dict[str, Any]:
    config = ConfigDict(arbitrary_types_allowed=True)
    try:
        return TypeAdapter(hint, config=config).json_schema()
    except PydanticUserError:
        return {}


def _walk(content: Any, key: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    if not isinstance(content, dict):
        return
    if "_target_" in content:
        yield key, content["_target_"], {name: value for name, value in content.items() if name != "_target_"}
    for name, value in content.items():
        yield from _walk(value, f"{key}.{name}")
