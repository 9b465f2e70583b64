"""What R1's curves tell beside its last epoch: leads by epoch, epochs behind the baseline, what still improves."""

import textwrap
from typing import NamedTuple

import pandas as pd

from regbench.study import Study
from regbench.study.comparisons import Comparison, comparisons
from regbench.study.formatting import MISSING, interval, mean_sd_of, points
from regbench.study.statistics import Difference, compare, judge
from regbench.study.statistics.evidence import from_pairs
from tools.published.values import NOT_RUN, told, verdict

BUDGETS = (5, 10, 20, 40, 60)
LAST = 10
_WIDTH = 120


class Course(NamedTuple):
    """A setting's lead over the baseline by epoch, from 1 on, as the mean over seeds.

    Attributes:
        lead: Mean lead in test accuracy, a fraction.
        late: The lead averaged over the last ten epochs, judged beside the other settings'.
    """

    lead: pd.Series
    late: Difference

    @property
    def behind(self) -> int:
        """Epochs at which the mean over seeds is below the baseline's."""
        return int((self.lead < 0).sum())


def courses(family: Comparison) -> dict[str, Course]:
    """Return each setting's course beside the family's baseline."""
    table = _curves(family, "test/acc")
    others = [label for label in family.labels if label != family.baseline]
    leads = {label: (table[label] - table[family.baseline]).unstack("epoch") for label in others}
    late = {label: lead.iloc[:, -LAST:].mean(axis=1).to_numpy() for label, lead in leads.items()}
    pairs = {label: from_pairs(values, 0 * values) for label, values in late.items()}
    judged = judge(pairs, str(family.baseline), margin=family.margin)
    return {each.label: Course(leads[each.label].mean(), each) for each in judged}


def best_epochs(family: Comparison, metric: str = "test/acc") -> pd.Series:
    """Return the epoch, from 1 on, at which each run's curve is highest, by label and seed."""
    return pd.Series(_curves(family, metric).unstack("seed").idxmax())


def still_gained(family: Comparison) -> pd.Series:
    """Return each setting's mean rise of the train accuracy over the last ten epochs, counted while training."""
    means = _curves(family, "train/acc_online").groupby("epoch").mean()
    return means.iloc[-1] - means.iloc[-1 - LAST]


def course_table(study: Study | None) -> str:
    """Return each setting's lead by epoch, its last ten epochs, epochs below the baseline, and what still improved."""
    if study is None:
        return NOT_RUN
    (family,) = comparisons(study)
    found, best, gained = courses(family), best_epochs(family), still_gained(family)
    epochs = int(family.history["epoch"].max()) + 1
    budgets = [each for each in BUDGETS if each <= epochs]
    titles = [
        "setting",
        f"test, from {family.baseline}, points, after {', '.join(map(str, budgets))} epochs",
        f"over the last {LAST} epochs (simultaneous 95 %)",
        f"epochs below {family.baseline}",
        "best epoch of the test curve",
        f"rise of train % over the last {LAST} epochs, points",
    ]
    lines = [f"| {' | '.join(titles)} |", "|---|---|---:|---:|---:|---:|"]
    for label in family.labels:
        cells = [MISSING] * 3
        if label in found:
            lead, late = found[label]
            cells = [
                ", ".join(points(float(lead[each])) for each in budgets),
                told(late),
                f"{found[label].behind} of {epochs}",
            ]
        cells += [mean_sd_of(best[label], digits=0), points(float(gained[label]))]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def reading(study: Study | None) -> str:
    """Return what R1's study says of its three techniques, in words."""
    if study is None:
        return NOT_RUN
    (family,) = comparisons(study)
    found, gained = courses(family), still_gained(family)
    last = int(family.history["epoch"].max()) + 1
    norm, dropout, decay = (found[label] for label in ("batchnorm", "dropout", "weight_decay"))
    (at_end,) = (verdict(each) for each in compare(family) if each.label == "weight_decay")
    below = interval(-decay.late.high, -decay.late.low).replace("+", "")
    text = f"""
        Batch norm helps, yet its lead shrinks from {_size(norm.lead[5])} points after 5 epochs to
        {_size(norm.lead[last])} after {last}: the budget decides by how much. Dropout, seen here at one strength
        (p = 0.3 after both dense layers) and one rate, costs {_size(dropout.lead[last])} points. Its deficit was
        {_size(dropout.lead[20])} after 20 epochs, and training had not converged: every setting's train accuracy rose
        by {_size(gained.min())} points or more over the last {LAST} epochs. So this is no verdict on dropout in
        networks this small. Weight decay at 1e-3 brings no gain: a loss of {_size(decay.lead[last], 1)} to
        {_size(decay.late.mean, 1)} points is likely, although the verdict by the last epoch alone is
        “{at_end}”. The mean of its runs is below the baseline's after {decay.behind} of {last} epochs, and over the
        last {LAST} by {_size(decay.late.mean)} points ({below}), an average that was not planned before the curves
        were seen."""
    return textwrap.fill(" ".join(text.split()), _WIDTH, break_long_words=False, break_on_hyphens=False)


def _curves(family: Comparison, metric: str) -> pd.DataFrame:
    """Return a metric by seed and epoch, from 1 on, one column a setting."""
    history = family.history.assign(epoch=family.history["epoch"] + 1)
    return history.pivot_table(index=["seed", "epoch"], columns="label", values=metric)


def _size(value: float, digits: int = 2) -> str:
    """Write a difference of accuracies in points without its sign."""
    return f"{abs(100 * value):.{digits}f}"
