"""A search and a sweep are not mixed: beside tuned settings, untuned ones would be compared unfairly."""

from pathlib import Path

import pytest

from regbench.search import worker
from regbench.search.command import save, tune
from regbench.search.plan import make_plan
from regbench.search.schedule import Schedule
from tests.commands import Command
from tests.search.synthetic import QUICK, Trainer, planted, search

SWEEP = [*QUICK, "regularizer=none,l1", "seed=range(2)"]
SEARCH = [*QUICK, "regularizer=none,dropout", "trials=3", "finalists=1", "finalist_seeds=1", "seeds=1"]


def contents(folder: Path) -> dict[Path, bytes]:
    """All files, but for the journal, to which each look at it adds."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "journal" not in path.name}


def test_a_sweep_into_a_searchs_folder_is_refused_and_changes_nothing(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "run", Trainer(planted))
    plan = make_plan(SEARCH)
    save(plan, Schedule(plan), "regbench tune")
    before = contents(plan.folder)
    for seeds in ("seed=range(2)", "seeds=until_sure"):
        ended = command("train.py", *([] if seeds.startswith("seeds") else ["-m"]), *SWEEP[:-1], seeds)
        assert (ended.status, ended.out) == (1, "")
        assert ended.err.startswith("error: study: expected a sweep's or a new one; outputs/sweeps/s holds a search")
        assert ended.err.count("\n") == 1
    assert contents(plan.folder) == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("trials=2", r"^trials: expected 3, as the search has, or more; received 2$"),
        ("seeds=1", r"^seeds: expected 2, as the search has, or more; received 1$"),
        (
            "regularizer=none,l1",
            r"^regularizer: expected the search's settings, dropout, none; received l1, none; give",
        ),
        ("finalists=2", r"finalists is 1 there and 2 here for none; give another study=NAME$"),
        ("finalist_seeds=2", r"finalist_seeds is 1 there and 2 here for none; give another study=NAME$"),
        ("dataset.split_seed=7", r"dataset\.split_seed is \S+ there and 7 here for none; give another study=NAME$"),
    ],
)
def test_a_call_with_another_budget_or_other_settings_is_refused(
    changed: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = [*(each for each in SEARCH if not each.startswith("seeds")), "seeds=2"]
    search(monkeypatch, Trainer(planted), *asked)
    before = contents(tmp_path)
    key = changed.partition("=")[0]
    with pytest.raises(ValueError, match=message):
        tune([*(each for each in asked if each.partition("=")[0] != key), changed])
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [("digits-lenet5/none-123456/seed0/config.yaml", "seed: 0\n"), ("sweep.json", '{"commands": [], "runs": []}')],
)
def test_a_search_in_a_sweeps_folder_is_refused_and_changes_nothing(name: str, text: str, command: Command) -> None:
    folder = Path("outputs/sweeps/s")
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text(text)
    before = contents(folder)
    ended = command("regbench", "tune", *SEARCH)
    assert (ended.status, ended.out) == (1, "")
    assert ended.err == (
        "error: study: expected one of a search, or a new one; outputs/sweeps/s holds runs that no search chose; "
        "give another study=NAME\n"
    )
    assert contents(folder) == before
