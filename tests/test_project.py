"""The project around the code: what `make` offers, what it never touches, what is pinned."""

import re
import subprocess
import tomllib

import pytest

from tests.conftest import ROOT


def make(*arguments: str) -> str:
    done = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_make_alone_lists_every_target_with_what_it_does() -> None:
    listed = make()
    for target in re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE):
        assert re.search(rf"^{target} +\S+ \S+", listed, re.MULTILINE), target


def test_clean_touches_neither_outputs_nor_data() -> None:
    recipe = make("--dry-run", "clean")
    assert "rm -rf" in recipe
    assert not re.search(r"\b(outputs|data)\b", recipe)


@pytest.mark.parametrize(
    "target", ["train", "demo", "sweep", "tensorboard", "evaluate", "test", "test-fast", "lint", "bench", "lock"]
)
def test_every_target_that_needs_the_environment_makes_it_first(target: str) -> None:
    rules = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{target}: \$\(STAMP\)", rules, re.MULTILINE)


@pytest.mark.parametrize("target", ["demo", "sweep", "published"])
def test_a_comparison_that_the_sweep_prints_is_not_printed_again(target: str) -> None:
    recipe = make("--dry-run", target)
    assert "train.py" in recipe
    assert recipe.count("regbench report") == recipe.count("regbench report --no-table") > 0


def test_the_lock_pins_every_direct_dependency_without_hashes_or_addresses() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--hash" not in lock
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.match(r"[A-Za-z0-9-]+", each)[0].lower() for each in wanted}  # type: ignore[index]  # every requirement starts with a name
    assert names <= set(pinned)
    assert (pinned["torch"], pinned["torchvision"]) == ("2.14.1", "0.29.1")
