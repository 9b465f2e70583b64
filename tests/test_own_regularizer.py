"""`docs/own-regularizer.md` followed to the letter, in a copy of the house and outside it."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow
PAGE = (ROOT / "docs/own-regularizer.md").read_text()
FILES = dict(re.findall(r"^`(\S+)`\n\n```(?:python|yaml)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]
QUICK = ["dataset=digits", "dataset.train_size=100", "trainer.max_epochs=1", "threads=1"]


# All is loaded once, and each command gets a process that has it: a copy of this one. Figures are left empty.
FORKING = """
import glob, json, os, runpy, sys
import matplotlib.backends.backend_agg, matplotlib.figure
import regbench.runs.run, regbench.cli, regbench.study.report, regbench.sweeps.command
def savefig(self, file, *, format, **options):
    file.write('<svg xmlns="http://www.w3.org/2000/svg"/>' if format == "svg" else b"\\x89PNG")
matplotlib.figure.Figure.savefig = savefig
matplotlib.backends.backend_agg.FigureCanvasAgg.print_png = lambda self, file, **options: file.write(b"\\x89PNG")
regbench.runs.run.show_predictions = lambda *arguments, **options: None
regbench.runs.run.TrainingSamples.on_train_start = lambda *arguments: None
for words, folders in json.loads(sys.argv[1]):
    sys.stdout.flush()
    child = os.fork()
    if not child:
        sys.path[:0] = folders
        sys.argv = [each for word in words for each in sorted(glob.glob(word)) or [word]]
        try:
            if words[0] == "regbench":
                from regbench.cli import app
                app()
            else:
                runpy.run_path(words[0], run_name="__main__")
        finally:
            sys.stdout.flush()
    elif status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        sys.exit(status)
    else:
        continue
    break
"""


def follow(commands: list[str], folder: Path) -> str:
    """Run commands of the page, made quick, as if the folder's sources were installed; return what they printed."""
    called = []
    for command in commands:
        words, own = shlex.split(command), []
        if words[0].startswith("PYTHONPATH="):
            own = [str(folder / words.pop(0).removeprefix("PYTHONPATH="))]
        if words[0] == "python":
            words = [*words[1:], *QUICK, *(["hydra/launcher=basic"] if "-m" in words else [])]
        called.append((words, own))
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    done = subprocess.run(
        [sys.executable, "-c", FORKING, json.dumps(called)], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def house(tmp_path: Path) -> Path:
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", tmp_path)
    return tmp_path


def test_the_recipe_is_two_files_of_fewer_than_twenty_lines_of_code() -> None:
    assert len(FILES) == 2
    code = [line for text in FILES.values() for line in text.splitlines() if line.strip()]
    assert len(code) < 20
    assert not any((ROOT / name).exists() for name in FILES)
    assert len(COMMANDS) == 4


def test_a_technique_that_is_not_in_the_house_composes_trains_sweeps_and_is_reported(house: Path) -> None:
    for name, text in FILES.items():
        (house / name).write_text(text)
    told = follow(COMMANDS[:3], house)
    (single,) = (house / "outputs/runs").rglob("config.yaml")
    assert single.parents[1].name.startswith("gradient_noise-")
    assert "std: 0.1" in single.read_text()
    runs = [json.loads(path.read_text()) for path in (house / "outputs/sweeps/own").rglob("results.json")]
    assert len(runs) == 6
    assert {run["status"] for run in runs} == {"finished"}
    assert {run["setting"] for run in runs} == {"none", "gradient_noise", "batchnorm+gradient_noise"}
    page = house / told.splitlines()[-1].removeprefix("Report: ")
    assert "gradient_noise" in page.read_text()


def test_the_same_two_files_work_from_a_folder_of_ones_own(house: Path) -> None:
    module, config = FILES
    mine = house / "mine"
    (mine / "regularizer").mkdir(parents=True)
    (mine / Path(module).name).write_text(FILES[module])
    node = FILES[config].replace("regbench.regularizers.gradient_noise.", "gradient_noise.")
    (mine / "regularizer" / Path(config).name).write_text(node)
    follow([COMMANDS[3], "PYTHONPATH=mine regbench evaluate outputs/runs/*/*/seed0 --trust gradient_noise"], house)
    assert list((house / "outputs/runs").glob("*/gradient_noise-*/seed0/results.json"))
