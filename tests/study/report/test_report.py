"""The report says what the runs say, of whole and broken studies alike, and says it twice in the same bytes."""

import json
import re
import shutil
import subprocess
import sys
from html import unescape
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from regbench.cli import app
from regbench.study import load
from regbench.study.comparisons import comparisons
from regbench.study.report.files import FileNames, slug
from regbench.study.statistics import compare
from tests.study.synthetic import write_run, write_study

HOSTILE = "<script>alert(1)</script>"


def report(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def words(page):
    """The page's text, tags taken off."""
    body = re.sub(r"<(style|script)>.*?</\1>", " ", page.read_text(encoding="utf-8"), flags=re.S)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", body)))


@pytest.fixture(scope="module")
def four_way(tmp_path_factory):
    """A whole study of 4 × 5 runs and its report."""
    study = write_study(tmp_path_factory.mktemp("sweeps") / "four_way", epochs=4, track_test=True, test_size=500)
    return study, report(study)


def test_the_command_prints_a_table_of_the_verdicts_and_the_page_to_open(four_way):
    study, result = four_way
    assert result.exit_code == 0, result.output
    title, _, *rows, end, page = result.stdout.splitlines()
    assert title == "fashion_mnist, lenet5, 4 epochs"
    assert (end, page) == ("", f"Report: {study / 'report' / 'report.html'}")
    found = {each.label: each for each in compare(comparisons(load(study))[0])}
    assert len(rows) == len(found) + 1
    for label, difference in found.items():
        (row,) = (row for row in rows if row.startswith(label))
        assert row.rstrip().endswith(f"  {difference.verdict}")
        assert f"{100 * difference.low:+.2f} to {100 * difference.high:+.2f}".replace("-", "−") in row
    assert max(map(len, result.stdout.splitlines()[:-1])) <= 120


def test_the_table_is_left_away_where_a_sweep_has_printed_it(four_way, tmp_path, unrendered):
    shown = report(four_way[0], "--no-table", "--out", tmp_path)
    assert shown.exit_code == 0
    assert shown.stdout == f"Report: {tmp_path / 'report.html'}\n"


def test_every_verdict_stands_on_the_page_above_the_table(four_way):
    study, _ = four_way
    shown = words(study / "report" / "report.html")
    table = shown.index("Mean ± one standard deviation")
    for difference in compare(comparisons(load(study))[0]):
        head, _, evidence = difference.sentence.partition(": ")
        assert 0 < shown.index(evidence) < table
        assert 0 < shown.index(head) < table


@pytest.mark.parametrize(
    "name",
    [
        *("differences", "seeds", "gap", "advantage", "reliability", "samples"),
        *(f"{kind}-{split}" for kind in ("accuracy", "loss") for split in ("probe", "val", "test")),
        *(f"{kind}-{label}" for kind in ("confusion", "mistakes") for label in ("none", "batchnorm", "dropout")),
    ],
)
def test_every_figure_is_there_as_png_and_svg(four_way, name):
    figures = four_way[0] / "report" / "figures"
    assert (figures / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert ElementTree.fromstring((figures / f"{name}.svg").read_text(encoding="utf-8")).tag.endswith("svg")


@pytest.mark.parametrize("name", ["results.csv", "history.csv", "comparison.csv", "comparison.md", "comparison.tex"])
def test_the_tables_are_written_beside_the_page(four_way, name):
    assert (four_way[0] / "report" / name).stat().st_size > 0


def test_the_page_needs_nothing_but_itself(four_way):
    page = (four_way[0] / "report" / "report.html").read_text(encoding="utf-8")
    addresses = set(re.findall(r'(?:href|src)="([^"#]+)', page))
    assert all(address.startswith("data:") for address in addresses)
    assert "@import" not in page
    assert "default-src 'none'" in page
    assert not re.search(r"url\((?!#)", page)


def test_the_pages_ids_are_unique(four_way):
    page = (four_way[0] / "report" / "report.html").read_text(encoding="utf-8")
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) > 20
    assert len(ids) == len(set(ids))


def test_the_page_names_the_commands_the_configurations_and_where_it_ran(four_way):
    shown = words(four_way[0] / "report" / "report.html")
    assert "python train.py -m study=four_way" in shown
    assert f"regbench report {four_way[0]}" in shown
    assert "regularizer.dropout.p" in shown
    assert "versions.torch 2.10.0" in shown


def test_the_sampling_error_of_the_test_set_is_stated(four_way):
    shown = words(four_way[0] / "report" / "report.html")
    assert "the same 500 test images" in shown
    accuracy = load(four_way[0]).runs["test/acc"].mean()
    assert f"standard error of {100 * np.sqrt(accuracy * (1 - accuracy) / 500):.2f} points" in shown


def test_a_second_report_has_the_same_bytes(four_way):
    study, _ = four_way
    folder = study / "report"
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert report(study).exit_code == 0
    after = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert before == after


@pytest.mark.usefixtures("unrendered")
def test_a_report_from_another_reports_csv_has_the_same_verdicts_and_says_where_it_goes(four_way, tmp_path):
    study, first = four_way
    missing = report(study / "report" / "results.csv")
    assert missing.exit_code == 1
    assert "--out FOLDER" in missing.output
    second = report(study / "report" / "results.csv", "--out", tmp_path / "again")
    assert second.exit_code == 0, second.output
    verdicts = [line for line in first.stdout.splitlines() if not line.startswith("Report:")]
    assert [line for line in second.stdout.splitlines() if not line.startswith("Report:")] == verdicts
    assert second.stderr.startswith("20 runs are taken from ")
    assert not list((tmp_path / "again" / "figures").glob("confusion*"))


@pytest.mark.usefixtures("unrendered")
def test_figures_of_settings_that_are_gone_go_too_and_nothing_else(tmp_path):
    study = write_study(tmp_path / "study", {"none": 0.9, "dropout": 0.91}, range(2), epochs=2, test_size=100)
    assert report(study).exit_code == 0
    figures = study / "report" / "figures"
    (figures / "mine.png").write_bytes(b"mine")
    assert (figures / "confusion-dropout.png").exists()
    shutil.rmtree(next(study.glob("*/dropout-*")))
    assert report(study).exit_code == 0
    assert not (figures / "confusion-dropout.png").exists()
    assert (figures / "confusion-none.png").exists()
    assert (figures / "mine.png").read_bytes() == b"mine"


@pytest.mark.usefixtures("unrendered")
def test_an_index_that_leads_out_of_the_folder_removes_nothing(tmp_path):
    study = write_study(tmp_path / "study", {"none": 0.9}, range(1), epochs=2, test_size=100)
    figures = study / "report" / "figures"
    figures.mkdir(parents=True)
    (figures / "index.txt").write_text("../../sweep.json\n")
    assert report(study).exit_code == 0
    assert (study / "sweep.json").exists()


@pytest.mark.usefixtures("unrendered")
def test_runs_without_a_result_are_listed_and_never_averaged(tmp_path):
    status = {
        ("dropout", 0): "failed", ("dropout", 1): "diverged", ("none", 2): "missing", ("none", 3): "running",
        ("dropout", 4): "interrupted",
    }  # fmt: skip
    study = write_study(
        tmp_path / "half", {"none": 0.9, "dropout": 0.9}, range(6), epochs=2, test_size=100, status=status
    )
    result = report(study)
    assert result.exit_code == 1, result.output
    shown = words(study / "report" / "report.html")
    assert "7 of 12 runs are finished" in shown
    for each in ("failed", "diverged", "missing", "interrupted", "out of memory"):
        assert each in shown
    assert load(study).runs.groupby("label").size().to_dict() == {"dropout": 3, "none": 4}


@pytest.mark.usefixtures("unrendered")
def test_a_study_without_any_finished_run_is_reported(tmp_path):
    study = write_study(
        tmp_path / "fresh", {"none": 0.9}, range(2), status={("none", 0): "failed", ("none", 1): "missing"}
    )
    result = report(study)
    assert result.exit_code == 1, result.output
    shown = words(study / "report" / "report.html")
    assert "No run is finished yet" in shown
    assert "out of memory" in shown


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("name", ["results.json", "history.csv", "predictions.npz"])
def test_a_damaged_file_is_named_and_left_out(tmp_path, name):
    study = write_study(tmp_path / "study", {"none": 0.9, "dropout": 0.9}, range(3), epochs=2, test_size=100)
    broken = next(study.glob("*/dropout-*/seed1")) / name
    broken.write_bytes(broken.read_bytes()[:40])
    result = report(study)
    assert result.exit_code == 1, result.output
    shown = words(study / "report" / "report.html")
    assert name in shown
    assert len(load(study).runs) == 5


@pytest.mark.usefixtures("unrendered")
def test_a_study_without_the_baseline_shows_its_numbers_and_says_so(tmp_path):
    study = write_study(tmp_path / "bare", {"dropout": 0.9, "batchnorm": 0.9}, range(2), epochs=2, test_size=100)
    result = report(study)
    assert result.exit_code == 0, result.output
    assert "nothing is compared" in words(study / "report" / "report.html")
    named = report(study, "--baseline", "dropout", "--out", tmp_path / "named")
    assert named.exit_code == 0, named.output
    assert re.search(r"^batchnorm +2 +90\.00 +\+0\.00 +– +– +too few seeds *$", named.output, re.M)


def test_one_seed_and_no_validation_are_reported_without_warnings(tmp_path):
    study = write_study(tmp_path / "one", {"none": 0.9, "dropout": 0.9}, [0], epochs=1, val_size=0, test_size=100)
    result = report(study)
    assert result.exit_code == 0, result.output
    assert not re.search(r"\bnan\b", words(study / "report" / "report.html"), flags=re.I)


def test_values_and_names_from_outside_are_text(tmp_path):
    study = write_study(
        tmp_path / "a&b <i>", {"none": 0.9, "dropout": 0.91}, range(2), epochs=2, test_size=100,
        overrides={"model.activation": HOSTILE, "dataset.classes": [HOSTILE] * 10},
    )  # fmt: skip
    write_study(study, {"none": 0.9, "dropout": 0.91}, range(2), epochs=2, test_size=100)
    assert report(study).exit_code == 0
    page = (study / "report" / "report.html").read_text(encoding="utf-8")
    assert HOSTILE not in page
    assert "<i>" not in page
    assert page.count("<script") == 1
    assert HOSTILE in words(study / "report" / "report.html")


def test_a_strength_sweep_shows_what_validation_picks(tmp_path):
    accuracies = {"none": 0.88, "dropout p=0.1": 0.89, "dropout p=0.3": 0.93, "dropout p=0.5": 0.88}
    study = write_study(tmp_path / "strength", accuracies, range(3), epochs=2, test_size=200)
    result = report(study)
    assert result.exit_code == 0, result.output
    assert "Chosen on validation data: dropout p: 0.3\n" in result.output
    assert list((study / "report" / "figures" / "axes").glob("dropout-p-accuracy.svg"))
    assert "0.3 (picked)" in words(study / "report" / "report.html")


@pytest.mark.usefixtures("unrendered")
def test_models_and_data_sets_are_laid_side_by_side(tmp_path):
    for dataset in ("digits", "fashion_mnist"):
        for model in ("lenet5", "mlp"):
            write_study(
                tmp_path / "grid", {"none": 0.9, "dropout": 0.91}, range(2), epochs=2, test_size=100,
                dataset=dataset, model=model,
            )  # fmt: skip
    result = report(tmp_path / "grid")
    assert result.exit_code == 0, result.output
    assert "\nfashion_mnist, mlp, 2 epochs\n" in result.output
    shown = words(tmp_path / "grid" / "report" / "report.html")
    assert "Side by side" in shown
    assert len(list((tmp_path / "grid" / "report" / "figures").glob("*/differences.svg"))) == 4


@pytest.mark.usefixtures("unrendered")
def test_several_studies_are_reported_together(tmp_path):
    first = write_study(tmp_path / "first", {"none": 0.9}, range(2), epochs=2, test_size=100)
    second = write_study(tmp_path / "second", {"dropout": 0.9}, range(2), epochs=2, test_size=100)
    assert "--out" in report(first, second).output
    result = report(first, second, "--out", tmp_path / "both")
    assert result.exit_code == 0, result.output
    assert "first + second" in words(tmp_path / "both" / "report.html")
    assert re.search(r"^dropout p=0\.5 +2 +.* too few seeds *$", result.output, re.M)


def test_a_single_run_is_reported_without_statistics(tmp_path):
    run = write_run(tmp_path / "runs", "dropout", epochs=5, test_size=200)
    result = report(run)
    assert result.exit_code == 0, result.output
    shown = words(run / "report" / "report.html")
    stored = json.loads((run / "results.json").read_text())
    assert f"{100 * stored['metrics']['test/acc']:.2f} %" in shown
    assert f"chosen epoch {stored['best_epoch'] + 1} of 5" in shown
    assert "interval" not in shown
    for name in ("accuracy", "loss", "confusion", "mistakes", "samples"):
        assert (run / "report" / "figures" / f"{name}.svg").exists()
    assert "Most confused pairs" in shown


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("status", ["failed", "diverged", "interrupted", "running"])
def test_an_unfinished_run_is_reported_as_far_as_it_came(tmp_path, status):
    run = write_run(tmp_path / "runs", "dropout", epochs=3, test_size=100, status=status)
    result = report(run)
    assert result.exit_code == (1 if status in {"failed", "diverged"} else 0), result.output
    assert "not finished" in words(run / "report" / "report.html")
    assert (run / "report" / "figures" / "loss.svg").exists() == (run / "history.csv").exists()


def test_an_unfinished_run_of_schema_1_shows_the_training_subsets_curves(tmp_path):
    run = write_run(tmp_path / "runs", "dropout", epochs=3, test_size=100, status="diverged")
    history = run / "history.csv"
    history.write_text(history.read_text().replace("probe/loss,probe/acc", "train/loss,train/acc", 1))
    assert report(run).exit_code == 1
    assert "training subset" in (run / "report" / "figures" / "accuracy.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [["nowhere"], ["nowhere/results.csv", "--out", "x"]])
def test_a_wrong_path_is_one_line_and_exit_code_one(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    result = report(*arguments)
    assert result.exit_code == 1
    assert result.output.startswith("error: ")
    assert "nowhere" in result.output
    assert len(result.output.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_baseline_that_no_run_has_is_named_with_those_there_are(four_way, tmp_path):
    result = report(four_way[0], "--baseline", "mixup", "--out", tmp_path / "x")
    assert result.exit_code == 1
    assert "mixup" in result.output
    assert "dropout" in result.output


def test_help_loads_neither_pandas_nor_matplotlib():
    code = (
        "import sys; from typer.testing import CliRunner; from regbench.cli import app; "
        "assert CliRunner().invoke(app, ['report', '--help']).exit_code == 0; "
        "print({'pandas', 'matplotlib', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_reporting_loads_no_torch():
    code = "import sys, regbench.study.report; print({'torch', 'hydra'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_file_names_of_figures_are_plain_and_never_twice():
    names = FileNames("01-x")
    assert names("confusion", "../../etc <b>") == "01-x/confusion-etc-b"
    assert names("confusion", "../../etc <B>") == "01-x/confusion-etc-b-2"
    assert slug("…") == "unnamed"
