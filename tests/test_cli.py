import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from regbench.cli import app
from regbench.config import compose
from regbench.runs.evaluation import differences
from regbench.runs.run import run
from regbench.storage.schema import METRICS

MODELS = {"lenet5": 61_706, "lenet5_relu": 61_706, "lenet5_compact": 44_426, "mlp": 61_450, "mlp_small": 15_910,
          "resnet20": 268_746}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    config = compose(["dataset=digits", "trainer.max_epochs=2", "regularizer=dropout", "threads=1"])
    run(folder, config, [])
    return folder


def printed_metrics(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(\S+) +(-?[\d.]+)$", text, re.MULTILINE)}


def test_evaluate_prints_the_recorded_numbers_to_six_digits(finished: Path) -> None:
    ended = CliRunner().invoke(app, ["evaluate", str(finished)])
    assert ended.exit_code == 0, ended.output
    assert ended.output.endswith("as recorded in results.json\n")
    recorded = json.loads((finished / "results.json").read_text())["metrics"]
    assert printed_metrics(ended.output) == {name: round(value, 6) for name, value in recorded.items()}


@pytest.mark.parametrize(
    ("metric", "value", "line"),
    [
        ("test/acc", 0.123, r"test/acc: recorded 0\.123000, computed 0\.\d{6}"),
        ("test/loss", 0.5, r"test/loss: recorded 0\.500000, computed \d\.\d{6}"),
        ("val/ece", None, r"val/ece: recorded null, computed 0\.\d{6}"),
    ],
)
def test_evaluate_tells_a_recorded_number_that_is_not_the_computed_one(
    finished: Path, tmp_path: Path, metric: str, value: float | None, line: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    results = json.loads((folder / "results.json").read_text())
    results["metrics"][metric] = value
    (folder / "results.json").write_text(json.dumps(results))
    ended = CliRunner().invoke(app, ["evaluate", str(folder)])
    assert ended.exit_code == 1
    assert re.fullmatch(rf"error: .*/run: results\.json: {line}\n", ended.stderr)
    assert "as recorded" not in ended.stdout


def test_other_roundings_are_no_difference_and_more_images_are() -> None:
    images = {"train": 5000, "val": 500, "test": 10_000}
    recorded = dict.fromkeys(METRICS, 0.5)
    close = recorded | {"test/loss": 0.50004, "test/acc": 0.5003, "val/acc": 0.502, "test/ece": 0.5006, "gap": 0.5006}
    assert differences(close, recorded, images) == []
    apart = recorded | {"test/loss": 0.5001, "test/acc": 0.5004, "val/acc": 0.504, "test/ece": 0.501, "gap": 0.501}
    assert len(differences(apart, recorded, images)) == 5


def test_a_metric_that_was_not_measured_yet_is_no_difference() -> None:
    images = {"train": 5000, "val": 500, "test": 10_000}
    computed = dict.fromkeys(METRICS, 0.5)
    recorded = {name: value for name, value in computed.items() if name != "test/ece"}
    assert differences(computed, recorded, images) == []
    assert differences(computed, recorded | {"test/ece": None}, images) == [
        "test/ece: recorded null, computed 0.500000"
    ]


def test_evaluate_scores_a_plain_state_dict_to_the_same_numbers(finished: Path) -> None:
    weights = str(finished / "checkpoints/weights.pt")
    ended = CliRunner().invoke(app, ["evaluate", "--weights", weights, "dataset=digits", "regularizer=dropout"])
    assert ended.exit_code == 0, ended.output
    recorded = json.loads((finished / "results.json").read_text())["metrics"]
    assert printed_metrics(ended.output)["test/acc"] == round(recorded["test/acc"], 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["evaluate", "nowhere"],
            r"nowhere: expected the folder of a finished run, received no results\.json",
        ),
        (["evaluate"], "expected one run folder, or --weights FILE"),
        (["evaluate", "--weights", "nothing.pt"], r"nothing\.pt: no such file"),
        (["evaluate", "--weights", "{run}/checkpoints/weights.pt", "model=mlp"], "weights of another architecture"),
        (
            ["evaluate", "--weights", "{run}/checkpoints/weights.pt", "model=mpl"],
            "model: expected one of lenet5.*'mpl'",
        ),
        (["summary", "regularizer=dropuot"], "regularizer: expected one of"),
        (["summary", "model.padding=-1"], r"model\.padding: expected an integer of at least 0; received -1"),
    ],
)
def test_bad_input_is_told_in_one_line(arguments: list[str], message: str, finished: Path) -> None:
    ended = CliRunner().invoke(app, [each.format(run=finished) for each in arguments])
    assert ended.exit_code == 1
    assert ended.stdout == ""
    assert re.fullmatch(rf"error: .*{message}.*\n", ended.stderr)


def test_a_damaged_configuration_is_named(finished: Path, tmp_path: Path) -> None:
    shutil.copy(finished / "results.json", tmp_path)
    (tmp_path / "config.yaml").write_text("config: [unclosed")
    ended = CliRunner().invoke(app, ["evaluate", str(tmp_path)])
    assert ended.exit_code == 1
    assert re.fullmatch(r"error: .*config\.yaml: not YAML, .*\n", ended.stderr)


@pytest.mark.parametrize(("model", "count"), MODELS.items())
def test_summary_prints_each_models_count_with_its_arithmetic(model: str, count: int) -> None:
    ended = CliRunner().invoke(app, ["summary", f"model={model}"])
    assert ended.exit_code == 0
    assert re.search(rf"total +{count:,}", ended.output)
    assert ("5·5·1·6 + 6" if "lenet5" in model else "·10 + 10") in ended.output


def test_help_answers_without_importing_torch() -> None:
    for arguments in (["--help"], ["report", "--help"]):
        code = "import sys; from regbench.cli import app; "
        code += f"app({arguments}, standalone_mode=False); sys.exit('torch' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Usage:" in done.stdout
