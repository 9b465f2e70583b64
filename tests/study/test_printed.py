"""The comparison on a terminal: sorted by effect, in colour, within 80 columns."""

import re
from pathlib import Path

import pytest
from rich.console import Console

from regbench.study import load
from regbench.study.comparisons import Comparison, comparisons
from regbench.study.printed import comparison_table
from regbench.study.statistics import compare
from tests.study.synthetic import write_study


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    settings = {"none": 0.89, "batchnorm": 0.93, "dropout p=0.5": 0.85, "weight_decay coefficient=0.001": 0.8905}
    (found,) = comparisons(load(write_study(tmp_path_factory.mktemp("sweeps") / "four", settings)))
    return found


def printed(family: Comparison, metric: str = "test/acc", *, width: int = 80, color: bool = False) -> list[str]:
    console = Console(width=width, force_terminal=color, no_color=not color, color_system="standard" if color else None)
    with console.capture() as captured:
        console.print(comparison_table(family, compare(family, metric), metric))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_settings_are_sorted_by_effect_with_their_strengths_and_the_baseline_among_them(family: Comparison) -> None:
    lines = printed(family, width=120)
    assert lines[0].split() == ["setting", "n", "test", "%", "points", "95", "%", "interval", "p", "verdict"]
    found = {each.label: each for each in compare(family)}
    order = sorted(family.labels, key=lambda label: -(found[label].mean if label in found else 0))
    named = {"dropout": "dropout p=0.5", "weight_decay": "weight_decay coefficient=0.001"}
    assert [re.split(" {2,}", line)[0] for line in lines[1:]] == [named.get(label, label) for label in order]
    (baseline,) = (line for line in lines if line.startswith("none"))
    assert baseline.split() == ["none", "5", f"{100 * family.runs_of('none')['test/acc'].mean():.2f}", "baseline"]
    (worse,) = (line for line in lines if line.startswith("dropout"))
    difference = found["dropout"]
    assert f"−{-100 * difference.mean:.2f}  −{-100 * difference.low:.2f} to −{-100 * difference.high:.2f}" in worse
    assert worse.endswith("  worse")


def test_it_fits_in_80_columns_and_breaks_names_alone(family: Comparison) -> None:
    lines = printed(family)
    assert all(len(line) <= 80 for line in lines)
    assert sum(line.endswith(("better", "worse", "baseline", "equivalent", "undecided")) for line in lines) == 4


def test_better_is_green_worse_is_red_and_nothing_else_is_coloured(family: Comparison) -> None:
    lines = printed(family, width=120, color=True)
    colours = {name: set(re.findall(r"\x1b\[(3\d)m", line)) for line in lines for name in re.findall(r"^[a-z]+", line)}
    assert colours["batchnorm"] == {"32"}
    assert colours["dropout"] == {"31"}
    assert colours["weight"] == set()


def test_of_a_loss_the_lowest_comes_first_in_its_own_unit(family: Comparison) -> None:
    lines = printed(family, "test/loss", width=120)
    assert lines[0].split()[2:5] == ["test", "loss", "difference"]
    found = {each.label: each.mean for each in compare(family, "test/loss")} | {"none": 0.0}
    assert [line.split()[0] for line in lines[1:]] == sorted(found, key=found.__getitem__)
    assert re.search(r"[+−]0\.\d{4}", lines[1])


def test_without_a_baseline_settings_are_sorted_by_their_means(tmp_path: Path) -> None:
    (family,) = comparisons(load(write_study(tmp_path / "s", {"dropout p=0.3": 0.8, "batchnorm": 0.9}, range(2))))
    lines = printed(family, width=120)
    assert [line.split()[0] for line in lines[1:]] == ["batchnorm", "dropout"]
    assert "baseline" not in " ".join(lines)
