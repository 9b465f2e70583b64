"""The figures show what their data says: positions, colours and words are read back from the SVG."""

import re
from html import unescape
from xml.etree import ElementTree

import pandas as pd

from regbench.drawing.style import INK, PAPER, setting_styles, shorten
from regbench.study.figures.curves import convergence_plot
from regbench.study.figures.differences import forest_plot, seed_plot
from tests.study.figures.drawn import LABELS, STYLES, runs, texts

SVG = "{http://www.w3.org/2000/svg}"


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
    assert "<script" not in picture.inline()
    assert shorten(hostile, 36) in texts(picture)


def test_what_is_drawn_of_a_setting_says_so_whatever_its_name():
    hostile = '"><img src=x onerror=\'alert(1)\'> id="x" series:a%22\t日本'
    inline = seed_plot("seeds", runs(["none", hostile]), setting_styles(["none", hostile])).inline()
    root = ElementTree.fromstring(inline)
    named = [element.get("data-series") for element in root.iter() if element.get("data-series")]
    assert set(named) == {"none", hostile.replace("\t", "\ufffd")}
    assert named.count("none") == named.count(hostile.replace("\t", "\ufffd")) >= 3
    assert not [element for element in root.iter() if element.tag.endswith("img")]


def test_values_stand_where_their_marks_are_drawn():
    """The forest's mark at +2 points lies as far right of that at 0 as the axis says; both are drawn as `use`."""
    frame = pd.DataFrame(
        [
            {"label": "batchnorm", "mean": 0.02, "low": 0.01, "high": 0.03, "verdict": "better"},
            {"label": "dropout", "mean": 0.0, "low": -0.01, "high": 0.01, "verdict": "undecided"},
        ]
    )
    picture = forest_plot("differences", frame, STYLES, "none", 0.003)
    inline = picture.inline()
    names, *lines = unescape(re.search(r' data-values="([^"]*)"', inline)[1]).split("\n")
    assert names.split("\t") == ["batchnorm", "dropout"]
    (first, second) = (line.split("\t") for line in lines)
    assert first[2:] == ["0", "+2.00 (+1.00 to +3.00), better"]
    assert second[2:] == ["1", "+0.00 (−1.00 to +1.00), undecided"]
    drawn = [(float(use.get("x")), float(use.get("y"))) for use in ElementTree.fromstring(inline).iter(f"{SVG}use")]
    for x, y, *_ in (first, second):
        assert min(abs(float(x) - left) + abs(float(y) - top) for left, top in drawn) < 0.2


def test_a_legend_says_which_curve_an_entry_stands_for():
    rows = pd.DataFrame(
        [{"label": label, "seed": 0, "epoch": epoch, "val/acc": 0.8} for label in LABELS for epoch in (0, 1)]
    )
    root = ElementTree.fromstring(convergence_plot("x", rows, {}, "val/acc", STYLES).inline())
    entries = [element for element in root.iter() if element.get("data-entry")]
    texts_of = {
        each.get("data-entry"): "".join(each.itertext()).strip() for each in entries if "".join(each.itertext()).strip()
    }
    assert texts_of == {label: label for label in LABELS}
    assert len(entries) > len(LABELS)
