import pandas as pd

from regbench.drawing.style import setting_styles
from regbench.study.figures.power import power_plot
from tests.study.figures.drawn import STYLES, texts


def curves(labels):
    rows = [
        {"label": label, "n": n, "power": n / 40, "low": n / 80, "high": min(n / 20, 1), "observed": n / 100}
        for label in labels
        for n in range(2, 41)
    ]
    return pd.DataFrame(rows)


def test_each_panel_tells_the_seeds_needed_and_where_the_study_stands():
    labels = ["batchnorm", "dropout"]
    picture = power_plot(
        "power", curves(labels), STYLES, "none", 0.003, dict.fromkeys(labels, 10),
        {"batchnorm": "8 to 37", "dropout": "more than 200"},
    )  # fmt: skip
    shown = texts(picture)
    assert {"batchnorm", "80 %: 8 to 37 seeds", "80 %: more than 200 seeds"} <= set(shown)
    assert shown.count("10: 25 %") == 2
    assert "Power to show 0.3 points" in shown
    assert "margin of 0.3 points" in picture.caption
    assert "none" not in shown


def test_eighteen_settings_each_have_a_panel():
    labels = ["none", *(f"l1 c={strength}" for strength in range(18))]
    styles = setting_styles(labels)
    now, needed = dict.fromkeys(labels, 38), dict.fromkeys(labels, "9 to 12")
    shown = texts(power_plot("power", curves(labels[1:]), styles, "none", 0.001, now, needed))
    assert set(labels[1:]) <= set(shown)
    assert shown.count("38: 95 %") == 18
