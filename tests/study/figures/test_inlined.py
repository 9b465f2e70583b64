"""A figure on a page looks as its file does, in fewer letters: places, pixels and words are read back."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from regbench.drawing.style import INK, PAPER, RULE, setting_styles
from regbench.study.figures.curves import convergence_plot
from regbench.study.figures.differences import seed_plot
from regbench.study.figures.inlined import inline_svg, short_path
from tests.study.figures.drawn import STYLES, runs

SVG = "{http://www.w3.org/2000/svg}"


def places(path):
    """The places of a path of lines, each found by going the steps before it."""
    start, steps = (re.findall(r"-?\d*\.?\d+", part) for part in path.removeprefix("M").split("l"))
    return np.cumsum(np.array([*start, *steps], dtype=float).reshape(-1, 2), axis=0)


def test_a_line_keeps_its_places_to_half_a_hundredth_however_long_it_is():
    wanted = 300 * np.random.default_rng(0).random((500, 2))
    data = " \n".join(f"{'L' if place else 'M'} {x:.6f} {y:.6f}" for place, (x, y) in enumerate(wanted))
    short = short_path(data)
    assert np.abs(places(short) - wanted).max() < 0.0051
    assert len(short) < 0.6 * len(data)


@pytest.mark.parametrize(
    ("data", "short"),
    [
        ("M 1.004 2 \nL 3.5 1 \nL 3.5 4.25 \nz \nM 9 9 \nL 8 9 \n", "M1 2l2.5-1 0 3.25 z M9 9l-1 0"),
        ("M 0 3 \nC 0.795609 3 1.555 2.684 2.12132 -2.12132 \nz \n", "M 0 3 C 0.8 3 1.55 2.68 2.12-2.12 z"),
    ],
)
def test_closed_lines_and_curves_stay_what_they_are(data, short):
    assert short_path(data) == short


@pytest.mark.parametrize("gray", [True, False])
def test_an_image_keeps_its_pixels_and_a_gray_one_has_one_channel(gray):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    if gray:
        pixels[:] = pixels[..., :1]
    figure, file = Figure(), io.StringIO()
    figure.subplots().imshow(pixels, interpolation="none")
    figure.savefig(file, format="svg")
    (image,) = re.findall(r'href="data:image/png;base64,([^"]+)"', inline_svg(file.getvalue(), "x", ""))
    read = Image.open(io.BytesIO(base64.b64decode(image)))
    assert read.mode == ("L" if gray else "RGBA")
    assert np.array_equal(np.asarray(read.convert("RGB")), pixels)


def test_names_that_look_like_references_attributes_or_colours_stay_as_they_are():
    odd = [f"url(#{INK})", 'a id="series:q" x="1.234"', PAPER, RULE, "font: 'DejaVu Sans'"]
    root = ElementTree.fromstring(seed_plot("seeds", runs(odd), setting_styles(odd)).inline())
    assert {each.get("data-series") for each in root.iter() if each.get("data-series")} == set(odd)
    assert set(odd) <= {each.text for each in root.iter(f"{SVG}text")}


@pytest.fixture(scope="module")
def long_curve():
    """A setting's accuracy over 1,000 epochs, which chooses the last."""
    rows = [
        {"label": "none", "seed": seed, "epoch": epoch, "val/acc": 0.9 - 0.3 / (epoch + 1) + 0.001 * seed}
        for seed in range(3)
        for epoch in range(1000)
    ]
    return convergence_plot("accuracy-val", pd.DataFrame(rows), {"none": 999}, "val/acc", {"none": STYLES["none"]})


def test_a_long_curve_is_drawn_whole_and_told_from_end_to_end_in_a_hundred_values(long_curve):
    told = [int(value.text.split(":")[0].removeprefix("epoch ")) for value in long_curve.values]
    assert len(told) == 100
    assert (told[0], told[-1]) == (1, 1000)
    assert set(np.diff(told)) <= {10, 11}
    band = max(re.findall(r' d="([^"]*)"', long_curve.inline()), key=len)
    assert len(places(band.split(" z")[0])) > 2000


def test_an_epoch_of_a_curve_takes_less_than_forty_bytes(long_curve):
    assert len(long_curve.inline()) < 40 * 1000
