"""The published numbers beside ours: the page's tables."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tools.pages import fill
from tools.published.claims import claims
from tools.published.tables import VALUES, budgets, causes, nearest, online, picked, tables
from tools.published.values import R1, R5, Value, read_values

from regbench.config.composing import CONFIGS
from regbench.study import load
from regbench.study.report.tables import write_tables
from tests.conftest import ROOT
from tests.study.synthetic import judged
from tests.tools.published import LEVELS, study_of, with_test_curves

FOLDER = ROOT / "docs/published"


def test_the_committed_page_shows_what_the_committed_results_say() -> None:
    page = (ROOT / "docs/published.md").read_text(encoding="utf-8")
    assert fill(page, tables(FOLDER)) == page


def test_r1_is_run_with_the_searched_value_whose_train_accuracy_is_nearest() -> None:
    values = pd.read_csv(FOLDER / VALUES)
    for technique in ("dropout", "weight_decay", "batchnorm"):
        search = load(FOLDER / f"r1_search_{technique}")
        wanted = values.query("report == 'R1' and setting == @technique and metric == 'train/acc'")["published"].item()
        runs = search.runs
        chosen = runs.loc[runs["label"] == nearest(search, wanted), "config_hash"].item()
        assert set(load(FOLDER / R1).runs.query("setting == @technique")["config_hash"]) == {chosen}


def test_every_study_with_published_numbers_has_an_experiment() -> None:
    studies = {path.stem for path in (CONFIGS / "experiment/published").glob("*.yaml")}
    published = read_values(FOLDER / VALUES)
    assert {each.study for each in published} | {name for each in claims(published) for name in each.studies} <= studies


def test_a_published_value_is_inside_or_outside_the_interval_of_one_run(tmp_path: Path) -> None:
    study = study_of(tmp_path / "runs" / R1, epochs=20)
    write_tables(study, judged(study), tmp_path / "page" / R1)
    accuracies = 100 * study.runs.loc[study.runs["setting"] == "none", "test/acc"]
    # 2.776 is Student's t with 4 degrees of freedom, 97.5 %.
    half = 2.7764 * accuracies.std() * np.sqrt(1 + 1 / 5)
    mean = accuracies.mean()
    values = [mean - 1.02 * half, mean - 0.98 * half, mean + 0.98 * half, mean + 1.02 * half]
    rows = [f"R9,{R1},none,test/acc,{value}" for value in values]
    rows += [f"R5,{R5},none,test/loss,0.0363"]
    rows += [f"R1,{R1},{setting},{metric},90" for setting in LEVELS for metric in ("train/acc", "test/acc")]
    (tmp_path / "page/values.csv").write_text("\n".join(["report,study,setting,metric,published", *rows]))
    found = tables(tmp_path / "page")
    numbers = found["numbers"].splitlines()[2:]
    assert [line.split(" | ")[-1].strip(" |*") for line in numbers[:4]] == ["outside", "inside", "inside", "outside"]
    assert f"{mean:.2f} ± {accuracies.std():.2f} (5) | {mean - half:.2f} to {mean + half:.2f}" in numbers[0]
    assert numbers[4].endswith("| 0.0363 | not run yet | – | – |")
    (summary,) = (line for line in found["r1"].splitlines() if line.startswith("| dropout"))
    assert "(90.00) |" in summary
    assert summary.endswith("| worse |")
    assert found["search-dropout"] == "Not run yet."
    assert "| R5 | The MLP has 15,830 parameters | **not run yet** | – |" in found["claims"]


def test_a_page_and_its_tables_must_fit() -> None:
    page = "a\n<!-- table: one -->\nold\n<!-- end -->\nb\n"
    assert fill(page, {"one": "new"}) == "a\n<!-- table: one -->\nnew\n<!-- end -->\nb\n"
    with pytest.raises(ValueError, match="expected one of the tables two, got a place for one"):
        fill(page, {"two": "new"})
    with pytest.raises(ValueError, match="expected a place such as"):
        fill("a\n", {"two": "new"})


def test_the_budget_is_the_epoch_whose_mean_train_accuracy_is_nearest(tmp_path: Path) -> None:
    study = with_test_curves(study_of(tmp_path / "study", {"none": 0.9}), {"none": [0.5 + 0.02 * k for k in range(12)]})
    history = study.history.assign(**{"train/acc_online": 0.6 + 0.03 * study.history["epoch"], "probe/acc": 0.71})
    published = [Value("R2", R1, "none", "train/acc", 71.0), Value("R2", R1, "none", "test/acc", 60.0)]
    assert budgets(replace(study, history=history), published).splitlines()[2] == (
        "| none | 71.00, 60.00 | 72.00, 5 | 58.00 ± 0.00 |"
    )


def test_picking_the_epoch_on_the_test_set_reports_the_top_of_each_curve(tmp_path: Path) -> None:
    curve = [0.80, 0.86, *[0.80] * 9, 0.84]
    study = with_test_curves(study_of(tmp_path / "study", {"none": 0.9}), {"none": curve})
    assert picked(study).splitlines()[2] == "| none | 84.00 ± 0.00 | 86.00 ± 0.00 | 2.00 ± 0.00 |"


def test_a_cause_has_its_own_interval_for_each_value_that_it_tries(tmp_path: Path) -> None:
    base = study_of(tmp_path / "base", {"dropout": 0.9})
    rates = base.runs["seed"].map(lambda seed: 5e-4 if seed < 2 else 2e-3)
    losses = [0.030, 0.032, 0.040, 0.041, 0.042]
    tried = replace(base, runs=base.runs.assign(**{"config/optimizer.lr": rates, "test/loss": losses}))
    found = causes({R5: base, "r5_cause_rate": tried}, [Value("R5", R5, "dropout", "test/loss", 0.0309)]).splitlines()
    # t is 12.7 with one degree of freedom and 4.30 with two: 0.031 ± 0.022 and 0.041 ± 0.005.
    assert found[2] == "| published | 1 | 0.0309 |"
    assert found[3].startswith("| as assumed | 5 | ")
    assert found[4] == "| rate 0.0005 | 2 | 0.0310 ± 0.0014, inside |"
    assert found[5] == "| rate 0.002 | 3 | 0.0410 ± 0.0010, **outside** |"


def test_accuracy_counted_while_training_is_the_last_epochs(tmp_path: Path) -> None:
    study = study_of(tmp_path / "study", {"none": 0.9})
    counted = 0.7 + 0.01 * study.history["epoch"] + 0.002 * study.history["seed"]  # 81.0 to 81.8 % in the last epoch
    study = replace(study, history=study.history.assign(**{"train/acc_online": counted}))
    after = 100 * study.runs["train/acc"]
    shown = f"{after.mean():.2f} ± {after.std():.2f} | 81.40 ± 0.32 | 80.44 to 82.36"
    for published, place in ((82.3, "inside"), (82.4, "**outside**")):
        row = Value("R2", R1, "none", "train/acc", published)
        assert online(study, [row]).splitlines()[2] == f"| none | {published:.2f} | {shown} | {place} |"
