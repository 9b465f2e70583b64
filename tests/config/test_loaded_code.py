"""Code that was edited between its import and the look at its file, and code without a file."""

import importlib
import os
import sys
from pathlib import Path

import pytest

from regbench.config import source_code
from regbench.config.fingerprint import code_of, counted_code
from regbench.config.loaded_code import check_files, check_loaded_code

OWN = """
import functools

from regbench.regularizers import Regularizer

STRENGTH = 0.01
calls = 0


def doubled(function):
    @functools.wraps(function)
    def inner(*args):
        return 2 * function(*args)

    return inner


class Own(Regularizer):
    '''Penalizes.'''

    scale: float = 2.0
    instances = 0

    def __init__(self, factor=3.0, *, power=1):
        global calls
        calls += 1
        Own.instances += 1

    @doubled
    def penalty(self, net):
        return STRENGTH * self.size(net) if net in {16, 8, 0, 24} else 0.0

    @staticmethod
    def size(net):
        return sum(each.abs().sum() for each in net.parameters())
"""
CONFIG = {"regularizer": {"own": {"_target_": "edited_technique.Own"}}}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A technique that this process has imported."""
    path = tmp_path / "edited_technique.py"
    path.write_text(OWN)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.syspath_prepend(tmp_path)
    for cached in (source_code.locate, source_code.read_module, source_code.read_source, source_code._find_module):
        cached.cache_clear()
    code_of.cache_clear()
    importlib.import_module("edited_technique")
    yield path
    del sys.modules["edited_technique"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("= 0.01", "= 10"),
        (".abs()", ".square()"),
        ("2 * function", "3 * function"),
        ("self.size", "net"),
        ("scale: float = 2.0", "scale: float = 9.0"),
        ("factor=3.0", "factor=9.0"),
        ("power=1", "power=9"),
    ],
)
def test_a_class_that_was_edited_after_its_import_is_refused(old: str, new: str, module: Path) -> None:
    module.write_text(OWN.replace(old, new))
    os.utime(module, (2_000_000_000, 2_000_000_000))  # as a later edit has it
    with pytest.raises(ValueError, match=r"^edited_technique.Own: edited_technique was edited after this process"):
        check_loaded_code(CONFIG)


def test_unedited_code_comments_and_docstrings_are_no_edit(module: Path) -> None:
    check_loaded_code(CONFIG)
    source_code.read_source.cache_clear()
    module.write_text("# A comment.\n" + OWN.replace("Penalizes.", "Penalizes all."))
    check_loaded_code(CONFIG)


def test_counters_and_sets_are_no_edit(module: Path) -> None:
    del sys.modules["edited_technique"]
    own = importlib.import_module("edited_technique").Own  # from its compiled file, where sets have another order
    own()
    check_loaded_code(CONFIG)


def test_a_compiled_file_of_other_code_with_the_same_time_and_size_is_refused(module: Path) -> None:
    status = module.stat()
    module.write_text(OWN.replace("factor=3.0", "factor=9.0"))
    os.utime(module, ns=(status.st_atime_ns, status.st_mtime_ns))
    del sys.modules["edited_technique"]
    importlib.invalidate_caches()
    compiled = Path(importlib.import_module("edited_technique").__cached__)
    with pytest.raises(
        ValueError, match=rf"^edited_technique.Own: Python takes {compiled} for the compiled .*; delete"
    ):
        check_loaded_code(CONFIG)
    compiled.unlink()
    del sys.modules["edited_technique"]
    importlib.import_module("edited_technique")
    check_loaded_code(CONFIG)


def test_an_edit_after_the_look_at_the_file_is_the_next_processs(module: Path) -> None:
    counted_code(CONFIG)
    module.write_text(OWN.replace("0.01", "10"))
    check_loaded_code(CONFIG)


def test_a_class_without_a_file_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "made_up", type(sys)("made_up"))
    for target in ("__main__.Own", "made_up.Own"):
        with pytest.raises(ValueError, match=rf"^{target}: expected a class in a file that can be imported"):
            check_files({"regularizer": {"own": {"_target_": target}}})
    check_files({"trainer": {"_target_": "pytorch_lightning.Trainer"}, "model": {"_target_": "not_there.Net"}})
