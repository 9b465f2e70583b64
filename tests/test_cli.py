import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from regbench.cli import app
from regbench.composition import compose
from regbench.experiment import run

MODELS = {"lenet5": 61_706, "lenet5_relu": 61_706, "lenet5_compact": 44_426, "mlp": 61_450, "mlp_small": 15_910}


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
    recorded = json.loads((finished / "results.json").read_text())["metrics"]
    assert printed_metrics(ended.output) == {name: round(value, 6) for name, value in recorded.items()}


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
            r"nowhere: expected the folder of a finished run, received no readable results\.json",
        ),
        (["evaluate"], "expected one run folder, or --weights FILE"),
        (["evaluate", "--weights", "nothing.pt"], r"nothing\.pt: no such file"),
        (["evaluate", "--weights", "{run}/checkpoints/weights.pt", "model=mlp"], "weights of another architecture"),
        (
            ["evaluate", "--weights", "{run}/checkpoints/weights.pt", "model=mpl"],
            "model: expected one of lenet5.*'mpl'",
        ),
        (["summary", "regularizer=dropuot"], "regularizer: expected one of"),
        (["summary", "model.padding=-1"], "model: padding must be at least 0"),
    ],
)
def test_bad_input_is_told_in_one_line(arguments: list[str], message: str, finished: Path) -> None:
    ended = CliRunner().invoke(app, [each.format(run=finished) for each in arguments])
    assert ended.exit_code == 1
    assert ended.stdout == ""
    assert re.fullmatch(rf"error: .*{message}.*\n", ended.stderr)


def test_a_damaged_configuration_is_named(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"status": "finished"}')
    (tmp_path / "config.yaml").write_text("config: [unclosed")
    ended = CliRunner().invoke(app, ["evaluate", str(tmp_path)])
    assert ended.exit_code == 1
    assert re.fullmatch(r"error: .*config\.yaml: missing or damaged.*\n", ended.stderr)


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
