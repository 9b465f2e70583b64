"""The notebooks of `docs/notebooks/` run as they stand, and their kept outputs are theirs."""

import json
from pathlib import Path
from typing import Any

import pytest
from tools.notebooks import run_notebook

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


def kinds(cells: list[Any]) -> list[list[str]]:
    """Return for each cell of code what its outputs are."""
    return [
        [output.get("name") or "+".join(sorted(output["data"])) for output in cell["outputs"]]
        for cell in cells
        if cell["cell_type"] == "code"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_with_small_outputs_and_no_machines_paths(path: Path) -> None:
    content = path.read_text(encoding="utf-8")
    assert len(content) < 400_000
    assert "/tmp/" not in content
    assert str(ROOT.parent) not in content
    cells = json.loads(content)["cells"]
    shown = [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]
    assert len(shown) > 8
    assert not [output for output in shown if output["output_type"] == "error" or output.get("name") == "stderr"]
    numbers = [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_as_it_stands_to_outputs_like_the_kept_ones(path: Path, tmp_path: Path) -> None:
    kept = json.loads(path.read_text(encoding="utf-8"))["cells"]
    ran = run_notebook(path, tmp_path)["cells"]
    assert kinds(ran) == kinds(kept)
    assert list(tmp_path.glob("outputs/sweeps/*/report/report.html"))
