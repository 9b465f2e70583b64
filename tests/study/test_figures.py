"""The figures show what their data says: positions, colours and words are read back from the SVG."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from regbench.study import curves, figures, images, style
from regbench.study.predictions import BINS, Mistake, Predictions, calibration_error, confused_pairs, gather, row_shares

LABELS = ["none", "batchnorm", "dropout"]
STYLES = style.looks(LABELS)


def history(labels=("none",), epochs=4, seeds=3):
    rows = [
        {"label": label, "seed": seed, "epoch": epoch, "val/acc": 0.8 + 0.02 * epoch + 0.01 * seed, "val/loss": 1.0}
        for label in labels
        for seed in range(seeds)
        for epoch in range(epochs)
    ]
    return pd.DataFrame(rows)


def runs(labels=LABELS, seeds=3):
    rows = [
        {"label": label, "seed": seed, "test/acc": 0.9 + 0.001 * seed, "train/acc": 0.93 + 0.001 * seed, "gap": 0.03}
        for label in labels
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def advantage(leads):
    """Rows of an advantage by epoch from {label: [mean at epoch 1, 2, …]}."""
    rows = [
        {"label": label, "epoch": epoch, "mean": mean, "low": mean - 0.01, "high": mean + 0.01}
        for label, means in leads.items()
        for epoch, mean in enumerate(means)
    ]
    return pd.DataFrame(rows)


def texts(picture):
    return [
        element.text or "" for element in ElementTree.fromstring(picture.svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_known_techniques_keep_their_colour_whatever_else_is_in_the_study():
    alone = style.looks(["none", "dropout"])
    among = style.looks(["batchnorm", "none", "mixup+cutout", "dropout"])
    assert {label: alone[label].color for label in alone} == {label: among[label].color for label in alone}


def test_settings_of_one_study_have_different_colours():
    labels = [*style.KNOWN, "batchnorm+dropout", "something new"]
    found = style.looks(labels[:14])
    assert len({look.color for look in found.values()}) == 14


def test_strengths_of_one_technique_are_shades_from_light_to_dark():
    found = style.looks(["none", "dropout p=0.1", "dropout p=0.3", "dropout p=0.5"])
    shades = [sum(to_rgb(found[f"dropout p={p}"].color)) for p in (0.1, 0.3, 0.5)]
    assert shades == sorted(shades, reverse=True)
    assert len(set(shades)) == 3


def luminance(color):
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


@pytest.mark.parametrize("name", style.KNOWN)
def test_colours_are_seen_on_light_and_on_dark_paper(name):
    shade = luminance(style.KNOWN[name])
    light, dark = 1.05 / (shade + 0.05), (shade + 0.05) / (luminance("#14181c") + 0.05)
    assert light > 2.1
    assert dark > 3


def test_the_same_data_gives_the_same_bytes():
    first, second = (figures.seeds("seeds", runs(), STYLES) for _ in range(2))
    assert first == second
    assert "<dc:date>" not in first.svg


def test_a_figure_on_the_page_takes_the_pages_colours_and_ids_of_its_own():
    inline = figures.seeds("01-x/seeds", runs(), STYLES).inline()
    assert "currentColor" in inline
    assert style.INK not in inline
    assert style.PAPER not in inline
    assert inline.startswith("<svg")
    ids = re.findall(r' id="([^"]+)"', inline)
    assert ids
    assert all(name.startswith("01-x-seeds-") for name in ids)
    for target in re.findall(r'(?:url\(#|href="#)([^")]+)', inline):
        assert target in ids


def test_names_are_text_and_never_formulas_or_markup():
    hostile = r"<script>alert(1)</script> $\frac{ & 日本"
    rows = runs([hostile])
    picture = figures.seeds("seeds", rows, style.looks([hostile]))
    assert "<script" not in picture.svg
    assert style.words(hostile, 36) in texts(picture)


def test_long_names_are_cut_in_the_middle_and_keep_their_end():
    assert style.words("weight_decay coefficient=0.00012345", 20) == "weight_decay …012345"
    assert len(style.words("x" * 100, 30)) == 30
    assert style.words("a\nb") == "a�b"


def test_convergence_shows_percent_and_counts_epochs_from_one():
    picture = curves.convergence("accuracy-val", history(LABELS), {"none": 3}, "val/acc", STYLES)
    assert {"1", "4"} <= set(texts(picture))
    assert "0" not in texts(picture)
    assert "accuracy, %" in texts(picture)
    assert set(LABELS) <= set(texts(picture))


def test_mean_and_band_over_seeds_are_those_of_the_runs():
    table = curves._by_epoch(history(), "val/acc")
    assert table["mean"].tolist() == pytest.approx([81, 83, 85, 87])
    assert table["sd"].tolist() == pytest.approx([1, 1, 1, 1])


def test_values_that_are_not_finite_leave_gaps_instead_of_errors():
    rows = history()
    rows.loc[0, "val/loss"] = np.inf
    rows.loc[1, "val/loss"] = np.nan
    picture = curves.convergence("loss-val", rows, {"none": np.nan}, "val/loss", {"none": STYLES["none"]})
    assert "cross-entropy" in texts(picture)


def test_the_leader_by_epoch_is_named_in_a_sentence():
    frame = advantage({"batchnorm": [0.02, 0.01, -0.01], "dropout": [-0.03, -0.01, -0.02]})
    assert curves.leader_sentence(frame, "none") == "The highest mean: batchnorm from epoch 1 to 2, none from epoch 3."
    steady = advantage({"batchnorm": [0.02, 0.01]})
    assert curves.leader_sentence(steady, "none") == "batchnorm has the highest mean at every epoch."


def test_a_lead_that_often_changes_is_told_briefly():
    frame = advantage({"batchnorm": [0.01, -0.01] * 10})
    assert "then the lead changes often" in curves.leader_sentence(frame, "none")


def test_the_advantage_draws_the_baseline_and_every_setting():
    picture = curves.advantage("advantage", advantage({"batchnorm": [0.01, 0.02], "dropout": [0, 0]}), STYLES, "none")
    assert {"none (baseline)", "batchnorm", "dropout"} <= set(texts(picture))
    assert "batchnorm has the highest mean at every epoch." in picture.caption


def test_a_run_of_one_epoch_still_shows_its_points():
    picture = curves.run_curves("accuracy", history(epochs=1, seeds=1), 0.0, "acc")
    assert "chosen checkpoint, epoch 1" in texts(picture)


def test_the_forest_names_difference_and_verdict():
    frame = pd.DataFrame(
        [
            {"label": "batchnorm", "mean": 0.0121, "low": 0.009, "high": 0.015, "verdict": "better"},
            {"label": "dropout", "mean": -0.002, "low": np.nan, "high": np.nan, "verdict": "too few seeds"},
        ]
    )
    picture = figures.forest("differences", frame, STYLES, "none", 0.003)
    assert {"+1.21, better", "−0.20, too few seeds"} <= set(texts(picture))
    assert STYLES["batchnorm"].color in picture.svg


def test_seeds_and_gap_show_mean_and_deviation():
    assert "90.10 ± 0.10, n = 3" in texts(figures.seeds("seeds", runs(), STYLES))
    assert "gap 3.00 ± 0.00" in texts(figures.gap("gap", runs(), STYLES))
    assert "gap 3.00" in texts(figures.gap("gap", runs(seeds=1), STYLES))


def strengths(values):
    rows = [
        {"value": value, "seed": seed, "val/acc": 0.9 + 0.001 * seed, "test/acc": 0.89, "train/acc": 0.92, "gap": 0.03}
        for value in values
        for seed in range(2)
    ]
    return pd.DataFrame(rows)


def test_a_log_axis_gives_zero_a_place_of_its_own():
    accuracy, gap = figures.strength("wd", strengths([0, 1e-5, 1e-4, 1e-3]), "weight_decay coefficient", True, 1e-4)
    assert {"0", "1e-5", "0.0001", "0.001", "picked on validation: 0.0001"} <= set(texts(accuracy))
    assert "gap, points" in texts(gap)
    assert figures._places([0, 1e-5, 1e-4], True) == pytest.approx([1e-6, 1e-5, 1e-4])


def test_an_axis_without_validation_is_drawn_without_a_pick():
    rows = strengths([0.1, 0.3, 0.5]).assign(**{"val/acc": np.nan})
    accuracy, _ = figures.strength("p", rows, "dropout p", False, None)
    assert "validation" not in texts(accuracy)
    assert "test" in texts(accuracy)


def test_several_settings_share_a_numeric_axis():
    rows = pd.concat([strengths([100, 1000, 10000]).assign(label=label) for label in LABELS])
    accuracy, _ = figures.axis_lines("size", rows, "train_size", True, STYLES)
    assert set(LABELS) <= set(texts(accuracy))


def stored(tmp_path, name, answers, labels=(0, 0, 1, 1), confidence=4.0):
    """A run folder whose predictions give these answers; every wrong image is stored, of its index's grey."""
    labels, answers = np.array(labels), np.array(answers)
    logits = np.zeros((len(labels), 3), dtype=np.float32)
    logits[np.arange(len(labels)), answers] = confidence
    wrong = np.flatnonzero(answers != labels)
    pictures = np.zeros((len(wrong), 2, 2), dtype=np.uint8) + wrong[:, None, None].astype(np.uint8)
    (tmp_path / name).mkdir()
    np.savez(
        tmp_path / name / "predictions.npz", logits=logits, labels=labels.astype(np.int64),
        sample_images=np.zeros((12, 2, 2), dtype=np.uint8), sample_labels=np.repeat(np.arange(3), 4),
        mistake_indices=wrong, mistake_images=pictures,
    )  # fmt: skip
    return tmp_path / name


def test_confusions_of_several_runs_are_summed(tmp_path):
    found = gather([stored(tmp_path, "a", [0, 1, 1, 1]), stored(tmp_path, "b", [0, 1, 1, 2])])
    assert found.confusion.tolist() == [[2, 2, 0], [0, 3, 1], [0, 0, 0]]
    assert row_shares(found.confusion)[2].tolist() == [0, 0, 0]
    assert confused_pairs(found.confusion) == [(0, 1, 0.5), (1, 2, 0.25)]
    assert (found.read, found.size) == (2, 4)


def test_calibration_error_agrees_with_hand_computed_bins(tmp_path):
    found = gather([stored(tmp_path, "a", [0, 1, 1, 1])])
    sure = np.exp(4) / (np.exp(4) + 2)
    assert calibration_error(found.bins) == pytest.approx(abs(0.75 - sure), abs=1e-6)
    assert found.errors == [pytest.approx(abs(0.75 - sure), abs=1e-6)]
    assert found.bins.shape == (3, BINS)
    assert found.bins[0].sum() == 4


def test_mistakes_that_every_run_makes_come_first(tmp_path):
    found = gather([stored(tmp_path, "a", [1, 1, 1, 1]), stored(tmp_path, "b", [0, 1, 1, 1])])
    assert [int(mistake.image[0, 0]) for mistake in found.mistakes] == [1, 0]
    assert found.mistakes[0].target == 0
    assert found.mistakes[0].answer == 1


@pytest.mark.parametrize("damage", ["truncated", "missing", "labels out of range", "not finite"])
def test_damaged_predictions_are_named_and_left_out(tmp_path, damage):
    good, bad = stored(tmp_path, "good", [0, 0, 1, 1]), stored(tmp_path, "bad", [0, 0, 1, 1])
    file = bad / "predictions.npz"
    content = dict(np.load(file))
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:200])
    elif damage == "missing":
        file.unlink()
    elif damage == "labels out of range":
        np.savez(file, **(content | {"labels": content["labels"] + 7}))
    else:
        np.savez(file, **(content | {"logits": content["logits"] * np.nan}))
    found = gather([good, bad])
    assert found.read == 1
    assert len(found.problems) == 1
    assert str(file) in found.problems[0]


def test_the_confusion_matrix_names_percent_of_the_class():
    picture = images.confusion("confusion", np.array([[399, 1], [30, 70]]), ["cat", "dog"], "none")
    assert {"100", "·", "30", "70", "cat", "dog"} <= set(texts(picture))


def test_a_hundred_classes_are_drawn_without_names():
    picture = images.confusion("confusion", np.eye(100, dtype=int) * 10, [f"class {n}" for n in range(100)], "none")
    assert "class 7" not in texts(picture)


def test_reliability_leaves_out_bins_of_a_few_predictions():
    bins = np.zeros((3, BINS))
    bins[:, 14], bins[:, 5] = (100, 98, 95), (3, 1, 0)
    picture = images.reliability("reliability", {"none": Predictions(bins=bins, errors=[0.02, 0.04], read=1)}, STYLES)
    assert "none: error 3.00 %" in texts(picture)


def test_images_are_embedded_as_they_are_stored():
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4) * 16
    picture = images.mistakes("mistakes", [Mistake(grey, 0, 1, 0.987)], ["cat", "dog"], "none")
    assert {"cat", "→ dog", "98.7 % sure"} <= set(texts(picture))
    from matplotlib.image import imread

    encoded = re.findall(r'href="data:image/png;base64,([^"]+)"', picture.svg)
    assert len(encoded) == 1
    pixels = imread(io.BytesIO(base64.b64decode(encoded[0])))
    assert pixels.shape[:2] == (4, 4)


def test_samples_show_four_images_of_every_class():
    picture = images.samples("samples", np.zeros((12, 8, 8), dtype=np.uint8), ["cat", "dog", "eel"])
    assert texts(picture) == ["cat", "dog", "eel"]
    assert picture.svg.count("data:image/png") == 12
