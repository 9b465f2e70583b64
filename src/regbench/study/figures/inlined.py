"""An SVG of Matplotlib as a part of a page: with ids of its own, in the page's colours, in few letters.

It is rewritten as a tree, so that a setting's name is never taken for markup, for a reference or for a colour.
"""

import base64
import io
import re
from collections.abc import Mapping
from html import escape
from xml.etree.ElementTree import Element, fromstring

import numpy as np
from PIL import Image

from regbench.drawing.style import INK, PAPER, RULE

_PREFIXES = {
    "http://www.w3.org/2000/svg": "",
    "http://www.w3.org/1999/xlink": "xlink:",
    "http://www.w3.org/XML/1998/namespace": "xml:",
}
_SPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
# A picture is as wide as its place.
_SIZE = {"width", "height", "version"}
_COLORS = {PAPER: "var(--paper)", INK: "currentColor", RULE: "var(--rule)"}
_REFERRING = ("clip-path", "style", "xlink:href")
_REFERENCE = re.compile(r"(?:(?<=^#)|(?<=url\(#))[^)]+")
# The page has its own type.
_FONT = re.compile(r"font(?:-family)?: [^;]*'DejaVu Sans'[^;]*(?:; ?|$)")
_LINES = re.compile(r"M (\S+ \S+(?:\s+L \S+ \S+)+)")
_DECIMAL = re.compile(r"-?\d+\.\d+")
_PNG = "data:image/png;base64,"


def inline_svg(svg: str, name: str, told: str) -> str:
    """Return the picture as an element of a page, where it looks the same.

    Args:
        svg: The file that Matplotlib wrote.
        name: What its ids begin with, which no other picture of the page has.
        told: Attributes of the element, escaped.
    """
    root = fromstring(svg)
    for part in root.iter():
        part.tag = _plain(part.tag)
        part.attrib = {_plain(key): value for key, value in part.attrib.items()}
    used = {found for part in root.iter() for key in _REFERRING for found in _REFERENCE.findall(part.get(key, ""))}
    known = (part.attrib["id"] for part in root.iter() if part.get("id") in used)
    ids = {old: f"{name}-{number}" for number, old in enumerate(known)}
    kept = "".join(f' {key}="{escape(value)}"' for key, value in root.attrib.items() if key not in _SIZE)
    inside = "".join(_written(child, ids) for child in root)
    return f"<svg {told}{kept} {_SPACES}>{inside}</svg>"


def short_path(data: str) -> str:
    """Return a path in few letters: to hundredths of a point, each end of a line told from the one before.

    Nothing adds up along the way, since it is the rounded places whose differences are told.

    Args:
        data: The path in absolute coordinates, with a blank between any two words, as Matplotlib writes it.
    """
    return _rounded(_LINES.sub(_steps, " ".join(data.split()))).replace(" -", "-")


def _steps(lines: "re.Match[str]") -> str:
    places = np.rint(100 * np.array(lines[1].replace("L", "").split(), dtype=float)).astype(int).reshape(-1, 2)
    words = [f"{value / 100:.2f}" for value in (*places[0], *np.diff(places, axis=0).ravel())]
    return f"M{' '.join(words[:2])}l{' '.join(words[2:])}"


def _written(part: Element, ids: Mapping[str, str]) -> str:
    """The element as text; what draws nothing and groups that say nothing are left away."""
    if part.tag in {"metadata", "style"}:
        return ""
    attributes = "".join(
        f' {key}="{escape(value)}"' for key, value in ((key, _changed(key, part, ids)) for key in part.attrib) if value
    )
    inside = escape(part.text or "", quote=False) if part.tag in {"text", "tspan"} else ""
    inside += "".join(_written(child, ids) for child in part)
    if not attributes and (part.tag == "g" or not inside):
        return inside
    return f"<{part.tag}{attributes}>{inside}</{part.tag}>" if inside else f"<{part.tag}{attributes}/>"


def _changed(key: str, part: Element, ids: Mapping[str, str]) -> str:
    """An attribute's value on the page, empty where it is not needed there."""
    value = part.attrib[key]
    if key == "id":
        return ids.get(value, "")
    if key in _REFERRING:
        value = _REFERENCE.sub(lambda found: ids.get(found[0], found[0]), value)
    if key == "style":
        value = _FONT.sub("", value)
        for color, name in _COLORS.items():
            value = value.replace(color, name)
        return value.replace(": ", ":").replace("; ", ";")
    if key == "xlink:href" and value.startswith(_PNG):
        return _PNG + _gray_if_gray(value.removeprefix(_PNG))
    if key == "d":
        return short_path(value)
    if key == "transform" and part.tag == "text":
        return "" if value.startswith("rotate(-0 ") else _rounded(value)
    return _rounded(value) if key in {"x", "y"} else value


def _rounded(text: str) -> str:
    """Round the numbers of a text to hundredths."""
    return _DECIMAL.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), text)


def _gray_if_gray(encoded: str) -> str:
    """Return a PNG, base64 all, as one of a single channel where that says as much."""
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        pixels = np.asarray(image.convert("RGBA"))
    gray = pixels[..., 0]
    if (pixels[..., 1] != gray).any() or (pixels[..., 2] != gray).any() or (pixels[..., 3] != 255).any():
        return encoded.strip()
    written = io.BytesIO()
    Image.fromarray(gray).save(written, format="png")
    return base64.b64encode(written.getvalue()).decode("ascii")


def _plain(name: str) -> str:
    """Return a name as it is written in a file: `xlink:href`."""
    space, _, local = name.rpartition("}")
    return _PREFIXES.get(space[1:], "") + local
