"""Every command of the README is run, on the embedded digits with one epoch where it trains."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) for line in block.splitlines() if line
]
QUICK = ["dataset=digits", "trainer.max_epochs=1"]


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_readme_holds_the_commands_that_are_run_here() -> None:
    assert len(COMMANDS) >= 12
    assert all(command.split()[0] in {"python", "regbench", "make"} for command in COMMANDS)


def test_the_speed_table_is_the_one_that_was_measured() -> None:
    measured = (ROOT / "benchmarks/results.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"<!-- speed -->\n(.*?)\n<!-- end of speed -->", README, re.DOTALL)
    assert len(shown.splitlines()) >= 8
    assert shown in measured


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository's code with the README's own regularizer written into it."""
    folder = tmp_path_factory.mktemp("house")
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", folder)
    (technique,), (configuration,) = code_blocks("python"), code_blocks("yaml")
    assert len([line for line in (technique + configuration).splitlines() if line.strip()]) < 20
    (folder / "src/regbench/regularizers/output_penalty.py").write_text(technique)
    (folder / "configs/regularizer/output_penalty.yaml").write_text(configuration)
    return folder


def run(command: list[str], house: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(house / "src")}
    return subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_every_python_and_regbench_command_does_what_it_says(house: Path) -> None:
    """In the README's order, since later commands use what earlier ones left."""
    for line in COMMANDS:
        program, *arguments = shlex.split(line)
        if program == "make":
            continue
        if program == "python" and "--help" not in arguments:
            kept = [each for each in arguments if not each.startswith(("dataset=", "trainer.max_epochs="))]
            smaller = {"dataset.train_size=1000": "dataset.train_size=500", "seed=range(5)": "seed=range(2)"}
            sized = [smaller.get(each, each) for each in kept]
            command = [sys.executable, *sized, *QUICK]
        elif program == "python":
            command = [sys.executable, *arguments]
        else:
            shown = [each.replace("fashion_mnist", "digits") for each in arguments]
            found = [sorted(house.glob(each)) if "*" in each else [each] for each in shown]
            code = "from regbench.cli import app; app()"
            command = [sys.executable, "-c", code, *(str(each) for group in found for each in group)]
        done = run(command, house)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, line
        assert done.stdout.strip(), line


def test_the_make_targets_of_the_readme_exist() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {line.split()[1] for line in COMMANDS if line.startswith("make ")}
    assert named <= set(targets)
    expected = "help setup train demo sweep tensorboard evaluate test test-fast lint lock clean"
    assert set(targets) >= set(expected.split(" "))


def test_the_table_of_options_is_complete() -> None:
    for group in ("dataset", "model", "regularizer", "optimizer", "scheduler", "callbacks"):
        (row,) = re.findall(rf"^\| `{group}` \|(.*)\|$", README, re.MULTILINE)
        named = set(re.findall(r"`(\w+)`", row))
        assert named == {path.stem for path in (ROOT / "configs" / group).glob("*.yaml")}
