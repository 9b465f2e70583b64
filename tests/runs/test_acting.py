"""Whether a setting acted: found after each run, and told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regbench.config.composing import CONFIGS
from regbench.display import finished_line, print_results
from regbench.runs.run import run

Composed = Callable[..., dict[str, Any]]
REGULARIZERS = sorted(path.stem for path in (CONFIGS / "regularizer").glob("*.yaml") if path.stem != "none")
COUNTS = {"done": 1, "failed": 0, "left": 0}


def own(name: str, **arguments: Any) -> dict[str, Any]:
    """Return a technique's node of the tests' own."""
    return {"_target_": f"tests.inert.{name}", **arguments}


def test_every_technique_of_the_house_acts_and_none_has_nothing_to_tell(composed: Composed, tmp_path: Path) -> None:
    # Feature maps for spatial dropout, and bounds that are reached within the few steps of the test.
    bounds = ["regularizer.max_norm.max_norm=0.5", "regularizer.gradient_clipping.max_norm=0.1"]
    chosen = composed("model=lenet5_compact", f"regularizer=[{','.join(REGULARIZERS)}]", *bounds)
    results = run(tmp_path / "all", chosen)
    assert len(REGULARIZERS) >= 10
    # Flips are off for digits, yet augmentation shifts and turns.
    assert results.acted == dict.fromkeys(REGULARIZERS, True)
    assert results.inert == []
    assert run(tmp_path / "none", composed("model=mlp_small")).acted is None


def test_a_technique_that_does_nothing_is_named(
    composed: Composed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = composed("model=mlp_small", "regularizer=dropout")
    config["regularizer"]["nothing"] = own("Nothing")
    results = run(tmp_path, config)
    assert results.acted == {"dropout": True, "nothing": False}
    assert json.loads((tmp_path / "results.json").read_text())["acted"] == results.acted
    print_results(tmp_path, results)
    told = "nothing did nothing: layers, decays and gradients are those of the same run without it"
    assert told in capsys.readouterr().out
    assert finished_line("none seed 0", results, COUNTS).endswith("; nothing did nothing")


def test_a_strength_of_zero_does_nothing(composed: Composed, tmp_path: Path) -> None:
    config = composed("model=mlp_small", "regularizer=[dropout,l1,weight_decay]", "regularizer.dropout.p=0")
    config["regularizer"]["l1"]["coefficient"] = 1e-12  # lost in the loss's rounding, and still in the gradients
    assert run(tmp_path, config).acted == {"dropout": False, "l1": True, "weight_decay": True}


def test_a_model_that_ignores_its_regularizer_is_found_by_the_layers(composed: Composed, tmp_path: Path) -> None:
    config = composed("model=mlp_small", "regularizer=[batchnorm,mixup]")
    kept = {key: config["model"][key] for key in ("name", "image_size", "hidden", "mean", "std")}
    config["model"] = {"_target_": "tests.inert.DeafMLP", **kept}
    assert run(tmp_path, config).acted == {"batchnorm": False, "mixup": True}


def bounded(bound: str, composed: Composed, folder: Path) -> dict[str, bool] | None:
    techniques = "regularizer=[dropconnect,gradient_clipping,max_norm,sam]"
    bounds = [f"regularizer.{name}.max_norm={bound}" for name in ("max_norm", "gradient_clipping")]
    return run(folder, composed("model=mlp_small", techniques, *bounds, "regularizer.sam.rho=0")).acted


def test_a_bound_that_is_never_reached_does_nothing(composed: Composed, tmp_path: Path) -> None:
    expected = {"dropconnect": True, "gradient_clipping": False, "max_norm": False, "sam": False}
    assert bounded("1e6", composed, tmp_path) == expected


def test_a_bound_that_is_reached_acts(composed: Composed, tmp_path: Path) -> None:
    expected = {"dropconnect": True, "gradient_clipping": True, "max_norm": True, "sam": False}
    assert bounded("0.5", composed, tmp_path) == expected


def test_a_technique_that_acts_after_each_step_or_on_the_logits_alone_is_seen(
    composed: Composed, tmp_path: Path
) -> None:
    config = composed("model=mlp_small", "optimizer=sgd")
    config["regularizer"] = {"preferring": own("Preferring"), "shrinking": own("Shrinking")}
    assert run(tmp_path, config).acted == {"preferring": True, "shrinking": True}


def test_a_technique_that_sets_in_late_is_not_accused(composed: Composed, tmp_path: Path) -> None:
    config = composed("model=mlp_small", "trainer.max_epochs=6")
    config["regularizer"] = {"late": own("Late", strength=0.0), "growing": own("Annealed", strength=0.0, growth=0.01)}
    assert run(tmp_path, config).acted == {"growing": False, "late": True}
