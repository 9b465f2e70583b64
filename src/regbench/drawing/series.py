"""Which parts of a figure are drawn of which setting, so that a page can show, hide and point at them.

Matplotlib writes an artist's gid as an id into SVG. A part says there what it belongs to; `named_series` turns that
into an attribute, since many parts belong to one setting and an id may stand only once.
"""

import re
from collections.abc import Iterable
from html import escape
from urllib.parse import quote, unquote

from matplotlib.artist import Artist
from matplotlib.container import Container
from matplotlib.legend import Legend
from matplotlib.offsetbox import DrawingArea

_SERIES, _ENTRY = "series:", "entry:"


def in_series(name: str, *parts: Artist | Container | Iterable[Artist]) -> None:
    """Say that parts of a figure are drawn of one series, which is a setting or a split.

    Args:
        name: The series; any text.
        parts: Artists, or what `Axes.plot` and `Axes.errorbar` return.
    """
    for part in parts:
        for artist in [part] if isinstance(part, Artist) else _artists(part):
            # In letters that mean nothing in SVG.
            artist.set_gid(_SERIES + quote(series_name(name), safe=""))


def name_entries(legend: Legend, handles: Iterable[Artist | Container]) -> None:
    """Say of every entry of a legend which series it stands for: that of the artist that it was made from.

    Args:
        legend: The legend.
        handles: What it was made from, in its order.
    """
    areas: list[DrawingArea] = legend.findobj(DrawingArea)
    for handle, area, text in zip(handles, areas, legend.get_texts(), strict=True):
        gid = next((each.get_gid() for each in _artists(handle) if each.get_gid()), None)
        if gid is not None:
            for part in (*area.get_children(), text):
                part.set_gid(gid.replace(_SERIES, _ENTRY, 1))


def named_series(svg: str) -> str:
    """Return an SVG whose parts say in `data-series`, and a legend's in `data-entry`, what they belong to."""
    # Inside of a tag, since a name in the text may look like an attribute.
    pattern = rf'(<[^<>]*) id="({_SERIES}|{_ENTRY})([^"]*)"'
    return re.sub(pattern, lambda found: f'{found[1]} data-{found[2][:-1]}="{escape(unquote(found[3]))}"', svg)


def series_name(text: object) -> str:
    """Return a name as pages and figures compare it: what cannot be printed has a sign in its place."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in str(text))


def _artists(part: Artist | Container | Iterable[Artist]) -> list[Artist]:
    if isinstance(part, Artist):
        return [part]
    return list(part.get_children() if isinstance(part, Container) else part)
