import numpy as np
import pandas as pd
import pytest

from regbench.drawing.style import setting_styles
from regbench.study.figures.pairs import pairs_plot
from tests.study.figures.drawn import STYLES, texts


def study(values: dict[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"label": label, "seed": seed, "split_seed": seed, "test/acc": value}
            for label, numbers in values.items()
            for seed, value in enumerate(numbers)
        ]
    )


def test_each_panel_says_how_many_seeds_rise_and_by_how_much_on_average():
    runs = study({"none": [0.90, 0.91, 0.92], "batchnorm": [0.92, 0.92, 0.94], "dropout": [0.89, 0.92, 0.90]})
    picture = pairs_plot("pairs", runs, STYLES, "none")
    assert picture is not None
    assert {"batchnorm", "+1.67, 3 of 3 rise", "dropout", "−0.67, 1 of 3 rise"} <= set(texts(picture))
    assert STYLES["batchnorm"].color in picture.svg
    assert "from none to the setting" in picture.caption


def test_a_tie_is_neither_a_rise_nor_a_fall():
    runs = study({"none": [0.90, 0.91, 0.92], "dropout": [0.91, 0.91, 0.90]})
    assert "−0.33, 1 rise, 1 tie" in texts(pairs_plot("pairs", runs, STYLES, "none"))


def test_unusual_runs_are_named_on_the_side_of_their_setting():
    runs = study({"none": [0.90, 0.40, 0.92], "batchnorm": [0.92, 0.92, 0.94], "dropout": [0.89, 0.91, 0.20]})
    shown = texts(pairs_plot("pairs", runs, STYLES, "none", {("none", 1), ("dropout", 2)}))
    # The baseline's run is part of both panels.
    assert shown.count("seed") == 3


def test_seeds_without_a_partner_are_left_out_and_repeated_ones_averaged():
    runs = study({"none": [0.90, 0.91], "dropout": [0.91, 0.92, 0.99]})
    again = runs[runs["label"] == "dropout"].assign(**{"test/acc": lambda frame: frame["test/acc"] + 0.02})
    assert "+2.00, 2 of 2 rise" in texts(pairs_plot("pairs", pd.concat([runs, again]), STYLES, "none"))


@pytest.mark.parametrize("labels", [["none"], ["dropout"]])
def test_without_shared_seeds_there_is_no_figure(labels):
    assert pairs_plot("pairs", study({label: [0.9, 0.91] for label in labels}), STYLES, "none") is None
    apart = study({"none": [0.90, 0.91], "dropout": [0.9, 0.9]})
    apart.loc[apart["label"] == "dropout", "split_seed"] += 10
    assert pairs_plot("pairs", apart, STYLES, "none") is None


def test_eighteen_settings_with_forty_seeds_and_long_names_are_all_named():
    labels = ["none", *(f"dropout+weight_decay p={strength:g}" for strength in range(18))]
    rng = np.random.default_rng(0)
    picture = pairs_plot(
        "pairs", study({label: list(rng.random(40)) for label in labels}), setting_styles(labels), "none"
    )
    shown = texts(picture)
    assert {f"p={strength}" for strength in range(18)} <= set(shown)
