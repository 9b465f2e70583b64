from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from regbench.study.comparisons import Comparison
from regbench.study.statistics import compare
from regbench.study.statistics.stages import Stages, looked_again, stages_of
from tests.study.statistics.examples import family


@pytest.mark.parametrize("sizes", [(), (1, 5), (5, 5), (10, 5), (0,), (5, 10.5), (True, 5), ("5", "10")])
def test_stages_that_do_not_ascend_from_two_seeds_are_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"stages: expected ascending numbers of seeds from 2 on.*; received \["):
        Stages(sizes)


def test_a_stage_has_the_seeds_of_those_before_it_and_new_ones() -> None:
    stages = Stages((5, 10, 20))
    assert list(stages.seeds(1)) == list(stages.new_seeds(1)) == [0, 1, 2, 3, 4]
    assert list(stages.seeds(2)) == list(range(10))
    assert list(stages.new_seeds(3)) == list(range(10, 20))


def staged(
    values: dict[str, list[float]], text: str = "2, 4", ended: frozenset[tuple[str, int]] = frozenset()
) -> Comparison:
    made = family(values)
    return replace(made, runs=made.runs.assign(stages=text), ended=ended)


NONE = [0.80, 0.81, 0.79, 0.82, 0.80, 0.81]
LEADS = [0.9000, 0.9101, 0.8902, 0.9203, 0.9004, 0.9105]  # by 10.00, 10.01, 10.02, … points
SWINGS = [0.85, 0.76, 0.84, 0.77, 0.85, 0.76]


def test_a_setting_is_judged_at_the_first_stage_that_decides_it_and_keeps_that_interval() -> None:
    found = {each.label: each for each in compare(staged({"none": NONE, "leads": LEADS, "swings": SWINGS}))}
    leads, swings = found["leads"], found["swings"]
    assert (leads.verdict, leads.stage, leads.stages, leads.n) == ("better", 1, 2, 2)
    assert (swings.verdict, swings.stage, swings.n) == ("undecided", 2, 4)  # seeds 4 and 5 belong to no stage
    for each, numbers in ((leads, LEADS[:2]), (swings, SWINGS[:4])):
        differences = np.subtract(numbers, NONE[: len(numbers)])
        bounds = stats.t.interval(1 - 0.05 / 4, len(differences) - 1, differences.mean(), stats.sem(differences))
        assert (each.low, each.high) == pytest.approx(bounds)
        p = stats.ttest_1samp(differences, 0).pvalue
        assert each.p_adjusted == pytest.approx(min(1, 4 * p))  # two settings at two stages


def test_decided_settings_still_count_where_others_are_judged() -> None:
    values = {"none": NONE, "leads": LEADS[:2], "swings": SWINGS}
    alone = compare(staged({"none": NONE, "swings": SWINGS}))[0]
    beside = {each.label: each for each in compare(staged(values))}["swings"]
    assert beside.high - beside.low > 1.1 * (alone.high - alone.low)


def test_of_a_half_finished_stage_the_last_whole_one_counts() -> None:
    found = compare(staged({"none": NONE[:4], "swings": SWINGS[:3]}))[0]
    assert (found.stage, found.n, found.verdict) == (1, 2, "undecided")
    no_baseline_yet = compare(staged({"none": NONE[:3], "swings": SWINGS[:4]}))[0]
    assert (no_baseline_yet.stage, no_baseline_yet.n) == (1, 2)


def test_before_the_first_stage_is_whole_nothing_is_judged() -> None:
    found = compare(staged({"none": NONE[:2], "leads": LEADS[:1]}))[0]
    assert (found.verdict, found.stage, found.stages, found.n) == ("too few seeds", None, 2, 0)
    assert found.sentence == "Too few seeds to compare leads with none: no stage of 2 is whole."


def test_a_failed_run_ends_its_stage_and_its_pair_is_left_out() -> None:
    values = {"none": NONE[:4], "leads": LEADS[:3]}
    assert compare(staged(values, "4"))[0].stage is None
    found = compare(staged(values, "4", ended=frozenset({("leads", 3)})))[0]
    assert (found.verdict, found.stage, found.n) == ("better", 1, 3)
    assert "1 run without a partner of the same seed left out" in found.sentence


def test_another_design_than_the_runs_own_can_be_asked_for() -> None:
    found = compare(family({"none": NONE, "leads": LEADS}), design=Stages((3, 6)))[0]
    assert (found.stage, found.stages, found.n) == (1, 2, 3)
    assert compare(family({"none": NONE, "leads": LEADS}))[0].stages == 0


def test_stages_of_several_studies_count_all_their_looks() -> None:
    runs = pd.DataFrame({"stages": ["5, 10", "5, 20", None]})
    assert stages_of(runs) == Stages((5, 10, 20))
    assert stages_of(runs.drop(columns="stages")) is None
    assert stages_of(runs[2:]) is None


def test_seeds_added_after_a_look_are_warned_of_but_not_those_of_stages() -> None:
    runs = family({"none": NONE, "leads": LEADS}).runs
    assert looked_again(runs) is None
    added = runs.assign(added_after=runs["seed"].map({3: 3.0, 4: 3.0, 5: 5.0}))
    warning = looked_again(added) or ""
    assert warning.startswith("Seeds were added after others had finished: 2 after 3, 1 after 5. ")
    assert "to 19 to 26 %" in warning
    assert "seeds=until_sure" in warning
    assert looked_again(added.assign(stages="2, 4")) is None
