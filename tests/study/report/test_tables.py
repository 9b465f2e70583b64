import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from regbench.study import Study, load
from regbench.study.comparisons import comparisons
from regbench.study.report.tables import comparison_table, latex, markdown, write_tables
from regbench.study.statistics import compare
from tests.study.synthetic import judged, write_study

SETTINGS = {"none": 0.89, "dropout p=0.1": 0.88, "dropout p=0.5": 0.87, "weight_decay": 0.9}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return load(write_study(tmp_path / "study", SETTINGS, range(3), epochs=3, status={("weight_decay", 2): "failed"}))


def test_one_row_per_setting_with_the_numbers_of_its_runs(study: Study) -> None:
    (family,) = comparisons(study)
    differences = compare(family)
    table = comparison_table(family, differences).set_index("label")
    assert list(table.index) == list(family.labels)
    for label, rows in study.runs.groupby("label"):
        row = table.loc[label]
        assert row["n"] == len(rows)
        for name in ("train/acc", "val/acc", "test/acc", "test/loss", "test/ece", "gap", "seconds/total"):
            assert row[name] == pytest.approx(rows[name].mean())
            assert row[f"{name} sd"] == pytest.approx(rows[name].std())
        assert row["best_epoch"] == pytest.approx(rows["best_epoch"].mean() + 1)
        assert row["parameters"] == rows["parameters"].iloc[0]
    for difference in differences:
        assert table.loc[difference.label, "difference"] == difference.mean
        assert table.loc[difference.label, "verdict"] == difference.verdict
    assert pd.isna(table.loc["none", "difference"])
    assert table.loc["weight_decay", ["n", "pairs"]].tolist() == [2, 2]


def test_what_is_written_reads_back_as_the_same_study(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "report"
    write_tables(study, judged(study), out)
    for path in (out, out / "results.csv"):
        again = load(path)
        assert again.name == study.name
        pd.testing.assert_frame_equal(again.runs.drop(columns="folder"), study.runs.drop(columns="folder"))
        assert set(again.runs["folder"]) == {""}
        pd.testing.assert_frame_equal(again.history, study.history)
        pd.testing.assert_frame_equal(again.unfinished, study.unfinished)
        for key, config in again.configs.items():
            assert config.get("regularizer", {}).keys() == study.configs[key]["regularizer"].keys()
            assert config["optimizer"]["lr"] == 0.001
    assert compare(comparisons(load(out))[0]) == compare(comparisons(study)[0])


def test_a_history_with_the_former_column_names_reads_as_one_of_today(study: Study, tmp_path: Path) -> None:
    write_tables(study, [], tmp_path / "report")
    history = tmp_path / "report" / "history.csv"
    history.write_text(history.read_text().replace("probe/loss,probe/acc", "train/loss,train/acc", 1))
    pd.testing.assert_frame_equal(load(tmp_path / "report").history, study.history)


def test_tables_written_from_tables_are_the_same_bytes(study: Study, tmp_path: Path) -> None:
    write_tables(study, judged(study), tmp_path / "first")
    again = load(tmp_path / "first")
    write_tables(again, judged(again), tmp_path / "second")
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == [f"comparison.{kind}" for kind in ("csv", "md", "tex")] + [
        "history.csv",
        "provenance.json",
        "results.csv",
    ]
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_a_study_and_its_own_table_count_once(study: Study, tmp_path: Path) -> None:
    write_tables(study, [], tmp_path / "report")
    both = load(tmp_path / "study", tmp_path / "report")
    assert len(both.runs) == len(study.runs)
    assert len(both.unfinished) == len(study.unfinished)
    assert both.name == "study"


def test_tables_of_two_studies_keep_apart_what_each_held_constant(tmp_path: Path) -> None:
    for name, rate in (("slow", 1e-4), ("fast", 1e-2)):
        study = load(write_study(tmp_path / name, {"none": 0.9}, range(2), epochs=1, overrides={"optimizer.lr": rate}))
        write_tables(study, [], tmp_path / f"{name}-report")
    both = load(tmp_path / "slow-report", tmp_path / "fast-report")
    assert sorted(both.runs["config/optimizer.lr"].unique()) == [1e-4, 1e-2]


def test_the_table_names_unfinished_runs_and_no_place_of_this_machine(study: Study, tmp_path: Path) -> None:
    write_tables(study, [], tmp_path / "report")
    text = (tmp_path / "report" / "results.csv").read_text()
    assert str(tmp_path) not in text
    table = pd.read_csv(tmp_path / "report" / "results.csv")
    assert table["status"].value_counts().to_dict() == {"finished": 11, "failed": 1}
    assert table.loc[table["status"] == "failed", "reason"].item() == "RuntimeError: out of memory"


def test_a_table_from_before_a_metric_was_added_is_read_with_an_empty_column(study: Study, tmp_path: Path) -> None:
    write_tables(study, [], tmp_path)
    pd.read_csv(tmp_path / "results.csv").drop(columns="test/ece").to_csv(tmp_path / "results.csv", index=False)
    again = load(tmp_path)
    assert again.runs["test/ece"].isna().all()
    (family,) = comparisons(again)
    assert comparison_table(family, compare(family))["test/ece"].isna().all()


def test_a_table_without_accuracies_is_refused(study: Study, tmp_path: Path) -> None:
    write_tables(study, [], tmp_path)
    pd.read_csv(tmp_path / "results.csv").drop(columns="test/acc").to_csv(tmp_path / "results.csv", index=False)
    with pytest.raises(ValueError, match="expected the column test/acc"):
        load(tmp_path)


def test_a_study_without_finished_runs_has_tables(tmp_path: Path) -> None:
    study = load(write_study(tmp_path / "study", {"none": 0.9}, [0], status={("none", 0): "diverged"}))
    write_tables(study, judged(study), tmp_path / "report")
    again = load(tmp_path / "report")
    assert again.runs.empty
    assert again.unfinished["status"].tolist() == ["diverged"]


def test_people_read_percent_and_points(study: Study) -> None:
    (family,) = comparisons(study)
    table = comparison_table(family, compare(family))
    lines = markdown([(family, table)]).splitlines()
    row = next(line for line in lines if line.startswith("| dropout p=0.5"))
    first = table.set_index("label").loc["dropout p=0.5"]
    assert f"{100 * first['test/acc']:.2f} ± {100 * first['test/acc sd']:.2f}" in row
    assert f"−{100 * -first['difference']:.2f}" in row
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1


def test_people_read_the_strengths_of_techniques_whether_or_not_they_differ(study: Study) -> None:
    (family,) = comparisons(study)
    pair = (family, comparison_table(family, compare(family)))
    names = ["none", "dropout p=0.1", "dropout p=0.5", "weight_decay (coefficient = 0.001)"]
    shown = [line.split(" | ")[0].removeprefix("| ") for line in markdown([pair]).splitlines() if line.startswith("| ")]
    assert shown[1:] == [name.replace("_", "\\_") for name in names]
    assert r"weight\_decay (coefficient = 0.001) & 2" in latex([pair])


def test_names_cannot_break_out_of_a_table(study: Study) -> None:
    (family,) = comparisons(study)
    odd = "<script>alert(1)</script> | a_b & 50% \\ {#}"
    runs = family.runs.assign(label=family.runs["label"].replace("weight_decay", odd))
    labels = tuple(odd if label == "weight_decay" else label for label in family.labels)
    renamed = replace(family, runs=runs, labels=labels)
    pair = (renamed, comparison_table(renamed, compare(renamed)))
    text = markdown([pair])
    assert "<script" not in text
    assert r"\| a\_b &amp; 50% \\ {#}" in text
    assert r"a\_b \& 50\% \textbackslash{} \{\#\}" in latex([pair])


def test_the_latex_table_has_as_many_cells_as_columns(study: Study) -> None:
    (family,) = comparisons(study)
    lines = latex([(family, comparison_table(family, compare(family)))]).splitlines()
    columns = next(line for line in lines if "tabular" in line).split("{")[-1].strip("}")
    for line in lines:
        if line.endswith(r"\\"):
            assert line.count(" & ") == len(columns) - 1
    assert all(line.isascii() for line in lines)


def test_a_failed_write_leaves_the_old_table(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tables(study, judged(study), tmp_path / "report")
    before = (tmp_path / "report" / "history.csv").read_bytes()

    def fail(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(OSError, match="no space"):
        write_tables(study, [], tmp_path / "report")
    assert (tmp_path / "report" / "history.csv").read_bytes() == before
    assert not list((tmp_path / "report").glob(".*"))


def test_loading_and_testing_need_no_torch() -> None:
    code = "import sys, regbench.study, regbench.study.statistics; print({'torch', 'hydra'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


def test_provenance_and_commands_survive_the_reports_tables(tmp_path: Path) -> None:
    study = load(write_study(tmp_path / "study", {"none": 0.9}, range(2), epochs=1))
    write_tables(study, judged(study), tmp_path / "report")
    again = load(tmp_path / "report")
    assert study.provenance
    assert (again.provenance, again.commands) == (study.provenance, study.commands)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"commands": 1, "provenance": []}', '{"commands": [], "provenance": [1]}']
)
def test_a_damaged_provenance_file_is_named(content: str, tmp_path: Path) -> None:
    study = load(write_study(tmp_path / "study", {"none": 0.9}, range(2), epochs=1))
    write_tables(study, judged(study), tmp_path / "report")
    (tmp_path / "report/provenance.json").write_text(content)
    with pytest.raises(ValueError, match=r"provenance\.json: expected"):
        load(tmp_path / "report")
