"""What MkDocs calls while it builds the site: pages from outside `docs/`, notebooks, links, formulas.

Nothing is fetched, neither while building nor by a reader's browser: formulas become MathML, which browsers draw.
"""

import html
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools.site.links import OUTSIDE, deeper_lists, site_links
from tools.site.notebooks import notebook_page

ROOT = Path(__file__).parents[2]
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig, **options: Any) -> Files:
    """Add the pages that lie outside `docs/`, and one for every notebook."""
    for place, page in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / place)))
    for notebook in sorted((ROOT / "docs/notebooks").glob("*.ipynb")):
        page = f"notebooks/{notebook.stem}.md"
        files.append(File.generated(config, page, content=notebook_page(notebook)))
    return files


def on_page_markdown(markdown: str, page: Page, **options: Any) -> str:
    """Turn the repository's links into the site's."""
    return deeper_lists(site_links(markdown, page.file.src_uri, ROOT))


def on_page_content(content: str, **options: Any) -> str:
    """Turn the formulas into MathML."""
    return _FORMULA.sub(_mathml, content)


def _mathml(formula: re.Match[str]) -> str:
    kind = "block" if formula[2] == "[" else "inline"
    return str(convert(html.unescape(formula[3]).strip(), display=kind))
