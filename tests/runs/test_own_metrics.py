"""`metrics=…` from the command line to reports: one study of shipped metrics and one of one's own, trained once."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from regbench.cli import app
from regbench.config import compose
from regbench.config.fingerprint import counted_code
from regbench.config.identity import config_hash
from regbench.runs.run import run, train
from regbench.study.loaded import load_study
from tests.config.test_fingerprint import forget
from tests.metrics import FILES, by_hand, write_own

METRICS = "metrics=[f1,auroc,brier,class_accuracy,worst_class]"
SMALL = ["dataset=digits", "model=mlp_small", "dataset.train_size=200", "threads=1", "compile=false", "study=study"]
Composed = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page's own metric in a folder of one's own."""
    folder = tmp_path_factory.mktemp("own")
    write_own(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder / "mine"))
        yield folder / "mine"
    forget()


@pytest.fixture(scope="module")
def study(mine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two settings on three seeds, chosen by the metric of one's own."""
    folder = tmp_path_factory.mktemp("sweeps") / "study"
    given = [*SMALL, METRICS, "monitor=val/brier", "trainer.max_epochs=2"]
    for setting in ("none", "dropout"):
        for seed in range(3):
            config = compose([*given, f"regularizer={setting}", f"seed={seed}"], mine)
            run(folder / "digits-mlp_small" / f"{setting}-{config_hash(config)}" / f"seed{seed}", config, [])
    return folder


@pytest.fixture
def copied(study: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(study, tmp_path / "study"))


def any_run(study: Path) -> Path:
    return min(study.glob("*/none-*/seed0"))


def history_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_page_asks_for_two_files_of_twenty_lines(mine: Path) -> None:
    assert [len(text.strip().splitlines()) <= 20 for name, text in FILES.items()] == [True, True]
    assert (mine / "metrics/worst_class.yaml").exists()


def test_results_and_history_have_what_was_asked_for(study: Path) -> None:
    folder = any_run(study)
    results = json.loads((folder / "results.json").read_text())
    with np.load(folder / "predictions.npz") as stored:
        expected = by_hand(stored["logits"], stored["labels"])
    metrics = results["metrics"]
    for name, value in expected.items():
        assert metrics[f"test/{name}"] == pytest.approx(value, abs=1e-5), name
        assert metrics[f"train/{name}"] is not None
    assert set(results["measured"]) == {"f1", "auroc", "brier", "class_accuracy", "worst_class"}
    described = results["measured"]["brier"]
    assert (described["words"], described["higher_is_better"], described["fraction"]) == ("Brier score", False, False)
    assert re.fullmatch(
        r"worst_class\.WorstClassAccuracy\(num_classes=10\), code [0-9a-f]{12}.*",
        results["measured"]["worst_class"]["definition"],
    )
    rows = history_of(folder)
    assert {f"{split}/{name}" for name in results["measured"] for split in ("probe", "val")} <= set(rows[0])
    assert not [name for name in rows[0] if name.startswith(("test/", "val/class_accuracy/"))]
    best = min(range(2), key=lambda epoch: float(rows[epoch]["val/brier"]))
    assert results["best_epoch"] == best
    assert metrics["val/brier"] == pytest.approx(float(rows[best]["val/brier"]), abs=1e-5)


def test_metrics_that_decide_nothing_are_no_part_of_the_hash_and_monitored_ones_are(mine: Path) -> None:
    def digits(*overrides: str) -> str:
        return config_hash(compose([*SMALL, *overrides], mine))

    assert digits() == digits(METRICS) == digits("metrics=f1", "metrics.f1.average=micro")
    watched = digits("metrics=[f1,brier]", "monitor=val/f1")
    assert len({digits(), watched, digits("metrics=f1", "monitor=val/f1", "metrics.f1.average=micro")}) == 3
    assert watched == digits("metrics=f1", "monitor=val/f1", "metrics.f1.words=other")
    assert counted_code(compose([*SMALL, "metrics=[f1,brier]", "monitor=val/brier"])) == {}
    own = compose([*SMALL, METRICS, "monitor=val/worst_class"], mine)
    assert list(counted_code(own)) == ["worst_class.WorstClassAccuracy"]
    stopping = ["callbacks=early_stopping", "callbacks.early_stopping.monitor=probe/brier"]
    assert compose([*SMALL, "metrics=brier", *stopping])["callbacks"]["early_stopping"]["mode"] == "min"
    assert (
        compose([*SMALL, "metrics=f1", "monitor=val/f1", stopping[0]])["callbacks"]["early_stopping"]["mode"] == "max"
    )


def test_a_verdict_is_worse_where_the_brier_score_is_higher_and_words_and_units_are_the_metrics(study: Path) -> None:
    loaded = load_study(study)
    by_brier, by_f1 = (loaded.compare(metric=f"test/{name}").set_index("label") for name in ("brier", "f1"))
    means = loaded.runs.groupby("label")["test/brier"].mean()
    assert by_brier.loc["dropout", "difference"] == pytest.approx(means["dropout"] - means["none"])
    sentence = by_brier.loc["dropout", "sentence"]
    assert "of test Brier score" in sentence
    assert "points" not in sentence
    assert "points of test macro F1" in by_f1.loc["dropout", "sentence"]
    assert pd.isna(by_brier.loc["dropout", "margin"])
    assert loaded.compare(metric="test/brier", margin=5.0).set_index("label").loc["dropout", "margin"] == 5.0
    with pytest.raises(ValueError, match=r"^metric: expected one of .*test/f1.*, or one by class; received 'test/f2'$"):
        loaded.compare(metric="test/f2")


def test_the_report_is_on_the_metric_that_is_asked_for(copied: Path, unrendered: None) -> None:
    ended = CliRunner().invoke(app, ["report", str(copied), "--metric", "test/worst_class", "--margin", "5"])
    assert ended.exit_code == 0, ended.output
    page = (copied / "report/report.html").read_text()
    assert "judged by test accuracy on the worst class" in page
    assert "Class accuracy by class" in page
    assert "test/worst_class is as the runs recorded it" in page
    assert "test/f1 is shown as" not in page
    assert f"regbench report {copied} --metric test/worst_class --margin 5" in page
    assert "±5 points" in page
    table = pd.read_csv(copied / "report/comparison.csv")
    assert set(table["metric"]) == {"test/worst_class"}
    assert {"test/f1", "test/brier sd"} <= set(table)
    again = load_study(copied / "report")
    pd.testing.assert_frame_equal(
        again.compare(metric="test/brier"), load_study(copied).compare(metric="test/brier"), check_exact=False
    )
    plain = CliRunner().invoke(app, ["report", str(copied), "--metric", "test/brier"])
    assert "There is no margin, so that nothing is called equivalent." in (copied / "report/report.html").read_text()
    assert plain.exit_code == 0


@pytest.mark.parametrize("name", ["f1", "auroc", "brier", "class_accuracy/3"])
def test_an_edited_metric_is_a_mismatch(copied: Path, name: str) -> None:
    path = any_run(copied) / "results.json"
    results = json.loads(path.read_text())
    results["metrics"][f"test/{name}"] += 0.01
    path.write_text(json.dumps(results))
    (row,) = load_study(copied).unfinished.to_dict("records")
    assert row["status"] == "mismatch"
    assert row["reason"].startswith(f"results.json: test/{name} is ")


def test_runs_that_lack_a_metric_or_mean_another_one_by_it_are_said(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from regbench.study.comparisons import comparisons
    from regbench.study.report import list_left_out
    from regbench.study.statistics import compare
    from regbench.sweeps.comparing import print_comparison

    path = any_run(copied) / "results.json"
    results = json.loads(path.read_text())
    whole = json.dumps(results)
    del results["measured"]["worst_class"]
    path.write_text(json.dumps(results))
    (line,) = [each for each in list_left_out(load_study(copied)) if "1 of 6 runs" in each]
    assert line.startswith("test/worst_class: 1 of 6 runs were finished without it")
    assert line.endswith("metrics=worst_class force=true trains them again: none seed 0")
    results = json.loads(whole)
    results["measured"]["worst_class"]["definition"] += "."
    path.write_text(json.dumps(results))
    with pytest.raises(ValueError, match=r"^metric: expected runs that mean the same by test/worst_class; received "):
        load_study(copied).compare(metric="test/worst_class")
    with pytest.raises(ValueError, match="by which all runs mean the same; received test/worst_class"):
        compare(comparisons(load_study(copied))[0], "test/worst_class")
    print_comparison(copied)
    assert "nothing is compared" not in capsys.readouterr().out
    with pytest.raises(ValueError, match="received 'val/worst_class'"):
        load_study(copied).plot.advantage("val/worst_class")


def test_evaluate_computes_them_again_and_imports_ones_own_only_if_it_is_trusted(study: Path) -> None:
    refused = CliRunner().invoke(app, ["evaluate", str(any_run(study))])
    assert refused.exit_code == 1
    assert "metrics.worst_class._target_: 'worst_class.WorstClassAccuracy' is neither" in refused.output
    ended = CliRunner().invoke(app, ["evaluate", str(any_run(study)), "--trust", "worst_class"])
    assert ended.exit_code == 0, ended.output
    assert re.search(r"^test/class_accuracy/9 +0\.\d{6}$", ended.output, re.MULTILINE)
    assert "as recorded in results.json" in ended.output


def micro(config: dict[str, Any]) -> dict[str, Any]:
    return {**config["metrics"]["class_accuracy"], "average": "micro"}


def test_a_resumed_run_has_the_same_history_of_each_metric(composed: Composed, tmp_path: Path) -> None:
    import pytorch_lightning as pl

    class Stopping(pl.Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            if trainer.current_epoch == 1:
                raise KeyboardInterrupt

    config = composed("metrics=[f1,class_accuracy]", "monitor=val/f1", "model=mlp_small", "trainer.max_epochs=3")
    run(tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", config, callbacks=[Stopping()])
    run(tmp_path / "stopped", config)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "other", config, callbacks=[Stopping()])
    run(tmp_path / "other", {**config, "metrics": {**config["metrics"], "class_accuracy": micro(config)}})
    other = history_of(tmp_path / "other")
    assert [bool(row["val/class_accuracy"]) for row in other] == [False, True, True]  # of one meaning alone
    whole, stopped = (history_of(tmp_path / name) for name in ("whole", "stopped"))
    assert [{**row, "seconds": ""} for row in whole] == [{**row, "seconds": ""} for row in stopped]
    assert float(whole[2]["val/f1"]) > 0


def test_a_finished_run_that_lacks_a_metric_says_so_and_stays(
    composed: Composed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, composed("model=mlp_small"))
    assert run(tmp_path, composed("model=mlp_small", "metrics=[f1,brier]")).reused
    assert "finished without metrics=f1,brier as it is now; force=true trains it again" in capsys.readouterr().err


WRONG = {
    "monitor=val/typo": r"^monitor: expected 'val/acc', 'val/loss' or 'val/f1'; received 'val/typo'",
    "monitor=test/f1": r"^monitor: expected 'val/acc', 'val/loss' or 'val/f1'; received 'test/f1'",
    "metrics.f1.higher_is_better=often": r"^metrics\.f1\.higher_is_better: expected true or false; received 'often'$",
    "~metrics.f1.higher_is_better": r"^metrics\.f1\.higher_is_better: missing; expected true or false$",
    "metrics.f1.average=mean": r"^metrics\.f1\.average: expected .*received 'mean'$",
    "+metrics.f1.avrage=macro": r"^metrics\.f1: Unexpected keyword arguments: `avrage`$",
    "metrics.f1._target_=torch.nn.Linear": r"^metrics\.f1\._target_: expected a subclass of Metric, received",
    "+metrics.acc=${metrics.f1}": r"^metrics\.acc: expected a name that no run has a number by already; received .acc",
}


@pytest.mark.parametrize(("override", "message"), WRONG.items(), ids=WRONG)
def test_what_makes_no_sense_is_refused_in_one_line(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        train(*SMALL, "metrics=f1", override, folder=tmp_path / "run")
    assert "\n" not in str(refused.value)


def test_an_unknown_metric_and_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^metrics: expected one of auroc, brier, .*; received .f2.$"):
        train(*SMALL, "metrics=f2", folder=tmp_path / "run")
    (tmp_path / "metrics").mkdir()
    for text in ("f1:\n  average: micro\n", "# @package _global_\nmetrics:\n  f1:\n    average: micro\n"):
        (tmp_path / "metrics/micro.yaml").write_text(text)
        with pytest.raises(ValueError, match=r"^metrics\.f1: expected one option that defines it, received"):
            train(*SMALL, "metrics=[f1,micro]", folder=tmp_path / "run", config_dir=tmp_path)


def test_files_for_the_whole_configuration_that_define_different_names_are_no_blend(tmp_path: Path) -> None:
    (tmp_path / "callbacks").mkdir()
    callback = "{_target_: pytorch_lightning.callbacks.LambdaCallback}"
    for name in ("early", "late"):
        text = f"# @package _global_\ncallbacks:\n  {name}: {callback}\n"
        (tmp_path / f"callbacks/own_{name}.yaml").write_text(text)
    config = compose([*SMALL, "callbacks=[own_early,own_late]"], tmp_path)
    assert list(config["callbacks"]) == ["early", "late"]
