"""Links of pages: in the repository they lead to files of it, on the site to pages."""

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

# Pages that do not lie in docs/, by their place in the repository.
OUTSIDE = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks/how.md",
    "benchmarks/results.md": "benchmarks/results.md",
    "benchmarks/diary.md": "benchmarks/diary.md",
}
# Folders and pages that the site shows as another one.
_INSTEAD = {"README.md": "index.md", "docs/published": "published.md"}
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")


def source_of(page: str) -> str:
    """Return a page's place in the repository by its place on the site."""
    return {shown: place for place, shown in OUTSIDE.items()}.get(page, f"docs/{page}")


def site_links(markdown: str, page: str, root: Path) -> str:
    """Return a page with its links to files of the repository turned into those of the site.

    A folder's link leads to the report that it holds. What the site does not show (code, configurations) stays as text.

    Args:
        markdown: The page.
        page: Its place on the site.
        root: The repository.
    """
    here = posixpath.dirname(source_of(page))

    def link(found: re.Match[str]) -> str:
        picture, text, target = found.groups()
        path, mark, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return found[0]
        shown = _shown(posixpath.normpath(posixpath.join(here, path)), root)
        if shown is None:
            return text
        return f"{picture}[{text}]({posixpath.relpath(shown, posixpath.dirname(page) or '.')}{mark}{anchor})"

    # A text that is code is still a link's text, so only what stands in code as a whole is left alone.
    return _outside_fences(markdown, lambda part: _LINK.sub(link, part))


def deeper_lists(markdown: str) -> str:
    """Return a page whose lists in lists are indented by four blanks, as the site's Markdown wants them."""
    return _outside_fences(markdown, lambda part: re.sub(r"^  ([-*]) ", r"    \1 ", part, flags=re.MULTILINE))


def _shown(place: str, root: Path) -> str | None:
    """Return where the site shows a file or a folder of the repository; None where it does not."""
    if place in OUTSIDE or place in _INSTEAD:
        return (OUTSIDE | _INSTEAD)[place]
    if not place.startswith("docs/"):
        return None
    if (root / place).is_dir():
        inside = next((name for name in ("report.html", "README.md") if (root / place / name).is_file()), None)
        return f"{place.removeprefix('docs/')}/{inside}" if inside else None
    return place.removeprefix("docs/")


def _outside_fences(markdown: str, change: Callable[[str], str]) -> str:
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if number % 2 else change(part) for number, part in enumerate(parts))
