"""docs/scaling.md tells what was measured."""

import json
import re

from tools.scaling import FIGURES, curves, main

from tests.commands import ROOT

MEASURED = json.loads(FIGURES.read_text(encoding="utf-8"))


def test_the_table_shows_what_was_measured() -> None:
    page = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| ([\d,]+)(?: \(([\d,]+) settings\))? \| \S+ \| (\S+) \| (\S+) \| (\S+) \|", page, re.MULTILINE
    )
    assert len(rows) == len(MEASURED["after"])
    for (runs, settings, *shown), measured in zip(rows, MEASURED["after"], strict=True):
        assert int(runs.replace(",", "")) == measured["runs"]
        assert settings in {"", f"{measured['settings']:,}"}
        for text, part in zip(shown, ("cold", "warm", "report"), strict=True):
            seconds = measured[part]["cpu"]
            assert abs(float(text) - seconds) <= (0.05 if "." in text else 0.55), (runs, part)


def test_each_part_has_a_curve_before_and_now(tmp_path, monkeypatch) -> None:
    drawn = curves(MEASURED)
    for before, now in drawn.values():
        assert len(before) >= 2
        assert [runs for runs, _ in now] == sorted({runs for runs, _ in now})
        assert now[-1][0] >= 100_000
    monkeypatch.setattr("tools.scaling.PLOT", tmp_path / "plot.png")
    main()
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
