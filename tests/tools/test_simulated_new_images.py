import numpy as np
import pytest
from scipy import special
from tools.simulations import new_images
from tools.simulations.new_images import Scene, logit_centre, satterthwaite_interval, studies

from regbench.study.statistics.seeds_and_images import SeedsAndImages

SCENE = Scene("small", (0.8, 0.9), 0.3, (200,), image_sd=2.0, own_image_sd=1.0)


def test_the_centre_gives_the_accuracy_as_drawn_numbers_show() -> None:
    logits = np.random.default_rng(0).normal(logit_centre(0.9, 6.0), 6.0, size=1_000_000)
    assert special.expit(logits).mean() == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize("paired", [True, False])
def test_studies_scatter_around_the_true_difference(paired: bool) -> None:
    scene = Scene("small", (0.8, 0.9), 0.3, (200,), paired, image_sd=2.0, own_image_sd=1.0)
    means = [each.mean for each in studies(scene, 3, 200, 800, np.random.default_rng(1))]
    assert np.mean(means) == pytest.approx(0.1, abs=4 * np.std(means) / np.sqrt(800))


def test_satterthwaites_degrees_of_freedom_of_a_hand_computed_example() -> None:
    # Variance 4 + 5 - 3 = 6 from parts with 2, 10 and 20 degrees of freedom: 36 / (16/2 + 25/10 + 9/20) = 3.2877.
    found = SeedsAndImages(mean=0.0, seeds=4.0, images=5.0, interaction=3.0, df=2.0, df_images=7.0, size=11)
    _, high = satterthwaite_interval(found, 0.05)
    assert high == pytest.approx(special.stdtrit(36 / 10.95, 0.975) * np.sqrt(6))


def test_the_table_has_a_row_for_each_scene_size_and_number_of_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_images, "SCENES", (SCENE,))
    monkeypatch.setattr(new_images, "STUDIES", {200: 60})
    head, rule, *rows = new_images.table().splitlines()
    assert len(rows) == 3
    assert {row.count("|") for row in (head, rule, *rows)} == {13}
    for row in rows:
        covered = float(row.split("|")[-3])
        assert 85 <= covered <= 100
    assert new_images.table().splitlines() == [head, rule, *rows]
