"""What the command line of `regbench tune` gives: settings, spaces, and one line where it makes no sense."""

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from regbench.config import compose
from regbench.config.composing import CONFIGS
from regbench.config.identity import run_name
from regbench.runs.parts import build
from regbench.search.plan import make_plan
from regbench.search.space import read_ranges
from tests.commands import Command

SPACES = sorted(path.relative_to(CONFIGS) for path in (CONFIGS / "space").glob("*/*.yaml"))
DIGITS = ["study=s", "dataset=digits"]


def test_the_baseline_comes_first_and_each_setting_has_the_spaces_of_its_parts() -> None:
    plan = make_plan([*DIGITS, "regularizer=dropout,[weight_decay,batchnorm],none", "optimizer=sgd"])
    assert [each.name for each in plan.settings] == ["none", "dropout", "batchnorm+weight_decay"]
    assert [list(each.space) for each in plan.settings] == [
        ["optimizer.lr"],
        ["optimizer.lr", "regularizer.dropout.p"],
        ["optimizer.lr", "regularizer.weight_decay.coefficient"],
    ]
    assert plan.settings[0].space["optimizer.lr"].described() == "0.001 to 0.5 (log)"
    assert plan.settings[1].default == {"optimizer.lr": 0.05, "regularizer.dropout.p": 0.5}


def test_a_given_key_is_not_searched_and_a_techniques_override_is_its_own() -> None:
    plan = make_plan(
        [*DIGITS, "regularizer=none,dropout", "regularizer.dropout.p=0.3", "space.optimizer.lr.high=0.1", "trials=2"]
    )
    assert [list(each.space) for each in plan.settings] == [["optimizer.lr"]] * 2
    assert plan.settings[0].space["optimizer.lr"].high == 0.1
    assert plan.settings[1].confirming_config({}, 0)["regularizer"]["dropout"]["p"] == 0.3


@pytest.mark.parametrize(
    ("given", "searched"),
    [
        (["++optimizer.lr=3e-4"], ["regularizer.dropout.p"]),
        (["regularizer.dropout={p: 0.3, layers: all}"], ["optimizer.lr"]),
        (["++regularizer.dropout.p=0.3"], ["optimizer.lr"]),
    ],
)
def test_a_key_is_given_in_whatever_way_an_override_is_written(given: list[str], searched: list[str]) -> None:
    (setting,) = make_plan([*DIGITS, "regularizer=dropout", *given]).settings
    assert list(setting.space) == searched


def test_a_technique_of_ones_own_brings_its_space_from_its_own_folder(tmp_path: Path) -> None:
    node = "mine:\n  _target_: regbench.regularizers.dropout.Dropout\n  p: 0.2\n  layers: all\n"
    for place, text in (("regularizer", node), ("space/regularizer", "mine:\n  p: {low: 0.1, high: 0.3}\n")):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "mine.yaml").write_text(text)
    plan = make_plan([*DIGITS, "regularizer=none,mine,[mine,dropout]", "--config-dir", str(tmp_path)])
    assert [list(each.space)[1:] for each in plan.settings] == [
        [],
        ["regularizer.mine.p"],
        ["regularizer.dropout.p", "regularizer.mine.p"],
    ]


def test_an_experiments_sweep_gives_the_settings() -> None:
    plan = make_plan(["experiment=tuned_demo"])
    assert [each.name for each in plan.settings] == ["none", "dropout", "weight_decay"]
    assert (plan.study, plan.protocol.trials, plan.max_epochs) == ("tuned_demo", 12, 8)


def test_a_confirming_run_is_the_very_run_of_train_py() -> None:
    plan = make_plan([*DIGITS, "regularizer=dropout", "trials=3", "optimizer=adamw"])
    ours = plan.settings[0].confirming_config({"optimizer.lr": 0.003, "regularizer.dropout.p": 0.25}, 4)
    values = ["regularizer=dropout", "regularizer.dropout.p=0.25", "optimizer=adamw", "optimizer.lr=0.003"]
    theirs = compose([*DIGITS, *values, "seed=4", "threads=1"])
    assert run_name(ours) == run_name(theirs)


def test_values_that_follow_from_a_searched_one_follow_it() -> None:
    plan = make_plan([*DIGITS, "scheduler=one_cycle"])
    assert plan.settings[0].confirming_config({"optimizer.lr": 0.007}, 0)["scheduler"]["max_lr"] == 0.007


@pytest.mark.parametrize("path", SPACES, ids=str)
def test_the_ends_of_every_range_are_values_that_the_part_takes(path: Path) -> None:
    _, group, file = path.parts
    ranges = read_ranges({group: OmegaConf.to_container(OmegaConf.load(CONFIGS / path))})
    assert ranges
    config = compose([*DIGITS, "compile=false", f"{group}={Path(file).stem}"])
    for end in ("low", "high"):
        for key, each in ranges.items():
            *places, last = key.split(".")
            node = config
            for place in places:
                node = node[place]
            assert last in node
            node[last] = getattr(each, end)
        build(config)


def test_every_default_lies_in_its_range() -> None:
    options = {
        group: [path.stem for path in SPACES if path.parts[1] == group] for group in ("optimizer", "regularizer")
    }
    techniques = f"regularizer=[{','.join(options['regularizer'])}]"
    found = set()
    for optimizer in options["optimizer"]:
        (setting,) = make_plan([*DIGITS, f"optimizer={optimizer}", techniques]).settings
        for key, value in setting.default.items():
            assert setting.space[key].contains(value), (optimizer, key)
        found |= {key.split(".")[1] for key in setting.default if key.startswith("regularizer.")}
        assert "optimizer.lr" in setting.default
    assert found == set(options["regularizer"])
    assert sum(map(len, options.values())) == len(SPACES) > 10


BAD = [
    (["trials=0"], r"trials: expected an integer above 0; received 0"),
    (["seeds=0"], r"seeds: expected an integer in \[1, 1000000\]; received 0"),
    (["sampler=grid"], r"sampler: expected 'tpe' or 'quasi_random'; received 'grid'"),
    (["pruning=yes"], r"pruning: expected 'none', 'hyperband' or 'halving'; received .*"),
    (["space.optimizer.lr.low=1"], r"space\.optimizer\.lr: expected low below high, received low 1 and high 0\.01"),
    (["+space.optimizer.rate={low: 0, high: 1}"], r"space\.optimizer\.rate: no such key; expected one of lr, .*"),
    (
        ["+space.optimizer.eps={low: 0, high: 1, log: true}"],
        r"space\.optimizer\.eps: expected low above 0.*log is true",
    ),
    (["+space.optimizer.eps={low: 0}"], r"space\.optimizer\.eps: expected low and high, or choices"),
    (["+space.optimizer.eps={lo: 0, high: 1}"], r"space\.optimizer\.eps\.lo: no such key; expected low, high.*"),
    (["+space.optimizer.eps=3"], r"space\.optimizer\.eps: expected \{low: …, high: …\} or \{choices: \[…\]\}.*"),
    (["+space.optimizer.eps={low: a, high: 1}"], r"space\.optimizer\.eps\.low: expected .*; received 'a'"),
    (["+space.trainer.max_epochs={low: 1, high: 3}"], r"space\.trainer\.max_epochs: .*the same for all settings"),
    (
        ["regularizer=dropout", "space.regularizer.dropout.p.high=1.5"],
        r"space\.regularizer\.dropout\.p\.high: expected a number in \[0, 1\); received 1\.5",
    ),
    (["optimizer.lr=0.1"], r"space: nothing is left to search; .*"),
    (["trails=3"], r"trails: no such key \(did you mean trials\?\); expected one of .*"),
    (["seed=3"], r"seed=3: the confirming seeds are 0, 1, …: say how many by seeds=10"),
    (["optimizer=adam,sgd"], r"optimizer=adam,sgd: expected one value; regbench tune compares .*"),
    (["regularizer=dropout,[dropout]"], r"regularizer: expected different settings, received dropout twice"),
    (["regularizer.dropout.p=0.1"], r"regularizer\.dropout\.p=0\.1: no setting has dropout; add it to regularizer=…"),
    (["regularizer=dropuot"], r"regularizer: expected one of .*"),
    (["dataset.val_size=0"], r"dataset\.val_size: expected validation images, .*; received 0"),
    (["dataset.split_seed=1000002"], r"dataset\.split_seed: expected another split than the search's .*"),
    (["-m"], r"-m: no such option; expected KEY=VALUE or --config-dir FOLDER"),
    (["--config-dir=nowhere"], r"--config-dir .*nowhere: expected a folder of YAML groups, found none"),
    (["force=true"], r"force: not taken by regbench tune; .*"),
    (["study="], r"study: expected .*"),
]


@pytest.mark.parametrize(("arguments", "line"), BAD, ids=lambda value: value[0] if isinstance(value, list) else "")
def test_bad_input_gets_one_line_and_no_folder(
    arguments: list[str], line: str, command: Command, tmp_path: Path
) -> None:
    given = {each.partition("=")[0] for each in arguments}
    ended = command("regbench", "tune", *(each for each in DIGITS if each.partition("=")[0] not in given), *arguments)
    assert ended.status == 1
    assert ended.out == ""
    assert re.fullmatch(rf"error: {line}\n", ended.err), ended.err
    assert not list(tmp_path.iterdir())


def test_a_study_without_a_name_is_refused(command: Command) -> None:
    ended = command("regbench", "tune", "dataset=digits")
    assert ended.status == 1
    assert ended.err == "error: study: expected study=NAME, by which a search that was stopped is found again\n"


def test_help_shows_every_key_and_every_range(command: Command) -> None:
    ended = command("regbench", "tune", "--help")
    assert ended.status == 0
    own = OmegaConf.load(CONFIGS / "tune.yaml")
    assert all(f"  {key}: " in ended.out for key in own if key != "defaults")
    for path in SPACES:
        _, group, _ = path.parts
        for key, each in read_ranges({group: OmegaConf.to_container(OmegaConf.load(CONFIGS / path))}).items():
            assert key in ended.out
            assert each.described() in ended.out
