"""What the report on a tuned study tells of the search: budgets, choices, what tuning gained and how sure that is."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from regbench.drawing.style import SettingStyle
from regbench.storage.schema import SEARCH
from regbench.storage.tuning import Tuning
from regbench.study import formatting
from regbench.study.comparisons import comparisons
from regbench.study.expected_best import ExpectedBest, expected_best
from regbench.study.figures.tuning import expected_best_plot, sensitivity_plot
from regbench.study.report.files import FileNames
from regbench.study.report.page import Block, Cell, Section, Table, setting_cell
from regbench.study.results import Study, load
from regbench.study.statistics import compare

DEFAULTS = f"{SEARCH}/defaults"

_FEW = 5  # trials, at which a small budget's leader is named
_GAIN_TEXT = (
    "The same seeds, trained with each YAML's own values (default) and with what the search chose (tuned). A gain has "
    "its own 95 % t interval over the seeds. Beside it stand the two sources of chance in validation score: another "
    "search of the same budget, by the bootstrap over its trials, and another seed. The verdicts on tuned settings "
    "count both: seeds alone would tell of the chosen values, and another search would choose others."
)


def tuned_sections(study: Study, styles: Mapping[str, SettingStyle]) -> list[Section]:
    """Return the section on the search of a tuned study; none of any other.

    Args:
        study: What was loaded.
        styles: A style for each setting.
    """
    tuning = study.tuning
    if tuning is None:
        return []
    defaults = _defaults(study)
    curves = _curves(tuning)
    names = FileNames("tuning")
    own = {each.setting: styles.get(each.setting) or SettingStyle("#77808a", "o", "-") for each in tuning.settings}
    tables = [_budget_table(tuning, curves, own), _choice_table(tuning, own)]
    gains = [_gain_table(study, defaults, tuning, curves, own)] if defaults is not None else []
    blocks = [Block("Budgets and choices", _budget_texts(tuning), tables=tables)]
    if gains:
        blocks.append(Block("What tuning gained", [_GAIN_TEXT], tables=gains))
    if curves:
        drawn = [expected_best_plot(names("expected-best"), curves, own, tuning.monitor)]
        blocks.append(Block("Who leads at which budget", _leaders(tuning, curves), drawn))
    sensitivity = [
        sensitivity_plot(
            names("sensitivity", each.setting, key.rpartition(".")[2]), each.setting, key, searched,
            each.trials, each.chosen, each.default.get(key), own[each.setting], tuning.monitor,
        )
        for each in tuning.settings
        for key, searched in each.space.items()
        if any(trial.score is not None for trial in each.trials)
    ]  # fmt: skip
    if sensitivity:
        blocks.append(Block("Sensitivity to the searched values", figures=sensitivity))
    return [Section("tuning", "The search", blocks=blocks)]


def value_text(value: object) -> str:
    """Write a searched value for people."""
    return formatting.MISSING if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _defaults(study: Study) -> Study | None:
    """Read the runs of the YAMLs' own values, which lie beside the search of the same study."""
    folders = [folder for folder in study.runs["folder"] if isinstance(folder, str) and folder]
    if not folders:
        return None
    place = Path(folders[0]).parents[2] / DEFAULTS
    try:
        found = load(place)
    except (ValueError, OSError):
        return None
    return None if found.runs.empty else found


def _curves(tuning: Tuning) -> dict[str, ExpectedBest]:
    scores = {each.setting: [t.score for t in each.trials if t.score is not None] for each in tuning.settings}
    return {name: expected_best(found, tuning.monitor == "val/acc") for name, found in scores.items() if found}


def _budget_texts(tuning: Tuning) -> list[str]:
    trials = [trial for each in tuning.settings for trial in each.trials]
    by_run = {each.folder: each.epochs for each in trials}  # trials of the same values share one
    spent, all_spent = sum(by_run.values()), sum(each.epochs for each in tuning.settings)
    pruned = sum(each.state == "pruned" for each in trials)
    most = len(tuning.settings) * tuning.budget * tuning.max_epochs
    sampler = {"tpe": "TPE", "quasi_random": "quasi-random"}.get(tuning.sampler, tuning.sampler)
    saved = f"; {pruned} were pruned" if pruned else ""
    return [
        f"Each setting, the baseline included, had {tuning.budget} trials of at most {tuning.max_epochs} epochs "
        f"({sampler}, pruning: {tuning.pruning}), all with search seed {tuning.search_seeds[0]:,} and that seed's "
        f"split: {spent:,} of at most {most:,} epochs{saved}. Its best were trained again on "
        f"{len(tuning.search_seeds) - 1} more search seeds ({all_spent - spent:,} epochs), whose mean validation score "
        f"alone chose among them. The choices were then trained on {tuning.seeds} fresh seeds, and only these runs are "
        "compared above."
    ]


def _budget_table(tuning: Tuning, curves: Mapping[str, ExpectedBest], styles: Mapping[str, SettingStyle]) -> Table:
    budgets = sorted({min(_FEW, tuning.budget), tuning.budget})
    heads = ["setting", "trials", "pruned", "diverged", "epochs", *(f"expected best of {k}" for k in budgets)]
    rows = []
    for record in tuning.settings:
        states = [each.state for each in record.trials]
        row = [setting_cell(record.setting, styles)]
        closed = len(states) - states.count("open")
        counts = (closed, states.count("pruned"), states.count("diverged"), record.epochs)
        row += [Cell(f"{count:,}", count) for count in counts]
        row += [_best_cell(curves.get(record.setting), k, tuning.monitor) for k in budgets]
        rows.append(row)
    note = (
        "Expected best validation score of so many trials ± its standard deviation; the last is what another search "
        "of the same budget would come to (bootstrap over the trials)."
    )
    return Table("What each setting was given", heads, rows, note, sortable=True)


def _choice_table(tuning: Tuning, styles: Mapping[str, SettingStyle]) -> Table:
    heads = ["setting", "value", "searched", "default", "chosen", "importance"]
    rows = []
    for record in tuning.settings:
        for key, searched in record.space.items():
            chosen = record.chosen.values[key] if record.chosen is not None else None
            edge = searched.edge(chosen) if chosen is not None else None
            shown = value_text(chosen) + (f" (at the {edge} end)" if edge else "")
            importance = record.importance.get(key)
            rows.append(
                [
                    setting_cell(record.setting, styles),
                    Cell(key),
                    Cell(searched.described()),
                    Cell(value_text(record.default.get(key))),
                    Cell(shown, kind="few" if edge else ""),
                    Cell(formatting.MISSING if importance is None else f"{importance:.0%}", importance),
                ]
            )
    note = (
        "Importance is how what single values explain of a forest fitted to the trials divides among them (fANOVA); "
        "the shares of a setting come to 100 %, however little that is."
    )
    return Table("What was searched and chosen", heads, rows, note)


def _gain_table(
    study: Study,
    defaults: Study | None,
    tuning: Tuning,
    curves: Mapping[str, ExpectedBest],
    styles: Mapping[str, SettingStyle],
) -> Table:
    heads = ["setting", "default, test", "tuned, test", "gain, 95 % interval"]
    heads += ["default's verdict", "tuned verdict", "another search, validation", "another seed, validation"]
    verdicts = [_verdicts(each) for each in (defaults, study)]
    rows = []
    for record in tuning.settings:
        label = record.setting
        before, after = (_by_seed(each, label, "test/acc") for each in (defaults, study))
        gain = (after - before).dropna().to_numpy(dtype=float)
        row = [setting_cell(label, styles)]
        for values in (before, after):
            row.append(Cell(formatting.mean_sd_of(values, 100), float(values.mean()) if len(values) else ""))
        row.append(_gain_cell(gain))
        row += [Cell(found.get(label, formatting.MISSING)) for found in verdicts]
        row.append(_sd_cell(curves[label].sd[-1] if label in curves else math.nan, tuning.monitor))
        seeds = _by_seed(study, label, tuning.monitor)
        row.append(_sd_cell(float(seeds.std(ddof=1)) if len(seeds) > 1 else math.nan, tuning.monitor))
        rows.append(row)
    note = "Accuracies in percent, gains in points, ± one standard deviation."
    return Table("Tuned beside default", heads, rows, note)


def _verdicts(study: Study | None) -> dict[str, str]:
    if study is None or study.runs.empty:
        return {}
    found = [each for family in comparisons(study) for each in compare(family)]
    return {each.label: f"{each.verdict} ({formatting.points(each.mean)})" for each in found}


def _by_seed(study: Study | None, label: str, metric: str) -> "pd.Series[float]":
    if study is None or study.runs.empty:
        return pd.Series(dtype=float)
    runs = study.runs[study.runs["setting"] == label]
    return runs.groupby(["seed", "split_seed"], dropna=False)[metric].mean().astype(float).dropna()


def _gain_cell(gain: np.ndarray) -> Cell:
    if not gain.size:
        return Cell(formatting.MISSING, "")
    mean = float(gain.mean())
    if gain.size < 2:
        return Cell(formatting.points(mean), mean)
    half = float(stats.t.ppf(0.975, gain.size - 1) * gain.std(ddof=1) / math.sqrt(gain.size))
    return Cell(f"{formatting.points(mean)} ({formatting.interval(mean - half, mean + half)})", mean)


def _leaders(tuning: Tuning, curves: Mapping[str, ExpectedBest]) -> list[str]:
    """Say who leads with few trials and who with all."""
    sign = 1 if tuning.monitor == "val/acc" else -1
    parts = []
    for k in sorted({min(_FEW, tuning.budget), tuning.budget}):
        reached = {name: curve for name, curve in curves.items() if len(curve.mean) >= k}
        if reached:
            leader = max(reached, key=lambda name: sign * reached[name].mean[k - 1])
            parts.append(f"with {k} trials {leader} leads ({_score(reached[leader].mean[k - 1], tuning.monitor)})")
    return [f"By expected best validation score, {'; '.join(parts)}."] if parts else []


def _best_cell(curve: ExpectedBest | None, k: int, monitor: str) -> Cell:
    if curve is None or len(curve.mean) < k:
        return Cell(formatting.MISSING, "")
    scale, digits = (100, 2) if monitor == "val/acc" else (1, 4)
    mean, sd = float(curve.mean[k - 1]), float(curve.sd[k - 1])
    return Cell(formatting.mean_sd(scale * mean, scale * sd, digits), mean)


def _sd_cell(sd: float, monitor: str) -> Cell:
    return Cell(f"± {formatting.amount(sd, monitor, sign=False)}" if math.isfinite(sd) else formatting.MISSING)


def _score(value: float, monitor: str) -> str:
    return f"{value:.2%}" if monitor == "val/acc" else f"{value:.4f}"
