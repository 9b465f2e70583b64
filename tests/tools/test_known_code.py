"""`src/regbench/config/known_code.json` says which code of RegBench gives the numbers that stored runs have."""

import json

import pytest
from tools import known_code

from regbench.config import compose, fingerprint
from regbench.config.composing import CONFIGS
from regbench.config.identity import config_hash


def test_the_known_code_is_the_code_that_is_there() -> None:
    there = json.loads(fingerprint.KNOWN_CODE.read_text(encoding="utf-8"))
    now = json.loads(known_code.render())
    changed = sorted(name for name in {*there, *now} if there.get(name) != now.get(name))
    assert not changed, (
        "run `make known-code` if the change leaves all numbers as they are; if it alters numbers, also raise the "
        "`revision` of what was changed in src/regbench/config/known_code.json by one"
    )


@pytest.mark.parametrize("group", ["regularizer", "callbacks", "model", "optimizer", "scheduler", "dataset"])
def test_no_code_counts_in_a_configuration_of_regbenchs_own_but_raised_revisions(group: str) -> None:
    known = fingerprint.known_code().items()
    raised = {name: f"revision {entry['revision']}" for name, entry in known if entry["revision"] > 1}
    options = [path.stem for path in (CONFIGS / group).glob("*.yaml")]
    assert len(options) > 2
    # Composing takes a tenth of a second, and these groups take all of theirs at once.
    for option in [f"[{','.join(options)}]"] if group in {"regularizer", "callbacks"} else options:
        assert fingerprint.counted_code(compose([f"{group}={option}", "threads=1"])).items() <= raised.items()


def test_a_raised_revision_trains_the_runs_that_use_it_again_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    dropout, none = (compose([f"regularizer={name}", "threads=1"]) for name in ("dropout", "none"))
    before = config_hash(dropout), config_hash(none)
    name = "regbench.regularizers.dropout.Dropout"
    raised = {**fingerprint.known_code(), name: {**fingerprint.known_code()[name], "revision": 2}}
    monkeypatch.setattr(fingerprint, "known_code", lambda: raised)
    fingerprint._counted.cache_clear()
    try:
        assert fingerprint.counted_code(dropout) == {name: "revision 2"}
        assert config_hash(dropout) != before[0]
        assert config_hash(none) == before[1]
    finally:
        fingerprint._counted.cache_clear()
