import pytest
from matplotlib.colors import to_rgb

from regbench.drawing.style import KNOWN, setting_styles, shorten
from tests.conftest import ROOT


def test_known_techniques_keep_their_colour_whatever_else_is_in_the_study():
    alone = setting_styles(["none", "dropout"])
    among = setting_styles(["batchnorm", "none", "mixup+cutout", "dropout"])
    assert {label: alone[label].color for label in alone} == {label: among[label].color for label in alone}


def test_settings_of_one_study_have_different_colours():
    labels = [*list(KNOWN)[:10], "batchnorm+dropout", "something new"]
    found = setting_styles(labels)
    assert len({look.color for look in found.values()}) == len(labels)


def test_strengths_of_one_technique_are_shades_from_light_to_dark():
    found = setting_styles(["none", "dropout p=0.1", "dropout p=0.3", "dropout p=0.5"])
    shades = [sum(to_rgb(found[f"dropout p={p}"].color)) for p in (0.1, 0.3, 0.5)]
    assert shades == sorted(shades, reverse=True)
    assert len(set(shades)) == 3


def luminance(color):
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


@pytest.mark.parametrize("name", KNOWN)
def test_colours_are_seen_on_light_and_on_dark_paper(name):
    shade = luminance(KNOWN[name])
    light, dark = 1.05 / (shade + 0.05), (shade + 0.05) / (luminance("#14181c") + 0.05)
    assert light > 2.1
    assert dark > 3


def test_long_names_are_cut_in_the_middle_and_keep_their_end():
    assert shorten("weight_decay coefficient=0.00012345", 20) == "weight_decay …012345"
    assert len(shorten("x" * 100, 30)) == 30
    assert shorten("a\nb") == "a�b"


def test_colours_are_kept_for_techniques_and_callbacks_that_there_are():
    known = {path.stem for group in ("regularizer", "callbacks") for path in (ROOT / "configs" / group).glob("*.yaml")}
    assert set(KNOWN) == known
