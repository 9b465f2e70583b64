"""The figures show what their data says: positions, colours and words are read back from the SVG."""

import base64
import io
import re

import numpy as np

from regbench.drawing.reliability import BINS
from regbench.study.figures.predictions import confusion_figure, mistake_grid, reliability_figure, sample_grid
from regbench.study.predictions import Mistake, Predictions
from tests.study.figures.drawn import STYLES, texts


def test_the_confusion_matrix_names_percent_of_the_class():
    picture = confusion_figure("confusion", np.array([[399, 1], [30, 70]]), ["cat", "dog"], "none")
    assert {"100", "·", "30", "70", "cat", "dog"} <= set(texts(picture))


def test_a_hundred_classes_are_drawn_without_names():
    picture = confusion_figure("confusion", np.eye(100, dtype=int) * 10, [f"class {n}" for n in range(100)], "none")
    assert "class 7" not in texts(picture)


def test_reliability_leaves_out_bins_of_a_few_predictions():
    bins = np.zeros((3, BINS))
    bins[:, 14], bins[:, 5] = (100, 98, 95), (3, 1, 0)
    picture = reliability_figure("reliability", {"none": Predictions(bins=bins, errors=[0.02, 0.04], read=1)}, STYLES)
    assert "none: error 3.00 %" in texts(picture)


def test_images_are_embedded_as_they_are_stored():
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4) * 16
    picture = mistake_grid("mistakes", [Mistake(grey, 0, 1, 0.987)], ["cat", "dog"], "none")
    assert {"cat", "→ dog", "98.7 % sure"} <= set(texts(picture))
    from matplotlib.image import imread

    encoded = re.findall(r'href="data:image/png;base64,([^"]+)"', picture.svg)
    assert len(encoded) == 1
    pixels = imread(io.BytesIO(base64.b64decode(encoded[0])))
    assert pixels.shape[:2] == (4, 4)


def test_samples_show_four_images_of_every_class():
    picture = sample_grid("samples", np.zeros((12, 8, 8), dtype=np.uint8), ["cat", "dog", "eel"])
    assert texts(picture) == ["cat", "dog", "eel"]
    assert picture.svg.count("data:image/png") == 12
