"""Every command of the README, and of the pages that begin where it ends, is run.

Where it trains, on a few of the embedded digits with one epoch.
"""

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import ROOT, Command

PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/first-comparison.md", "docs/using-runs.md")
}
START = PAGES["docs/first-comparison.md"]
BLOCKS = [
    block.splitlines()
    for block in dict.fromkeys(re.findall(r"^```bash\n(.*?)^```", "\n".join(PAGES.values()), re.MULTILINE | re.DOTALL))
]
COMMANDS = [line for block in BLOCKS for line in block]
QUICK = ["dataset=digits", "trainer.max_epochs=1", "threads=1"]
OWN = "output_penalty"  # the pages' own regularizer, which is not among those of the house


def is_here(block: list[str]) -> bool:
    """Tell whether a block's commands need nothing but what the repository holds, neither `make` nor files to write."""
    return not any(line.startswith("make ") or OWN in line for line in block)


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", START, re.DOTALL)


def test_the_readme_is_a_screen_with_two_commands_and_a_figure() -> None:
    page = PAGES["README.md"]
    assert len(page.splitlines()) <= 60
    assert len(re.findall(r"```bash\n", page)) == 2
    assert page.count("<img ") == 1


def test_the_pages_hold_the_commands_that_are_run_here() -> None:
    assert len(COMMANDS) >= 12
    assert all(command.split()[0] in {"python", "regbench", "make"} for command in COMMANDS)
    left_out = [line for block in BLOCKS if not is_here(block) for line in block]
    assert all(line.startswith("make ") or OWN in line for line in left_out)


def test_the_speed_table_is_the_one_that_was_measured() -> None:
    measured = (ROOT / "benchmarks/results.md").read_text(encoding="utf-8")
    page = (ROOT / "docs/speed.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"<!-- speed -->\n(.*?)\n<!-- end of speed -->", page, re.DOTALL)
    assert len(shown.splitlines()) >= 8
    assert shown in measured


def made_quick(arguments: list[str]) -> list[str]:
    """Keep to the embedded digits, one epoch and one process."""
    kept = [each for each in arguments if not each.startswith(("dataset=", "trainer.max_epochs="))]
    smaller = {"dataset.train_size=1000": "dataset.train_size=100", "seed=range(5)": "seed=range(2)"}
    quick = [smaller.get(each, each) for each in kept] + QUICK
    if "dataset.train_size=100" not in quick:
        quick.append("dataset.train_size=100")
    if "seeds=until_sure" in quick:
        quick.append("hydra.sweeper.stages=[2,3]")
    return [*quick, "hydra/launcher=basic"] if "-m" in quick or "seeds=until_sure" in quick else quick


def works(call: Command, line: str) -> None:
    """Type a command of a page into an empty folder, or one with what earlier commands left."""
    program, *arguments = shlex.split(line)
    if program == "python":
        program, *arguments = arguments
        ended = call(program, *(arguments if "--help" in arguments else made_quick(arguments)))
    else:
        shown = [each.replace("fashion_mnist", "digits") for each in arguments]
        found = [sorted(map(str, Path().glob(each))) if "*" in each else [each] for each in shown]
        ended = call(program, *itertools.chain(*found))
    assert ended.status == 0, f"{line}\n{ended.out}\n{ended.err}"
    assert "Traceback" not in ended.err, line
    assert ended.out.strip(), line


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in BLOCKS if is_here(block)], ids=" + ".join)
def test_the_commands_of_a_block_do_what_they_say(
    block: list[str], command: Command, request: pytest.FixtureRequest
) -> None:
    if any("outputs/sweeps" in line for line in block):  # a sweep's many figures are drawn in the tests of reports
        request.getfixturevalue("unrendered")
    if any("outputs/runs" in line for line in block):  # which the page's first run has left
        works(command, "python train.py regularizer=batchnorm")
    for line in block:
        works(command, line)


@pytest.mark.slow
def test_the_python_of_the_pages_runs_as_it_stands(tmp_path: Path) -> None:
    """One page after the other; the second page's sweep is the first one's, so its runs are there."""
    texts = [(ROOT / page).read_text(encoding="utf-8") for page in ("docs/python.md", "docs/first-comparison.md")]
    blocks = [re.findall(r"```python\n(import regbench\n.*?)```", text, re.DOTALL) for text in texts]
    assert [len(each) for each in blocks] == [1, 1]
    code = "\n".join(each for (each,) in blocks)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "outputs/sweeps/mine/report/report.html").is_file()


@pytest.mark.slow
def test_the_regularizer_of_the_page_trains_once_its_two_files_are_written(tmp_path: Path) -> None:
    """In a copy of the repository's code and a process of its own."""
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    _, technique = code_blocks("python")
    (configuration,) = code_blocks("yaml")
    assert len([line for line in (technique + configuration).splitlines() if line.strip()]) < 20
    (tmp_path / "src/regbench/regularizers/output_penalty.py").write_text(technique)
    (tmp_path / "configs/regularizer/output_penalty.yaml").write_text(configuration)
    shutil.copy(ROOT / "train.py", tmp_path)
    (line,) = (line for line in COMMANDS if OWN in line)
    _, *arguments = shlex.split(line)
    done = subprocess.run(
        [sys.executable, *made_quick(arguments)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob(f"outputs/runs/*/dropout+{OWN}-*/seed0/results.json"))


def test_the_make_targets_of_the_pages_exist() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {line.split()[1] for line in COMMANDS if line.startswith("make ")}
    assert named <= set(targets)
    expected = "help setup train demo sweep tensorboard evaluate test test-fast lint lock clean"
    assert set(targets) >= set(expected.split(" "))


def test_the_table_of_options_is_complete() -> None:
    for group in ("dataset", "model", "regularizer", "optimizer", "scheduler", "callbacks", "metrics", "logger"):
        (row,) = re.findall(rf"^\| `{group}` \|(.*)\|$", START, re.MULTILINE)
        named = set(re.findall(r"`(\w+)`", row))
        assert named == {path.stem for path in (ROOT / "configs" / group).glob("*.yaml")}
