"""Tables to draw, and what stands in a drawn figure."""

from xml.etree import ElementTree

import pandas as pd

from regbench.drawing.style import setting_styles

LABELS = ["none", "batchnorm", "dropout"]


STYLES = setting_styles(LABELS)


def runs(labels=LABELS, seeds=3):
    rows = [
        {"label": label, "seed": seed, "test/acc": 0.9 + 0.001 * seed, "train/acc": 0.93 + 0.001 * seed, "gap": 0.03}
        for label in labels
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def texts(picture):
    return [
        element.text or "" for element in ElementTree.fromstring(picture.svg).iter("{http://www.w3.org/2000/svg}text")
    ]
