"""What a stage's finished runs decide: which settings need no more seeds.

A function of the runs of this and earlier stages alone, so a sweep that is called again decides the same.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from regbench.study import load
from regbench.study.comparisons import comparisons
from regbench.study.measured import check_metric
from regbench.study.statistics import DECIDED, NOT_ACTING, compare
from regbench.sweeps.design import Design
from regbench.sweeps.states import RunNames

NO_RUN, NO_BASELINE, BASELINE = "no finished run", "no baseline to compare with", "baseline"


class Standing(NamedTuple):
    """Where a setting stands after a stage: its family's title, its name, and its verdict or why it has none."""

    family: str
    name: str
    verdict: str
    needs_seeds: bool


def judge_stage(folder: Path, settings: Sequence[Collection[str]], design: Design, stage: int) -> list[Standing]:
    """Judge each setting of a sweep after a stage.

    A baseline needs seeds as long as a setting of its family does. A setting without a finished run, and a family
    without a baseline, get no more.

    Args:
        folder: The study's.
        settings: The run folders of each setting, below the study's.
        design: Stages and metric.
        stage: The stage that has ended, counted from 1; seeds of later ones are not looked at.
    """
    study = load(folder)
    if len(study.runs):
        check_metric(design.metric, study.measured, study.metrics)
    found: dict[int, Standing] = {}
    for comparison in comparisons(study):
        seen = comparison.runs[comparison.runs["seed"].isin(design.stages.seeds(stage))]
        labels = dict(zip(seen["folder"], seen["label"], strict=True))
        ours = {
            index: next(labels[path] for path in paths if path in labels)
            for index, names in enumerate(settings)
            if not labels.keys().isdisjoint(paths := [str(folder / name) for name in names])
        }
        present = tuple(label for label in comparison.labels if label in set(seen["label"]))
        family = replace(comparison, runs=seen, labels=present)
        if comparison.baseline not in present:
            found |= {
                index: Standing(comparison.title, family.named(label), NO_BASELINE, False)
                for index, label in ours.items()
            }
            continue
        verdicts = {each.label: each.verdict for each in compare(family, design.metric, design=design.stages)}
        settled = {label for label, verdict in verdicts.items() if verdict in DECIDED or verdict == NOT_ACTING}
        undecided = (verdicts.keys() - settled) & set(ours.values())
        for index, label in ours.items():
            needs = bool(undecided) if label == comparison.baseline else label in undecided
            found[index] = Standing(comparison.title, family.named(label), verdicts.get(label, BASELINE), needs)
    names = RunNames(folder, [each for runs in settings for each in runs])
    called = [names.setting_of(next(iter(runs))) for runs in settings]
    return [found.get(index, Standing("", name, NO_RUN, False)) for index, name in enumerate(called)]


def stage_lines(standings: Collection[Standing], design: Design, stage: int) -> list[str]:
    """Say in one line for each family what a stage has decided of the settings that were in it."""
    sizes = design.stages.sizes
    new = sizes[stage] - sizes[stage - 1] if stage < len(sizes) else 0
    more = f"{new} more seed{'s' if new > 1 else ''}" if new else "and no stage is left"
    families = dict.fromkeys(each.family for each in standings)
    lines = []
    for family in families:
        judged = [each for each in standings if each.family == family and each.verdict != BASELINE]
        done = dict.fromkeys(f"{each.name} {each.verdict}" for each in judged if not each.needs_seeds)
        still = dict.fromkeys(each.name for each in judged if each.needs_seeds)
        parts = [", ".join(done)] if done else []
        parts += [f"{', '.join(still)} undecided, {more}"] if still else []
        named = f" of {family}" if family and sum(map(bool, families)) > 1 else ""
        lines.append(f"stage {stage} ({sizes[stage - 1]} seeds){named}: {'; '.join(parts)}")
    return lines
