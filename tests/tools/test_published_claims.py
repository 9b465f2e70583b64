"""The verdicts on published claims."""

from dataclasses import replace
from pathlib import Path

import pytest
from tools.published.claims import (
    FAILS,
    HOLDS,
    OPEN,
    Claim,
    almost_perfect,
    beats,
    best_earlier,
    claims,
    gain_shrinks,
    has_parameters,
    holds,
    similar_parameters,
)
from tools.published.tables import VALUES
from tools.published.values import read_values

from regbench.study import Study
from regbench.study.comparisons import comparisons
from regbench.study.statistics import BETTER, UNDECIDED, WORSE, compare
from tests.conftest import ROOT
from tests.tools.published import LEVELS, study_of, with_test_curves

PUBLISHED = read_values(ROOT / "docs/published" / VALUES)


def claim(text: str) -> Claim:
    (found,) = (each for each in claims(PUBLISHED) if each.text == text)
    return found


def verdict(text: str, *studies: Study) -> str:
    return claim(text).judge(*studies)[0]


def test_a_claim_of_rank_holds_fails_or_stays_open(tmp_path: Path) -> None:
    best, worst = "Batch norm is best, on train and on test data", "Dropout is worst, on train and on test data"
    below = "Dropout is below the baseline on test data"
    clear = study_of(tmp_path / "clear")
    assert verdict(best, clear) == verdict(worst, clear) == verdict(below, clear) == HOLDS
    turned = study_of(tmp_path / "turned", {**LEVELS, "batchnorm": 0.87, "dropout": 0.92})
    assert verdict(best, turned) == verdict(worst, turned) == verdict(below, turned) == FAILS
    noisy = study_of(tmp_path / "noisy", dict.fromkeys(LEVELS, 0.89), noise=0.02)
    assert verdict(best, noisy) == verdict(below, noisy) == OPEN


# The interval of an undecided accuracy is -0.4 to +0.1 points, the margin 0.3.
@pytest.mark.parametrize(
    ("wanted", "claimed", "expected"),
    [
        (BETTER, 0.0138, FAILS),  # no room for a gain of the margin, so none for the larger claim
        (BETTER, float("nan"), FAILS),
        (BETTER, 0.0020, FAILS),  # smaller than the margin, so judged by its own size, which has no room either
        (BETTER, 0.0003, OPEN),
        (WORSE, 0.0138, OPEN),  # room for the margin is enough
        (WORSE, float("nan"), OPEN),
    ],
)
def test_an_undecided_difference_refutes_what_its_interval_has_no_room_for(
    wanted: str, claimed: float, expected: str, tmp_path: Path
) -> None:
    (family,) = comparisons(study_of(tmp_path / "study", {"none": 0.89, "dropout": 0.89}))
    (found,) = compare(family)
    undecided = replace(found, mean=-0.0015, low=-0.004, high=0.001, margin=0.003, verdict=UNDECIDED)
    assert holds(undecided, wanted, claimed) == expected


def test_a_loss_has_no_margin_so_that_only_its_own_size_is_judged(tmp_path: Path) -> None:
    (family,) = comparisons(study_of(tmp_path / "study", {"none": 0.89, "dropout": 0.89}))
    (found,) = compare(family, "test/loss")
    undecided = replace(found, mean=0.0009, low=-0.0026, high=0.0044, verdict=UNDECIDED)
    assert holds(undecided, BETTER, 0.0054) == FAILS
    assert holds(undecided, BETTER, 0.0020) == holds(undecided, BETTER) == OPEN


def test_the_claims_state_the_sizes_that_were_published() -> None:
    texts = [each.text for each in claims(PUBLISHED)]
    assert "Weight decay is above the baseline on test data, by +0.03 points" in texts
    assert "The same, by +1.38 points" in texts
    assert "Dropout 0.5 with L2 1e-4 improves LeNet-5 on test data, by +0.23 points" in texts
    assert "They lower the test loss by 0.0054" in texts
    assert "LeNet-5 is better than the MLP on test data, by +3.51 points" in texts


def test_dropout_overfits_least_where_its_gap_is_smaller_than_every_others(tmp_path: Path) -> None:
    study = study_of(tmp_path / "study")
    text = "Dropout overfits least: its train accuracy exceeds its test accuracy by least"
    noise = 1e-4 * study.runs["seed"] * (study.runs["setting"] == "dropout")
    for gap, expected in ((0.01, HOLDS), (0.03, FAILS)):
        gaps = study.runs["setting"].map({**dict.fromkeys(LEVELS, 0.02), "dropout": gap}) + noise
        assert verdict(text, replace(study, runs=study.runs.assign(gap=gaps))) == expected


@pytest.mark.parametrize(("level", "expected"), [(0.998, HOLDS), (0.95, FAILS), (0.99, OPEN)])
def test_train_accuracy_is_almost_perfect_where_one_run_of_the_highest_setting_would_be(
    level: float, expected: str, tmp_path: Path
) -> None:
    study = study_of(tmp_path / "study", {"none": 0.89, "batchnorm": 0.89})
    train = study.runs["setting"].map({"none": 0.90, "batchnorm": level}) + 1e-4 * study.runs["seed"]
    found = almost_perfect(replace(study, runs=study.runs.assign(**{"train/acc": train})))
    assert found[0] == expected
    assert found[1].startswith("Train %, fashion_mnist, lenet5, 12 epochs: none 90.02 ± 0.02, batchnorm ")


def test_one_network_beats_another_seed_by_seed(tmp_path: Path) -> None:
    lenet = study_of(tmp_path / "lenet", {"none": 0.95}, noise=0.001)
    mlp = study_of(tmp_path / "mlp", {"none": 0.90}, noise=0.004)
    judged, evidence = beats(lenet, mlp, claimed=0.03)
    assert judged == HOLDS
    assert evidence.startswith("Test, LeNet-5 beside the MLP: +")
    assert beats(mlp, lenet, claimed=0.03)[0] == FAILS


def test_counts_are_held_against_the_networks(tmp_path: Path) -> None:
    study = study_of(tmp_path / "study", {"none": 0.9})
    small, large = (replace(study, runs=study.runs.assign(parameters=count)) for count in (15_910, 44_426))
    assert has_parameters(small, 15_910) == (HOLDS, "The network as stated has 15,910.")
    assert has_parameters(small, 15_830) == (FAILS, "The network as stated has 15,910.")
    assert similar_parameters(large, small) == (FAILS, "44,426 against 15,910: 2.8 times as many.")
    assert similar_parameters(small, small)[0] == HOLDS


def test_the_best_epoch_is_the_top_of_each_runs_test_curve(tmp_path: Path) -> None:
    rising = [0.80 + 0.005 * epoch for epoch in range(12)]
    early = [0.85 if epoch == 2 else 0.80 for epoch in range(12)]
    study = study_of(tmp_path / "study")
    found = best_earlier(
        with_test_curves(study, {**dict.fromkeys(LEVELS, rising), "weight_decay": early}), "weight_decay"
    )
    assert (
        found[1] == "Best epoch by the test curve: weight_decay 3 ± 0, batchnorm 12 ± 0, dropout 12 ± 0, none 12 ± 0."
    )


@pytest.mark.parametrize(("last", "expected"), [(0.01, HOLDS), (0.05, FAILS)])
def test_a_gain_shrinks_where_the_lead_after_ten_epochs_is_the_larger(
    last: float, expected: str, tmp_path: Path
) -> None:
    flat = [0.80] * 12
    lead = [0.83] * 10 + [0.82, 0.80 + last]
    study = with_test_curves(study_of(tmp_path / "study"), {**dict.fromkeys(LEVELS, flat), "batchnorm": lead})
    judged, evidence = gain_shrinks(study, "batchnorm")
    assert judged == expected
    assert evidence.startswith("Lead in points after so many epochs: 5: +3.00, 10: +3.00. From 10 to 12 it changes by ")
    assert f"changes by {'−2.00' if last < 0.03 else '+2.00'} (" in evidence
