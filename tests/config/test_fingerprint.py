"""Which code a configuration names, told from source files alone."""

import importlib.metadata
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from regbench.config import compose, fingerprint, source_code
from regbench.config.fingerprint import counted_code, recorded_code
from regbench.config.identity import config_hash, run_name

TECHNIQUE = '''
"""A technique of one's own."""
from torch import nn
from regbench.regularizers import Regularizer
from .helping import SCALE, double
import mine.deep.other as other

class Own(Regularizer):
    """Adds something."""

    def __init__(self, coefficient: float = 0.01) -> None:
        self.coefficient = coefficient  # its strength

    def penalty(self, net: nn.Module):
        import mine.lazy
        return SCALE * double(self.coefficient) * other.deep() * mine.lazy.late()
'''
FILES = {
    "__init__.py": "",
    "technique.py": TECHNIQUE,
    "helping.py": "FACTOR = 2\nSCALE = 1.0\ndef double(x):\n    return FACTOR * x\ndef unused():\n    return 1\n",
    "deep/__init__.py": "",
    "deep/other.py": (
        "from mine.deep.base import *\n\ndef deep():\n    return Base.value + TABLE[0]\nTABLE = {}\nTABLE[0] = 1\n"
    ),
    "deep/base.py": "class Base:\n    value = 1\n",
    "lazy.py": "def late():\n    return 1\n",
}
CONFIG = {"regularizer": {"own": {"_target_": "mine.technique.Own"}}}


def forget() -> None:
    """Look at the files again, as a new process does."""
    for each in (*vars(fingerprint).values(), *vars(source_code).values()):
        if hasattr(each, "cache_clear"):
            each.cache_clear()
    importlib.invalidate_caches()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """Write the package `mine`, with changes, and return what counts of its code."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(**changes: str) -> dict[str, str]:
        for name, text in {**FILES, **{key.replace("__", "/") + ".py": text for key, text in changes.items()}}.items():
            path = tmp_path / "mine" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        forget()
        return counted_code(CONFIG)

    yield write
    forget()


def test_ones_own_class_counts_and_nothing_of_it_is_imported(write: Callable[..., dict[str, str]]) -> None:
    helping = FILES["helping.py"] + "raise SystemExit('was run')\n"
    assert list(write(helping=helping)) == ["mine.technique.Own"]
    assert not [name for name in sys.modules if name.partition(".")[0] == "mine"]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("technique", "double(self.coefficient)", "double(self.coefficient + 1)"),
        ("technique", "coefficient: float = 0.01", "coefficient: float = 0.02"),
        ("technique", "coefficient: float", "coefficient: int"),
        ("helping", "SCALE = 1.0", "SCALE = 1.5"),
        ("helping", "SCALE = 1.0", "SCALE = 1"),
        ("helping", "FACTOR = 2", "FACTOR = 3"),
        ("helping", "FACTOR * x", "FACTOR + x"),
        ("deep__other", "Base.value", "2 * Base.value"),
        ("deep__other", "TABLE[0] = 1", "TABLE[0] = 2"),
        ("deep__base", "value = 1", "value = 2"),
        ("lazy", "return 1", "return 2"),
    ],
)
def test_a_change_of_the_class_or_of_anything_that_it_uses_counts(
    file: str, old: str, new: str, write: Callable[..., dict[str, str]]
) -> None:
    before = write()
    text = FILES[f"{file.replace('__', '/')}.py"]
    assert old in text
    assert write(**{file: text.replace(old, new)}) != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("technique", '"""Adds something."""', '"""Adds something else."""\n    # And more.'),
        ("technique", "  # its strength", ""),
        ("technique", "SCALE, double", "(\n    double,\n    SCALE,\n)"),
        ("technique", "net: nn.Module):", "net: 'nn.Module') -> object:"),
        ("technique", "    def penalty", "\n\n\n    def penalty"),
        ("helping", "SCALE = 1.0", "SCALE: float = 1.0"),
        ("helping", "def unused():\n    return 1", "def unused():\n    return 2"),
        ("helping", "    return FACTOR * x", "    'Twice as much.'\n    return (FACTOR\n        * x)"),
    ],
)
def test_comments_docstrings_layout_and_what_is_not_used_do_not_count(
    file: str, old: str, new: str, write: Callable[..., dict[str, str]]
) -> None:
    before = write()
    assert before
    text = FILES[f"{file.replace('__', '/')}.py"]
    assert old in text
    assert write(**{file: text.replace(old, new)}) == before


def test_what_cannot_be_parsed_or_is_made_at_run_time_counts_by_its_whole_file(
    write: Callable[..., dict[str, str]],
) -> None:
    made = ["Own = type('Own', (), {})\n", "globals()['Own'] = type('Own', (), {'p': 1})\n", "class Own(:\n", "x = (\n"]
    assert len({tuple(write(technique=text).items()) for text in made}) == len(made)


def test_names_that_import_each_other_in_a_circle_end(write: Callable[..., dict[str, str]]) -> None:
    assert write(technique="from mine.lazy import Own\n", lazy="from mine.technique import Own\n") == {}
    around = "import mine.lazy\nclass Own:\n    p = mine.lazy.late\n"
    assert write(technique=around, lazy="import mine.technique\ndef late():\n    return mine.technique.Own\n")


def test_code_changes_the_folder_and_the_same_code_finds_it_again(write: Callable[..., dict[str, str]]) -> None:
    config = {**compose(["dataset=digits", "threads=1"]), **CONFIG}
    write()
    first = run_name(config)
    write(helping=FILES["helping.py"].replace("2", "3"))
    assert run_name(config) != first
    assert run_name(config).startswith("digits-lenet5/own-")
    write()
    assert run_name(config) == first


def test_an_edited_technique_of_regbench_counts_alone_and_where_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropout, none = (compose([f"regularizer={name}", "threads=1"]) for name in ("dropout", "none"))
    before = config_hash(dropout), config_hash(none)
    module = source_code.read_module("regbench.regularizers.dropout")
    edited = source_code.strip(source_code.ast.parse("class Dropout:\n    p = 0.7\n"))
    monkeypatch.setitem(module.bindings, "Dropout", edited)
    for each in (fingerprint.code_of, fingerprint._counted):
        each.cache_clear()
    try:
        assert list(counted_code(dropout)) == ["regbench.regularizers.dropout.Dropout"]
        assert config_hash(dropout) != before[0]
        assert config_hash(none) == before[1]
    finally:
        forget()


def test_classes_of_installed_packages_count_by_version_and_those_of_the_core_not_at_all() -> None:
    import filelock
    import joblib

    config = {
        "optimizer": {"_target_": "torch.optim.Adam"},
        "callbacks": {"a": {"_target_": "joblib.Memory"}, "b": [{"_target_": "filelock.FileLock"}]},
        "hydra": {"callbacks": {"c": {"_target_": "pytest.Item"}}},
    }
    assert counted_code(config) == {"joblib.Memory": f"joblib=={joblib.__version__}"}
    recorded = recorded_code(config)
    assert set(recorded) == {"torch.optim.Adam", "joblib.Memory", "filelock.FileLock"}
    assert recorded["filelock.FileLock"] == f"filelock=={filelock.__version__}"


def test_core_packages_are_recorded_by_the_distribution_that_brings_them() -> None:
    classes = ["torch.optim.Adam", "lightning_fabric.Fabric", "sklearn.svm.SVC", "PIL.Image.Image", "yaml.Loader"]
    forget()
    brought = importlib.metadata.packages_distributions()
    for each in classes:
        (name, *_) = brought[each.partition(".")[0]]
        recorded = recorded_code({"optimizer": {"_target_": each}})
        assert recorded == {each: f"{name}=={importlib.metadata.version(name)}"}


def test_a_run_of_core_packages_does_not_look_through_all_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    forget()
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: pytest.fail("looked through all"))
    recorded = recorded_code(compose(["dataset=digits"]))
    assert recorded["torch.optim.Adam"] == f"torch=={importlib.metadata.version('torch')}"
    assert "pytorch_lightning.Trainer" in recorded


def test_packages_that_ones_own_class_uses_count_by_version(write: Callable[..., dict[str, str]]) -> None:
    import joblib

    text = "import joblib\nimport math\nimport torch\nclass Own:\n    p = joblib.Memory, math.pi, torch.ones\n"
    (value,) = write(technique=text).values()
    assert value.endswith(f" joblib=={joblib.__version__}")
    assert len(value.split()) == 2


def test_a_class_that_is_not_there_counts_as_nothing() -> None:
    config = {"model": {"_target_": "nowhere.Net"}, "dataset": {"_target_": "math.pi"}, "optimizer": {"_target_": ""}}
    assert counted_code(config) == recorded_code(config) == {}


def test_a_stored_hash_does_not_depend_on_todays_files(write: Callable[..., dict[str, str]]) -> None:
    stored = config_hash(CONFIG, {"mine.technique.Own": "3f9a1c0b2d4e"})
    write()
    assert config_hash(CONFIG, {"mine.technique.Own": "3f9a1c0b2d4e"}) == stored
    assert config_hash(CONFIG, {}) != stored


def test_files_are_read_once_for_all_runs_of_a_process(
    write: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write()
    read: list[Path] = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or read_bytes(path))
    for p in range(10):
        config = {"regularizer": {"own": {**CONFIG["regularizer"]["own"], "p": p}}}
        assert counted_code(config) == first
    assert read == []


def test_the_text_of_code_is_the_same_in_every_version_of_python() -> None:
    from regbench.config.code_digest import canonical, strip

    code = textwrap.dedent(
        "class A(B):\n    @d\n    def f(self, x: int = 1, *a):\n        'doc'\n        return u'x' + x.y\n"
    )
    text = canonical(strip(source_code.ast.parse(code)))
    assert text == (
        "[ClassDef(name='A', bases=[Name(id='B',)] body=[FunctionDef(name='f', args=arguments(args=[arg(arg='self',)"
        "arg(arg='x', annotation=Name(id='int',))] vararg=arg(arg='a',) defaults=[Constant(value=1,)]) body=[Return("
        "value=BinOp(left=Constant(value='x',) op=Add() right=Attribute(value=Name(id='x',) attr='y',)))] "
        "decorator_list=[Name(id='d',)])])]"
    )
