"""Random input: valid compositions train a step, invalid ones end in one line, damaged files are named."""

import io
import re
import runpy
import shutil
import sys
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from regbench.config import compose
from regbench.config.composing import CONFIGS
from regbench.config.objects import construct
from regbench.data.sources import Source
from regbench.runs.loading import load_run
from regbench.runs.parts import build
from regbench.runs.run import run
from regbench.storage.results import read_results
from regbench.study.run_folders import read_run
from regbench.sweeps.first_checks import FirstChecks
from tests.conftest import ROOT
from tests.data.idx import FILES, trust_archives, write_archives
from tests.declared import Node, invalid_values, is_bounded, nodes, schemas
from tests.faults.counts import count

pytestmark = [pytest.mark.faults, pytest.mark.slow]

QUICK = ["dataset=digits", "trainer.max_epochs=1", "dataset.train_size=100", "threads=1"]
OPTIONS = {
    group: sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))
    for group in ("model", "regularizer", "optimizer", "scheduler")
}
FUZZ = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}

words = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)
negative = st.integers(-(10**6), -1)


def unknown(word: str) -> str:
    """A word that no option or key is called."""
    return f"{word}_zz"


def override(*choices: tuple[str, Any]) -> st.SearchStrategy[list[str]]:
    return st.one_of(*(values.map(lambda value, key=key: [f"{key}={value}"]) for key, values in choices))


def beyond(node: Node, name: str, schema: dict[str, Any]) -> st.SearchStrategy[list[str]]:
    """Choose a node's option and set an argument of it to what lies beyond the bounds that it declares."""
    low, high = (schema.get(key, schema.get(f"exclusive{key.capitalize()}")) for key in ("minimum", "maximum"))
    outside = [st.sampled_from([value for value in invalid_values(schema) if type(value) in {int, float}])]
    if low is not None:
        outside.append(st.floats(max_value=low, exclude_max=True) | st.integers(max_value=low - 1))
    if high is not None:
        outside.append(st.floats(min_value=high, exclude_min=True) | st.integers(min_value=high + 1))
    return st.one_of(outside).map(lambda value: [f"{node.group}={node.option}", f"{node.key}.{name}={value}"])


NOT_NUMBERS = words.map(unknown) | st.sampled_from(["[1,2]", "{a:1}", "null", "true_"])
STRANGERS = [
    "os.system",
    "subprocess.Popen",
    "builtins.eval",
    "torch.load",
    "pathlib.Path",
    "torch.nn.Dropout",
    "nowhere.X",
]
BOUNDED = [
    (node, name, schema)
    for node in nodes()
    for name, schema in schemas(node.cls).items()
    if is_bounded(schema) and name in node.arguments and (node.group != "dataset" or node.option == "digits")
]
INVALID: dict[str, st.SearchStrategy[list[str]]] = {
    "an option that is not there": st.tuples(
        st.sampled_from([*OPTIONS, "dataset", "experiment"]), words.map(unknown)
    ).map(lambda pair: [f"{pair[0]}={pair[1]}"]),
    "a key that is not there": st.tuples(
        st.sampled_from(["", "trainer.", "model.", "optimizer.", "dataset.", "scheduler."]), words.map(unknown)
    ).map(lambda pair: [f"{pair[0]}{pair[1]}=1"]),
    "a key added": st.tuples(st.sampled_from(["", "trainer.", "model.", "optimizer."]), words.map(unknown)).map(
        lambda pair: [f"+{pair[0]}{pair[1]}=1"]
    ),
    "no number where one is needed": st.tuples(
        st.sampled_from(["dataset.batch_size", "dataset.val_size", "trainer.max_epochs", "seed", "optimizer.lr"]),
        NOT_NUMBERS,
    ).map(lambda pair: [f"{pair[0]}={pair[1]}"]),
    "out of range": override(
        ("dataset.val_size", st.integers(1437, 10**6)),
        ("dataset.train_size", st.integers(-100, 9) | st.integers(1201, 10**6)),
        ("trainer.max_epochs", negative | st.just(0)),
        ("seed", negative),
        ("threads", negative | st.just(0)),
        ("optimizer.lr", st.floats(-1e6, -1e-6)),
    ),
    "beyond a declared bound": st.sampled_from(BOUNDED).flatmap(lambda bounded: beyond(*bounded)),
    "no name that is known": override(
        ("model.activation", words.map(unknown)),
        ("model.pooling", words.map(unknown)),
        ("monitor", words.map(unknown)),
        ("dataset.source._target_", words.map(unknown)),
    ),
    "two options of one group": st.sampled_from(["model", "optimizer", "scheduler"]).flatmap(
        lambda group: st.permutations(OPTIONS[group]).map(lambda names: [f"{group}=[{names[0]},{names[1]}]"])
    ),
    "a regularizer twice": st.sampled_from([name for name in OPTIONS["regularizer"] if name != "none"]).map(
        lambda name: [f"regularizer=[{name},{name}]"]
    ),
    "weight decay in the optimizer": st.floats(0, 1).map(lambda value: [f"+optimizer.weight_decay={value}"]),
    "a stranger's code": st.tuples(
        st.sampled_from(["model", "optimizer", "scheduler", "trainer", "dataset", "dataset.source"]),
        st.sampled_from(STRANGERS),
    ).map(lambda pair: [f"{pair[0]}._target_={pair[1]}"]),
    "a key taken away": st.sampled_from(["model.padding", "dataset.batch_size", "model.mean", "dataset.classes"]).map(
        lambda key: [f"~{key}"]
    ),
    "no override at all": st.sampled_from(["seed", "=1", "seed=[1", "seed={", "a b=1", "seed=${no}", "seed='"]).map(
        lambda text: [text]
    ),
}  # fmt: skip


def call(folder: Path, arguments: list[str], patch: pytest.MonkeyPatch) -> tuple[Any, str, str]:
    """Run train.py in this process, in a folder of its own; return its exit code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with patch.context() as within, redirect_stdout(out), redirect_stderr(err):
        within.chdir(folder)
        within.setattr(sys, "argv", ["train.py", *arguments])
        within.setattr(FirstChecks, "sweep", None)
        try:
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        except SystemExit as ended:
            return ended.code, out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("kind", INVALID)
def test_invalid_input_ends_in_one_line_and_no_traceback(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    tried: Counter[str] = Counter()

    @settings(max_examples=20, **FUZZ)
    @given(INVALID[kind])
    def check(overrides: list[str]) -> None:
        changed = {each.lstrip("+~").split("=")[0] for each in overrides}
        quick = [each for each in QUICK if each.split("=")[0] not in changed]
        code, out, err = call(tmp_path, [*quick, *overrides], monkeypatch)
        assert isinstance(code, str), (overrides, code, err)
        assert re.fullmatch(r"error: \S[^\n]*", code), (overrides, code)
        assert (out, err) == ("", "")
        assert not list(tmp_path.rglob("weights.pt"))
        tried[" ".join(overrides)] += 1

    check()
    assert tried
    count(record_property, f"invalid inputs: {kind}", len(tried))
    count(record_property, "invalid inputs tried", len(tried))


def test_random_valid_compositions_train_one_step(record_property: Any) -> None:
    techniques = [name for name in OPTIONS["regularizer"] if name != "none"]
    chosen = st.fixed_dictionaries(
        {
            "model": st.sampled_from(OPTIONS["model"]),
            "optimizer": st.sampled_from(OPTIONS["optimizer"]),
            "scheduler": st.sampled_from(OPTIONS["scheduler"]),
            "regularizer": st.lists(st.sampled_from(techniques), unique=True).map(lambda names: f"[{','.join(names)}]"),
            "dataset.batch_size": st.integers(2, 120),
            "dataset.val_size": st.integers(0, 300),
            "dataset.train_size": st.integers(10, 1000),
            "seed": st.integers(0, 2**31),
            "monitor": st.sampled_from(["val/acc", "val/loss"]),
        }
    )
    tried = Counter[str]()

    @settings(max_examples=40, **FUZZ)
    @given(chosen)
    def check(values: dict[str, Any]) -> None:
        overrides = [f"{key}={value}" for key, value in values.items()]
        built = build(compose(["dataset=digits", "threads=1", "compile=false", *overrides]))
        built.data.setup()
        images, labels = next(iter(built.data.train_dataloader()))
        configured = built.classifier.configure_optimizers()
        before = [each.clone() for each in built.classifier.net.parameters()]

        def differentiate() -> torch.Tensor:  # techniques that act on gradients want to have them computed anew
            configured["optimizer"].zero_grad()
            loss = built.classifier.batch_loss((images, labels))
            loss.backward()
            return loss

        loss = configured["optimizer"].step(differentiate)
        assert torch.isfinite(loss)
        assert F.one_hot(labels, 10).sum() == len(images)
        assert any(
            not torch.equal(old, new) for old, new in zip(before, built.classifier.net.parameters(), strict=True)
        )
        tried[" ".join(overrides)] += 1

    check()
    count(record_property, "valid compositions trained", len(tried))


damages = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 0.99)),
    st.tuples(st.just("flip"), st.floats(0, 0.999)),
    st.tuples(st.just("replace"), st.binary(max_size=40)),
)


def damage(content: bytes, how: tuple[str, Any]) -> bytes:
    kind, value = how
    if kind == "replace":
        return bytes(value)
    place = int(len(content) * value)
    return content[:place] if kind == "cut" else content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    run(folder, compose([*QUICK, "study=test"]), [])
    return folder


@pytest.mark.parametrize("name", ["results.json", "history.csv", "config.yaml"])
def test_a_damaged_file_of_a_run_is_named(name: str, finished: Path, tmp_path: Path, record_property: Any) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    content = (folder / name).read_bytes()
    whole = read_results(finished)
    assert whole is not None
    refused = Counter[str]()

    @settings(max_examples=60, **FUZZ)
    @given(damages)
    def check(how: tuple[str, Any]) -> None:
        (folder / name).write_bytes(damage(content, how))
        for read in (lambda: load_run(folder), lambda: read_run(folder, read_results(folder) or whole)):
            try:
                read()
            except ValueError as error:
                text = str(error)
                assert "\n" not in text
                assert name in text or (name == "results.json" and "history.csv" in text), text
                refused[repr(how)] += 1

    check()
    assert len(refused) > 20
    count(record_property, f"invalid inputs: damaged {name}", len(refused))
    count(record_property, "invalid inputs tried", len(refused))


def test_a_damaged_image_file_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    hashes = write_archives(tmp_path / "offered")
    trust_archives(tmp_path / "offered", monkeypatch)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "offered"))
    node = {"_target_": "regbench.data.sources.TorchvisionIDX", "dataset": "MNIST", "sha256": hashes}
    source = construct(node, Source, "dataset.source")  # type: ignore[type-abstract]  # mypy wants a concrete class for type[T]
    source.read(tmp_path / "data")
    raw = tmp_path / "data/MNIST/raw"
    whole = {name: (raw / name).read_bytes() for name in FILES}
    tried = Counter[str]()

    @settings(max_examples=40, **FUZZ)
    @given(st.sampled_from(FILES), damages)
    def check(name: str, how: tuple[str, Any]) -> None:
        (raw / name).write_bytes(damage(whole[name], how))
        with pytest.raises(ValueError, match=rf"{name}: damaged \(SHA-256") as caught:
            source.read(tmp_path / "data")
        assert "\n" not in str(caught.value)
        (raw / name).write_bytes(whole[name])
        tried[f"{name} {how}"] += 1

    check()
    count(record_property, "invalid inputs: damaged image file", len(tried))
    count(record_property, "invalid inputs tried", len(tried))
