"""`regbench new`: the files that it writes run as they are, by the commands that it and the pages name."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from regbench.config import compose
from regbench.runs.parts import build_measures
from regbench.templates import write_part
from tests.commands import Command
from tests.conftest import ROOT

KINDS = ("regularizer", "model", "optimizer")
PAGES = {kind: ROOT / f"docs/own-{kind}.md" for kind in KINDS}
QUICK = "dataset.train_size=100 trainer.max_epochs=1 threads=1 logger=none"
LONG = "a_name_that_is_as_long_as_a_name_can_be_x"


def commands_of(page: Path) -> list[str]:
    """Return the commands with which a page begins."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def quick(line: str) -> str:
    """Return what makes a training quick."""
    if "regbench train" not in line:
        return ""
    model = "" if "model=" in line else "model=mlp_small"
    return f"{QUICK} {model}{' hydra/launcher=basic' if ' -m ' in line else ''}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_page_writes_trains_by_its_commands_outside_of_the_repository(
    kind: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, following, *others = commands_of(PAGES[kind])
    written = command(*shlex.split(first))
    assert written.status == 0, written.err
    assert written.out.endswith(f"Next: {following}\n")
    monkeypatch.syspath_prepend(str(tmp_path / "my"))
    for line in (following, *others):
        ended = command(*shlex.split(f"{line} {quick(line)}".removeprefix("PYTHONPATH=my ")))
        assert ended.status == 0, ended.err
    name = shlex.split(first)[-1]
    runs = [json.loads(path.read_text()) for path in tmp_path.rglob("results.json")]
    alone, *swept = [each for each in runs if each["setting" if kind == "regularizer" else kind] == name]
    assert {each["status"] for each in runs} == {"finished"}
    assert alone["acted"] == ({name: True} if kind == "regularizer" else None)
    assert len(swept) == (kind == "optimizer")  # the page compares it with another one


def test_a_metric_is_written_that_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = write_part("metric", "my_worst_class", tmp_path)
    assert written.config == tmp_path / "configs/metrics/my_worst_class.yaml"
    assert "metrics=my_worst_class" in written.command
    monkeypatch.syspath_prepend(str(tmp_path))
    metrics = compose(["dataset=digits", "metrics=my_worst_class"], tmp_path / "configs")["metrics"]
    labels = torch.arange(20) % 10
    logits = torch.nn.functional.one_hot(labels, 10).float()
    logits[0] = logits[1]
    assert build_measures(metrics, 10).score(logits, labels) == {"my_worst_class": 0.5}


@pytest.mark.parametrize("kind", [*KINDS, "metric"])
def test_what_is_written_is_clean_under_the_repositorys_style(kind: str, tmp_path: Path) -> None:
    for name in ("x", LONG[:40]):
        code = write_part(kind, name, tmp_path).code  # type: ignore[arg-type]  # one of them
        for action in (["check"], ["format", "--check"]):
            call = [
                sys.executable,
                "-m",
                "ruff",
                *action,
                "--no-cache",
                "--config",
                str(ROOT / "pyproject.toml"),
                str(code),
            ]
            done = subprocess.run(call, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("regularizer", "My-Technique", "expected up to 40 small letters, digits and _, .*'My-Technique'"),
        ("regularizer", "lambda", "of which a Python module may be called, such as my_regularizer; received 'lambda'"),
        ("model", LONG, f"received '{LONG}'"),
        ("regularizer", "random_scale", "random_scale means something else in YAML or in the file that is written"),
        ("model", "on", "on means something else in YAML"),
        ("regularizer", "dropout", "regularizer=dropout is RegBench's own; give another name"),
        ("model", "random", "random: expected a name that no Python module has"),
        ("model", "torch", "torch: expected a name that no Python module has"),
    ],
)
def test_a_name_that_is_none_or_taken_is_refused_in_one_line(
    kind: str,
    name: str,
    message: str,
    command: Command,
    tmp_path: Path,
) -> None:
    ended = command("regbench", "new", kind, name)
    assert ended.status == 1
    assert ended.err.count("\n") == 1
    assert re.search(message, ended.err)
    assert not any(tmp_path.iterdir())


def test_nothing_that_is_there_is_replaced(command: Command, tmp_path: Path) -> None:
    assert command("regbench", "new", "model", "mine", "--dir", "here").status == 0
    (tmp_path / "here/mine.py").write_text("changed")
    for kind in ("model", "regularizer"):
        ended = command("regbench", "new", kind, "mine", "--dir", "here")
        assert ended.status == 1
        assert ended.err == (
            "error: here/mine.py: there already, and nothing is replaced; give another name, or another --dir\n"
        )
    assert (tmp_path / "here/mine.py").read_text() == "changed"
    assert not (tmp_path / "here/configs/regularizer").exists()


def test_a_folder_that_cannot_be_written_is_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = command("regbench", "new", "optimizer", "mine", "--dir", "file/my")
    assert ended.status == 1
    assert ended.err == "error: file/my: cannot be written (Not a directory); give another --dir\n"


def test_summary_and_evaluate_know_configurations_of_ones_own(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert command("regbench", "new", "model", "narrow_network").status == 0
    monkeypatch.syspath_prepend(str(tmp_path / "my"))
    chosen = ["--config-dir", "my/configs", "model=narrow_network", "dataset=digits"]
    shown = command("regbench", "summary", *chosen)
    # 8 kernels of 3×3 and 8 biases; 8 maps of 14×14 to 32 units; 32 units to 10 classes.
    assert f"{8 * 9 + 8 + 8 * 14 * 14 * 32 + 32 + 32 * 10 + 10:,}" in shown.out
    without = command("regbench", "summary", *chosen[2:])
    assert without.status == 1
    assert "model: expected one of" in without.err

    import torch

    from regbench.config import compose
    from regbench.runs.parts import build

    net = build(compose(chosen[2:], "my/configs")).classifier.net
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    scored = command("regbench", "evaluate", "--weights", "weights.pt", *chosen)
    assert scored.status == 0, scored.err
    assert "test/acc" in scored.out
    missing = command("regbench", "evaluate", "--weights", "weights.pt", "--config-dir", "nowhere", "dataset=digits")
    assert missing.status == 1
    assert missing.err == "error: --config-dir nowhere: no such folder\n"
    of_a_run = command("regbench", "evaluate", "outputs/runs/some", "--config-dir", "my/configs")
    assert of_a_run.err.startswith("error: --config-dir: expected with --weights alone")
