"""What a loaded study answers in Python is what its report says."""

import html
import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from regbench import load_study
from regbench.cli import app
from regbench.study.loaded import LoadedStudy
from tests.study.synthetic import write_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("sweeps") / "four_way", epochs=4, test_size=500)


@pytest.fixture(scope="module")
def study(folder: Path) -> LoadedStudy:
    return load_study(folder)


@pytest.fixture(scope="module")
def two_families(tmp_path_factory: pytest.TempPathFactory) -> LoadedStudy:
    root = tmp_path_factory.mktemp("sweeps")
    settings = {"none": 0.89, "dropout p=0.5": 0.9}
    write_study(root / "two", settings, range(2), epochs=2, test_size=100)
    return load_study(write_study(root / "two", settings, range(2), epochs=2, test_size=100, model="mlp"))


def test_a_study_tells_in_a_line_what_it_holds(study: LoadedStudy, tmp_path: Path) -> None:
    assert repr(study) == "<four_way: 20 finished runs of 4 settings, 5 seeds>"
    half = write_study(tmp_path / "half", {"none": 0.9, "dropout": 0.9}, range(2), status={("dropout", 1): "failed"})
    assert repr(load_study(half)) == "<half: 3 finished runs of 2 settings, 2 seeds, 1 without a result>"


def test_a_comparison_is_the_table_that_the_report_writes_with_its_sentences(
    study: LoadedStudy, folder: Path, unrendered: None
) -> None:
    assert CliRunner().invoke(app, ["report", str(folder)]).exit_code == 0
    compared = study.compare()
    written = (folder / "report/comparison.csv").read_text()
    assert compared.drop(columns="sentence").to_csv(index=False) == written
    page = html.unescape(re.sub(r"<[^>]+>", " ", (folder / "report/report.html").read_text(encoding="utf-8")))
    baseline, *sentences = compared["sentence"]
    assert baseline == ""
    for each in sentences:
        verdict, _, evidence = each.partition(": ")
        assert evidence
        assert verdict in page
        assert evidence.partition(";")[0] in " ".join(page.split())


def test_a_comparison_has_the_mean_of_the_paired_differences_of_any_metric(study: LoadedStudy) -> None:
    table = study.runs.pivot(index="seed", columns="label", values="test/loss")
    compared = study.compare(baseline="dropout", metric="test/loss").set_index("label")
    assert compared.loc["none", "difference"] == pytest.approx((table["none"] - table["dropout"]).mean())
    assert np.isnan(compared.loc["dropout", "difference"])
    assert "equivalent" not in set(compared["verdict"])


def test_a_wide_margin_makes_undecided_settings_equivalent(study: LoadedStudy) -> None:
    verdicts = study.compare(margin=0.2).set_index("label")["verdict"]
    assert verdicts["weight_decay"] == "equivalent"


def test_the_report_is_that_of_the_command_to_the_byte(study: LoadedStudy, folder: Path, unrendered: None) -> None:
    CliRunner().invoke(app, ["report", str(folder), "--baseline", "dropout", "--margin", "0.5"])
    before = {path: path.read_bytes() for path in (folder / "report").rglob("*") if path.is_file()}
    (folder / "report/report.html").unlink()
    assert study.report(baseline="dropout", margin=0.005) == folder / "report/report.html"
    assert {path: path.read_bytes() for path in (folder / "report").rglob("*") if path.is_file()} == before


def test_a_report_goes_where_it_is_told(study: LoadedStudy, tmp_path: Path, unrendered: None) -> None:
    page = study.report(tmp_path / "there")
    assert page == tmp_path / "there/report.html"
    assert page.is_file()


def test_one_runs_report_from_python_is_the_run_report(folder: Path, tmp_path: Path, unrendered: None) -> None:
    run = next(folder.glob("*/none-*/seed0"))
    page = load_study(run).report(tmp_path)
    assert "none, seed 0" in page.read_text()


@pytest.mark.parametrize(
    "name", ["advantage", "differences", "seeds", "pairs", "gap", "power", "convergence", "reliability"]
)
def test_every_figure_of_the_report_can_be_had_changed_and_saved(name: str, study: LoadedStudy, tmp_path: Path) -> None:
    settings = dict(mpl.rcParams)
    figure = getattr(study.plot, name)()
    assert isinstance(figure, Figure)
    panel = figure.axes[0]
    before = panel.get_title("left")
    panel.set_title("My own title")
    # The new words stand where the old ones stood, and are not drawn over them.
    assert [panel.get_title(loc) for loc in ("left", "center", "right")] == ["My own title", "", ""]
    figure.savefig(tmp_path / "figure.svg")
    assert "My own title" in (saved := (tmp_path / "figure.svg").read_text())
    assert before == "" or f">{before}<" not in saved
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert dict(mpl.rcParams) == settings


def test_the_lead_that_is_drawn_is_that_of_the_histories(study: LoadedStudy) -> None:
    figure = study.plot.advantage("val/acc")
    (line,) = (line for line in figure.axes[0].lines if line.get_label() == "batchnorm")
    means = study.history.groupby(["label", "epoch"])["val/acc"].mean()
    assert line.get_ydata() == pytest.approx(100 * (means["batchnorm"] - means["none"]).to_numpy())


def test_what_a_setting_confuses_and_gets_wrong_can_be_drawn(study: LoadedStudy) -> None:
    for figure in (study.plot.confusion("batchnorm"), study.plot.mistakes("batchnorm")):
        texts = {text.get_text() for axes in figure.axes for text in axes.texts}
        ticks = {tick.get_text() for axes in figure.axes for tick in axes.get_yticklabels()}
        assert any("Trouser" in text for text in texts | ticks)


def test_a_family_is_drawn_by_its_title_or_its_place(two_families: LoadedStudy) -> None:
    titles = list(dict.fromkeys(two_families.compare()["comparison"]))
    assert len(titles) == 2
    by_title, by_place = two_families.plot.seeds(family=titles[1]), two_families.plot.seeds(family=1)
    drawn = [[line.get_xdata().tolist() for line in figure.axes[0].lines] for figure in (by_title, by_place)]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        ("study.compare('droput')", "baseline: expected one of batchnorm, dropout, none, weight_decay, got droput"),
        ("study.compare(metric='acc')", "metric: expected one of .*; received 'acc'; did you mean test/acc\\?"),
        ("study.compare(margin=0)", "margin: expected a difference above 0, got 0"),
        ("study.plot.advantage('test/f1')", "expected one of probe/acc, val/acc, .*; received 'test/f1'"),
        ("study.plot.convergence('lr')", "expected one of probe/acc, val/acc, .*; received 'lr'"),
        ("study.plot.confusion('droput')", "confusion: expected one of none, .*; received 'droput'"),
        ("study.plot.gap(family=1)", r"family: expected one of 0 \(fashion_mnist, lenet5, 4 epochs\); received 1"),
        ("two.plot.gap()", r"family: expected one of 0 \(.*\); 1 \(.*\); received none"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(
    ask: str, message: str, study: LoadedStudy, two_families: LoadedStudy
) -> None:
    with pytest.raises(ValueError, match=rf"^{message}$"):
        eval(ask, {"study": study, "two": two_families})


def test_accuracy_is_drawn_along_the_strength_that_was_varied(tmp_path: Path) -> None:
    settings = {f"dropout p={p}": 0.9 - p / 10 for p in (0.1, 0.3, 0.5)}
    study = load_study(write_study(tmp_path / "strengths", settings, range(3), epochs=2, noise=0))
    panel = study.plot.along().axes[0]
    means = study.runs.groupby("config/regularizer.dropout.p")["test/acc"].mean()
    drawn = [line.get_ydata() for line in panel.lines if len(line.get_xdata()) == 3]
    assert any(list(line) == pytest.approx(list(100 * means)) for line in drawn)
    assert study.plot.along("dropout p").axes[0].get_xlabel() == panel.get_xlabel()
    with pytest.raises(ValueError, match=r"^parameter: expected one of 0 \(dropout p\); received 'p'$"):
        study.plot.along("p")


def test_figures_that_need_what_a_study_lacks_say_so(tmp_path: Path, study: LoadedStudy) -> None:
    one = load_study(write_study(tmp_path / "one", {"dropout": 0.9}, range(2), epochs=2))
    for name in ("advantage", "along", "differences", "pairs", "power"):
        with pytest.raises(ValueError, match=f"^{name}: expected .*; the study has none$"):
            getattr(one.plot, name)()
    study.report(tmp_path / "report")
    with pytest.raises(ValueError, match="confusion: expected runs of none with their predictions; they were read"):
        load_study(tmp_path / "report").plot.confusion("none")
    with pytest.raises(ValueError, match="expected out=FOLDER for a report"):
        load_study(tmp_path / "report/results.csv").report()


def test_drawing_loads_no_torch(folder: Path) -> None:
    code = (
        f"import sys, regbench; regbench.load_study({str(folder)!r}).plot.differences(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
