import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from regbench.config import compose
from regbench.config.composing import CONFIGS, LIST_GROUPS, check_choices
from regbench.config.identity import config_hash, run_name, setting_name
from regbench.storage.identity import identity

Composed = Callable[..., dict[str, Any]]


def test_the_defaults_are_fashion_mnist_lenet5_without_regularization() -> None:
    config = compose()
    assert run_name(config).startswith("fashion_mnist-lenet5/none-")
    assert config["regularizer"] == {}


@pytest.mark.parametrize("override", ["regularizer=none", "regularizer=[]", "regularizer=[none]"])
def test_none_has_one_name_and_one_folder_however_it_is_written(override: str, composed: Composed) -> None:
    assert run_name(composed(override)) == run_name(composed())


def test_the_order_of_techniques_on_the_command_line_does_not_matter(composed: Composed) -> None:
    first = composed("regularizer=[batchnorm,weight_decay]")
    second = composed("regularizer=[weight_decay,batchnorm]")
    assert run_name(first) == run_name(second)
    assert setting_name(first) == "batchnorm+weight_decay"


@pytest.mark.parametrize(
    "override",
    [
        "seed=7",
        "study=other",
        "dataset.root=elsewhere",
        "dataset.margin=0.5",
    ],
)
def test_seeds_and_places_are_not_part_of_the_identity(override: str, composed: Composed) -> None:
    assert config_hash(composed(override)) == config_hash(composed())


@pytest.mark.parametrize(
    "override",
    [
        "trainer.max_epochs=2",
        "optimizer.lr=0.01",
        "optimizer=sgd",
        "scheduler=cosine",
        "dataset.batch_size=10",
        "dataset.split_seed=1",
        "dataset.train_size=100",
        "threads=2",
        "compile=true",
        "monitor=val/loss",
        "track_test=true",
        "regularizer=dropout",
        "model=mlp",
    ],
)
def test_whatever_decides_the_numbers_is_part_of_the_identity(override: str, composed: Composed) -> None:
    assert config_hash(composed(override)) != config_hash(composed())


def test_different_strengths_never_share_a_folder(composed: Composed) -> None:
    names = {run_name(composed("regularizer=dropout", f"regularizer.dropout.p={p}")) for p in (0.1, 0.2, 0.5)}
    assert len(names) == 3


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner))
)
def test_the_hash_does_not_depend_on_the_order_of_keys(value: Any) -> None:
    def turned(node: Any) -> Any:
        return {key: turned(node[key]) for key in reversed(node)} if isinstance(node, dict) else node

    config = {"trainer": value}
    assert config_hash(config) == config_hash(turned(config))
    assert re.fullmatch("[0-9a-f]{6}", config_hash(config))


def test_equal_numbers_are_alike_and_booleans_are_no_numbers() -> None:
    assert identity({"p": 0.0}) == identity({"p": 0})
    assert config_hash({"p": 1}) != config_hash({"p": True})


def test_a_run_is_compiled_only_when_its_steps_pay_for_it() -> None:
    assert compose(["trainer.max_epochs=60"])["compile"] is True
    assert compose(["trainer.max_epochs=1"])["compile"] is False
    assert compose(["trainer.max_epochs=60", "dataset.train_size=1000"])["compile"] is False
    assert compose(["trainer.max_epochs=60", "compile=false"])["compile"] is False
    resnet = ["trainer.max_epochs=60", "model=resnet20"]
    assert compose(resnet)["compile"] is False
    assert compose([*resnet, "compile=true"])["compile"] is True
    assert compose([*resnet, "trainer.accelerator=gpu"])["compile"] is True


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["regularizer=dropuot"], r"^regularizer: expected one of .*batchnorm, .*dropout,.* received 'dropuot'$"),
        (["dataset=cifar"], r"^dataset: expected one of cifar10, cifar100, digits, .*, svhn; received 'cifar'$"),
        (["trainer.max_epoch=1"], r"^trainer\.max_epoch: no such key \(did you mean max_epochs\?\); expected one of"),
        (
            ["regularizer=dropout", "regularizer.dropout.q=1"],
            r"^regularizer\.dropout\.q: no such key; expected one of p",
        ),
        (["regularizer.dropout.p=0.1"], r"^regularizer\.dropout\.p: dropout is not chosen; add regularizer=dropout$"),
        (["regularizer.dropuot.p=0.1"], r"^regularizer\.dropuot\.p: no such key$"),
        (["callbacks.ema.decay=0.9"], r"^callbacks\.ema\.decay: ema is not chosen; add callbacks=ema$"),
        (["sed=1"], r"^sed: no such key \(did you mean seed\?\)"),
        (["optimizer.weight_decay=0.1"], r"^optimizer\.weight_decay: weight decay is a regularizer .*=weight_decay"),
        (["seed=${nothing}"], r"nothing"),
        (["seed=[1"], r"seed=\[1"),
    ],
)
def test_what_does_not_compose_is_told_in_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        compose(overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=[lenet5,mlp]", r"model=\[lenet5,mlp\]: expected one option of model, received a list"),
        ("model=[lenet5,lenet5_relu]", "expected one option of model"),
        ("regularizer=[dropout,dropout]", "expected each of regularizer once"),
    ],
)
def test_choices_that_compose_but_make_no_sense_are_refused(override: str, message: str) -> None:
    compose([override])
    with pytest.raises(ValueError, match=message):
        check_choices([override])


def test_sensible_choices_pass() -> None:
    check_choices(["model=mlp", "regularizer=[dropout,batchnorm]", "regularizer=none", "seed=3", "+experiment=x"])


def test_a_yaml_of_ones_own_under_a_name_that_regbench_has_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "regularizer/dropconnect.yaml"
    own.parent.mkdir()
    own.write_bytes((CONFIGS / "regularizer/dropconnect.yaml").read_bytes())
    assert compose(["regularizer=dropconnect"], tmp_path)["regularizer"]["dropconnect"]["p"] == 0.5
    own.write_text("dropconnect: {_target_: mine.DropConnect, p: 0.9}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"^{own}: expected a name .*regularizer=dropconnect, .*; rename the file$"):
        compose(["dataset=digits"], tmp_path)


def test_a_name_that_two_options_of_a_list_define_is_refused_with_both_files(tmp_path: Path) -> None:
    names = {"regularizer": "dropout", "callbacks": "ema", "metrics": "f1", "logger": "csv"}
    for group, name in names.items():
        (tmp_path / group).mkdir()
        (tmp_path / group / "mine.yaml").write_text(f"mine: {{_target_: a.B}}\n{name}: {{_target_: a.C}}\n")
    (tmp_path / "regularizer/both.yaml").write_text("defaults: [dropout, _self_]\ndropout: {p: 0.1}\n")
    lists = [f"{group}=[{name},mine]" for group, name in names.items()]
    for override in (*lists, "regularizer=[mine,dropout]", "regularizer=[both,mine]"):
        group = override.partition("=")[0]
        expected = rf"^{group}\.{names[group]}: expected one option .*{group}/mine\.yaml.* name in one of them$"
        with pytest.raises(ValueError, match=expected):
            compose([override], tmp_path)
    assert compose(["regularizer=[both]"], tmp_path)["regularizer"]["dropout"]["p"] == 0.1
    (tmp_path / "experiment").mkdir()
    choice = "# @package _global_\ndefaults:\n  - override /metrics: [f1, mine]\n"
    (tmp_path / "experiment/chosen.yaml").write_text(choice)
    with pytest.raises(ValueError, match=r"^metrics\.f1: .* received metrics/f1\.yaml and metrics/mine\.yaml, "):
        compose(["experiment=chosen"], tmp_path)


def test_no_two_options_of_ours_define_one_name() -> None:
    for group in LIST_GROUPS:
        paths = sorted((CONFIGS / group).glob("*.yaml"))
        names = [str(name) for path in paths for name in OmegaConf.load(path) if name != "defaults"]
        assert len(set(names)) == len(names) > 2
