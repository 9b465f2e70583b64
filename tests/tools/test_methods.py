import re

import pytest
from tools.methods import render

from regbench.config.composing import CONFIGS
from tests.conftest import ROOT

PAGE = ROOT / "docs/methods.md"


def names(group: str) -> list[str]:
    return [path.stem for path in (CONFIGS / group).glob("*.yaml") if path.stem != "none"]


def test_the_page_is_what_make_methods_writes() -> None:
    assert PAGE.read_text() == render(), "run make methods"
    assert "$(BIN)/python -m tools.methods docs/methods.md" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("name", names("regularizer"))
def test_every_technique_has_a_whole_card(name: str) -> None:
    (card,) = (card for card in render().split("\n## ") if f"# configs/regularizer/{name}.yaml" in card)
    for part in ("Equation", "Where and when", "Interactions", "Source"):
        assert re.search(rf"^- \*\*{part}\*\*: \S", card, re.MULTILINE), part
    keys = re.findall(r"^  (\w+): ", card.split("```yaml")[1], re.MULTILINE)
    assert [key for key in keys if key != "_target_"] == re.findall(r"^  - `(\w+)`: \S", card, re.MULTILINE)


@pytest.mark.parametrize("name", names("callbacks"))
def test_every_callback_has_a_card_with_its_source(name: str) -> None:
    (card,) = (card for card in render().split("\n## ") if f"# configs/callbacks/{name}.yaml" in card)
    assert re.search(r"^- \*\*Source\*\*: \S", card, re.MULTILINE)
    assert len(card.split("\n")[2]) > 100


def test_the_cards_own_names_are_told_apart() -> None:
    titles = re.findall(r"^## (.+)$", render(), re.MULTILINE)
    assert len(titles) == len(set(titles)) == len(names("regularizer")) + len(names("callbacks"))
