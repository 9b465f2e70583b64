"""The documentation site: links and formulas of the pages become the site's, and nothing is fetched from elsewhere."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tools.site.hooks import on_page_content
from tools.site.links import OUTSIDE, deeper_lists, site_links
from tools.site.notebooks import notebook_page

from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("page", "link", "shown"),
    [
        ("own-regularizer.md", "[a](methods.md)", "[a](methods.md)"),
        ("own-regularizer.md", "[a](../CONTRIBUTING.md#style)", "[a](contributing.md#style)"),
        ("published.md", "[`r2_rate`](published/r2_rate/)", "[`r2_rate`](published/r2_rate/report.html)"),
        ("published.md", "[a](published/networks/)", "[a](published/networks/README.md)"),
        ("published/networks/README.md", "[a](../../published.md#x)", "[a](../../published.md#x)"),
        (
            "contributing.md",
            "[a](docs/run-folder.md), [b](CHANGELOG.md)",
            "[a](run-folder.md), [b](changelog.md)",
        ),
        ("benchmarks/how.md", "[a](results.md), [b](../README.md)", "[a](results.md), [b](../index.md)"),
        ("architecture.md", "[the code](../src/regbench/cli.py)", "the code"),
        ("theory.md", "![a figure](images/scaling.png)", "![a figure](images/scaling.png)"),
        ("theory.md", "[a](https://arxiv.org/abs/1) [b](#there)", "[a](https://arxiv.org/abs/1) [b](#there)"),
        ("theory.md", "```\n[a](../CONTRIBUTING.md)\n```", "```\n[a](../CONTRIBUTING.md)\n```"),
    ],
)
def test_a_link_of_the_repository_leads_to_the_sites_page(page: str, link: str, shown: str) -> None:
    assert site_links(link, page, ROOT) == shown


def test_the_pages_from_outside_are_there() -> None:
    assert all((ROOT / place).is_file() for place in OUTSIDE)


def test_lists_in_lists_are_indented_outside_of_code() -> None:
    assert deeper_lists("- a\n  - b\n```\n  - c\n```\n") == "- a\n    - b\n```\n  - c\n```\n"


def test_a_formula_becomes_mathml_that_says_the_same() -> None:
    shown = on_page_content('<p>so <span class="arithmatex">\\(a &lt; \\frac{b}{2}\\)</span></p>')
    tree = ElementTree.fromstring(shown)
    (formula,) = (each for each in tree if each.tag.endswith("math"))
    assert formula.get("display") == "inline"
    assert "".join(formula.itertext()) == "a<b2"
    assert [each.tag.rpartition("}")[2] for each in formula.iter()].count("mfrac") == 1


def test_a_notebooks_page_shows_code_and_the_richest_of_its_outputs(tmp_path: Path) -> None:
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["one\n", "two\n"]},
        {"output_type": "execute_result", "data": {"text/html": ["<b>\n", "\n", "x</b>"], "text/plain": ["x"]}},
        {"output_type": "execute_result", "data": {"image/png": "QUJD\n", "text/plain": ["<Figure>"]}},
        {"output_type": "execute_result", "data": {"text/plain": ["3"]}},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "Text."]},
        {"cell_type": "code", "source": ["f()\n"], "outputs": outputs},
    ]
    path = tmp_path / "book.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    page = notebook_page(path)
    assert page.startswith('# Title\n\n<small>This page is a [notebook](book.ipynb){ download="book.ipynb" }')
    expected = [
        "Text.",
        "```python\nf()\n```",
        "```text\none\ntwo\n```",
        '<div class="output"><b>x</b></div>',
        '<img class="output" alt="figure" src="data:image/png;base64,QUJD">',
        "```text\n3\n```",
    ]
    assert page.split("\n\n")[2:] == [*expected[:-1], expected[-1] + "\n"]


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    """MkDocs' strict mode ends with an error at a broken link, a missing anchor or an unknown name."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    pages = {path: path.read_text(encoding="utf-8") for path in (tmp_path / "site").rglob("*.html")}
    assert len(pages) > 25
    for path, page in pages.items():
        sources = re.findall(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="?([^">\s]+)', page)
        links = [
            tag for tag in re.findall(r"<link\b[^>]*>", page) if not re.search(r'rel="?(canonical|prev|next)', tag)
        ]
        assert not [each for each in [*sources, *links] if "//" in each and not each.startswith("data:")], path
        assert "arithmatex" not in page, path
        for picture in re.findall(r'<img\b[^>]*\bsrc="?([^">\s]+)', page):
            assert picture.startswith("data:") or (path.parent / picture).is_file(), f"{path}: {picture}"
    assert "<math" in (tmp_path / "site/theory.html").read_text(encoding="utf-8")
    assert "Train many runs" in (tmp_path / "site/python.html").read_text(encoding="utf-8")
