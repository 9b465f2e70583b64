"""The figures show what their data says: positions, colours and words are read back from the SVG."""

import re

from regbench.drawing.style import INK, PAPER, setting_styles, shorten
from regbench.study.figures.differences import seed_plot
from tests.study.figures.drawn import STYLES, runs, texts


def test_the_same_data_gives_the_same_bytes():
    first, second = (seed_plot("seeds", runs(), STYLES) for _ in range(2))
    assert (first.svg, first.png) == (second.svg, second.png)
    assert "<dc:date>" not in first.svg


def test_a_figure_on_the_page_takes_the_pages_colours_and_ids_of_its_own():
    inline = seed_plot("01-x/seeds", runs(), STYLES).inline()
    assert "currentColor" in inline
    assert INK not in inline
    assert PAPER not in inline
    assert inline.startswith("<svg")
    ids = re.findall(r' id="([^"]+)"', inline)
    assert ids
    assert all(name.startswith("01-x-seeds-") for name in ids)
    for target in re.findall(r'(?:url\(#|href="#)([^")]+)', inline):
        assert target in ids


def test_names_are_text_and_never_formulas_or_markup():
    hostile = r"<script>alert(1)</script> $\frac{ & 日本"
    rows = runs([hostile])
    picture = seed_plot("seeds", rows, setting_styles([hostile]))
    assert "<script" not in picture.svg
    assert shorten(hostile, 36) in texts(picture)
