import numpy as np
import pytest

from regbench.drawing.confusion import row_shares
from regbench.drawing.reliability import BINS, calibration_error
from regbench.study import predictions
from regbench.study.predictions import confused_pairs, read_predictions


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
    found = read_predictions([stored(tmp_path, "a", [0, 1, 1, 1]), stored(tmp_path, "b", [0, 1, 1, 2])])
    assert found.confusion.tolist() == [[2, 2, 0], [0, 3, 1], [0, 0, 0]]
    assert row_shares(found.confusion)[2].tolist() == [0, 0, 0]
    assert confused_pairs(found.confusion) == [(0, 1, 0.5), (1, 2, 0.25)]
    assert (found.read, found.size) == (2, 4)


def test_calibration_error_agrees_with_hand_computed_bins(tmp_path):
    found = read_predictions([stored(tmp_path, "a", [0, 1, 1, 1])])
    sure = np.exp(4) / (np.exp(4) + 2)
    assert calibration_error(found.bins) == pytest.approx(abs(0.75 - sure), abs=1e-6)
    assert found.errors == [pytest.approx(abs(0.75 - sure), abs=1e-6)]
    assert found.bins.shape == (3, BINS)
    assert found.bins[0].sum() == 4


def test_mistakes_that_every_run_makes_come_first(tmp_path):
    found = read_predictions([stored(tmp_path, "a", [1, 1, 1, 1]), stored(tmp_path, "b", [0, 1, 1, 1])])
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
    found = read_predictions([good, bad])
    assert found.read == 1
    assert len(found.problems) == 1
    assert str(file) in found.problems[0]


def test_an_archive_that_unpacks_to_more_than_any_runs_is_not_unpacked(tmp_path, monkeypatch):
    stored(tmp_path, "small", (0, 1, 1, 1))
    monkeypatch.setattr(predictions, "_MOST_BYTES", 1_000)
    found = read_predictions([tmp_path / "small"])
    assert found.read == 0
    assert "expected at most 1,000 bytes once unpacked, received " in found.problems[0]
