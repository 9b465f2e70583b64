"""`docs/own-model.md` followed to the letter, in a copy of the house."""

import json
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_own_regularizer import follow, house  # noqa: F401 (a fixture)

pytestmark = pytest.mark.slow
PAGE = (ROOT / "docs/own-model.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`(\S+)`\n\n```(?:python|yaml)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
(SHELL,) = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_a_model_of_ones_own_folder_trains_with_every_slot_sweeps_and_is_reported(house: Path) -> None:  # noqa: F811
    assert set(FILES) == {"mine/tiny_conv.py", "mine/model/tiny_conv.yaml"}
    for name, text in FILES.items():
        (house / name).parent.mkdir(parents=True, exist_ok=True)
        (house / name).write_text(text)
    evaluate = "PYTHONPATH=mine regbench evaluate outputs/runs/*/*/seed0 --trust tiny_conv"
    told = follow([*SHELL.splitlines(), evaluate], house)
    assert "as recorded in results.json" in told
    (single,) = (house / "outputs/runs").rglob("results.json")
    assert single.parents[2].name == "digits-tiny_conv"
    # One convolution of 8 channels and a dense layer of 32: batch norm adds two numbers for each.
    hidden = 8 * 9 + 8 + 8 * 14 * 14 * 32 + 32 + 32 * 10 + 10
    assert json.loads(single.read_text())["parameters"] == hidden + 2 * (8 + 32)
    assert json.loads(single.read_text())["acted"] == {"batchnorm": True, "dropout": True}
    runs = [json.loads(path.read_text()) for path in (house / "outputs/sweeps/own").rglob("results.json")]
    assert {(run["model"], run["setting"]) for run in runs} == {
        (model, setting) for model in ("tiny_conv", "lenet5") for setting in ("none", "dropout")
    }
    assert {run["status"] for run in runs} == {"finished"}
