import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassCalibrationError

from regbench.drawing.reliability import (
    BINS,
    Calibration,
    bin_by_confidence,
    calibration_error,
    reliability_diagram,
)
from regbench.drawing.style import SettingStyle, figure_style, setting_styles

BLUE = {"none": SettingStyle("#0072b2", "o", "-")}


@pytest.fixture
def predicted() -> tuple[np.ndarray, np.ndarray]:
    """Confidences of 2,000 answers, and which of them are right."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 2_000)
    return confidence, rng.random(2_000) < confidence**2


def test_bins_hold_counts_confidences_and_right_answers(predicted: tuple[np.ndarray, np.ndarray]) -> None:
    confidence, right = predicted
    bins = bin_by_confidence(confidence, right)
    for number, (count, certain, hits) in enumerate(bins.T):
        inside = (confidence >= number / BINS) & (confidence < (number + 1) / BINS)
        assert count == inside.sum()
        assert certain == pytest.approx(confidence[inside].sum())
        assert hits == right[inside].sum()
    assert bin_by_confidence(np.ones(3), np.ones(3))[:, -1].tolist() == [3, 3, 3]


def test_the_calibration_error_is_that_of_torchmetrics() -> None:
    logits = 3 * torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(500) % 4
    confidence, answers = logits.softmax(1).max(1)
    reference = MulticlassCalibrationError(num_classes=4, n_bins=BINS)(logits.softmax(1), labels)
    bins = bin_by_confidence(confidence.numpy(), (answers == labels).numpy())
    assert calibration_error(bins) == pytest.approx(float(reference), abs=1e-6)
    assert np.isnan(calibration_error(np.zeros((3, BINS))))


def test_the_line_is_accuracy_by_confidence_and_the_legend_tells_the_error(
    predicted: tuple[np.ndarray, np.ndarray],
) -> None:
    confidence, right = predicted
    bins = bin_by_confidence(confidence, right)
    with figure_style():
        (axes,) = reliability_diagram({"none": Calibration(bins, 0.0321)}, BLUE).axes
    (line,) = [line for line in axes.lines if line.get_label() == "none: error 3.21 %"]
    full = bins[0] >= 10
    assert line.get_xdata() == pytest.approx(100 * bins[1, full] / bins[0, full])
    assert line.get_ydata() == pytest.approx(100 * bins[2, full] / bins[0, full])


def test_bins_of_a_few_predictions_are_left_out() -> None:
    bins = np.zeros((3, BINS))
    bins[:, 14], bins[:, 5] = (100, 98, 95), (3, 1, 0)
    with figure_style():
        (axes,) = reliability_diagram({"none": Calibration(bins, 0.03)}, BLUE).axes
    assert axes.lines[-1].get_xdata() == pytest.approx([98])


def test_the_counts_are_shown_below_where_asked_for(predicted: tuple[np.ndarray, np.ndarray]) -> None:
    bins = bin_by_confidence(*predicted)
    with figure_style():
        above, below = reliability_diagram({"none": Calibration(bins, 0.03)}, BLUE, counts=True).axes
    assert below.patches[0].get_data().values == pytest.approx(bins[0])
    assert (above.get_xlabel(), below.get_xlabel()) == ("", "confidence, %")


def test_several_settings_are_lines_of_their_own(predicted: tuple[np.ndarray, np.ndarray]) -> None:
    found = {label: Calibration(bin_by_confidence(*predicted), 0.03) for label in ("none", "dropout")}
    with figure_style():
        (axes,) = reliability_diagram(found, setting_styles(list(found))).axes
    assert len({line.get_color() for line in axes.lines}) == 3
