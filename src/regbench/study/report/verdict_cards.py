"""The verdicts at the top of a report, each with what else is to be known of it, and the words that they use."""

from collections.abc import Sequence

import numpy as np

from regbench.drawing.series import series_name
from regbench.study.comparisons import Comparison
from regbench.study.measured import ACCURACY, Quantity
from regbench.study.predictions import MEANS_OVER_IMAGES
from regbench.study.report.page import Block, Cell, Section, Table, Verdict, Verdicts
from regbench.study.report.shown import PLAIN_CARDS, shown_cards
from regbench.study.statistics import VERDICTS, Difference
from regbench.study.statistics.checks.still_improving import still_improving
from regbench.study.statistics.intervals import binomial_error
from regbench.study.statistics.sentences import interval_lines

SIGNS = dict(
    zip(
        VERDICTS,
        (("better", "▲"), ("worse", "▼"), ("even", "≈"), ("few", "?"), ("few", "…"), ("few", "∅")),
        strict=True,
    )
)


def verdict_group(comparison: Comparison, differences: Sequence[Difference], title: str, size: int) -> Verdicts:
    """The verdicts in sentences, and what to keep in mind beside them.

    Args:
        comparison: The family.
        differences: One a setting other than the baseline.
        title: A heading, empty where the page has one family only.
        size: Images in the test set, 0 where unknown.
    """
    improving = still_improving(comparison)
    listed = []
    shown = shown_cards(differences)
    for each in shown:
        details = interval_lines(each) if np.isfinite(each.low) else []
        details += each.doubts
        told = improving[each.label].sentence
        details += [told] if told else []
        group = each.verdict if len(differences) > PLAIN_CARDS else ""
        head, rest = _head_and_rest(each.sentence)
        listed.append(Verdict(*SIGNS[each.verdict], head, rest, details, group, series_name(each.label)))
    notes = []
    if comparison.baseline is None:
        notes.append("No run here is without regularization, so that nothing is compared: only the numbers are shown.")
    elif not differences:
        notes.append(f"Only the baseline, {comparison.baseline}, has finished runs: there is nothing to compare yet.")
    elif told := improving[comparison.baseline].sentence:
        notes.append(told)
    accuracy = comparison.runs["test/acc"].astype(float).mean()
    if size and np.isfinite(accuracy) and comparison.metric in MEANS_OVER_IMAGES:
        error = 100 * binomial_error(accuracy, size)
        notes.append(
            f"All settings are scored on the same {size:,} test images, which measure an accuracy of "
            f"{100 * accuracy:.1f} % with a standard error of {error:.2f} points. Differences on the same images are "
            "surer: “on new images” says how sure."
        )
    number = len(differences) - len(shown)
    more = f"{number:,} more verdicts are in comparison.csv; these are the first by verdict and size." if number else ""
    return Verdicts(title, listed, notes, more)


def glossary(margins: Sequence[float], judged: Quantity = ACCURACY) -> Section:
    """The words that verdicts use, in plain language.

    Args:
        margins: The margins of the page's families, in the unit of what is judged by: fractions of accuracy.
        judged: What settings are judged by.
    """
    sizes = [f"±{judged.size(margin)}" for margin in sorted(set(margins)) if np.isfinite(margin)]
    shown = f"{' and '.join(sizes)} here" if sizes else f"of which there is none for {judged.words} here"
    words = {
        "setting": "The techniques that are on, with their strengths. The baseline is the setting without any.",
        "seed": "The number from which initial weights, the split into training and validation images, the order of "
        "batches and random layers are drawn. Another seed is another repetition.",
        "paired": "Runs with the same seed share initial weights, split and order of batches, so settings are compared "
        "seed by seed: luck that both share cancels.",
        "stage": "A look at the study that was planned beforehand, say after 5, 10, 20 or 40 seeds. A setting gets no "
        "more seeds once it is decided.",
        "interval": "The differences that the runs are compatible with. Simultaneous 95 % means: in 95 of 100 studies "
        "like this one, all intervals of the table hold the true differences.",
        "adjusted p": "The p-value of the t-test times the number of settings that are compared with the baseline, and "
        "times the number of stages where there are several; at most 1. Below 0.05 exactly where the interval excludes "
        "0. It has no part in “equivalent”.",
        "margin": f"The smallest difference worth knowing, {shown}.",
        "better, worse": "The interval excludes 0. By less than the margin: it also lies inside ±margin.",
        "equivalent": "The interval holds 0 and lies inside ±margin: whatever the difference is, it is too small to "
        "matter, with this budget on this test set.",
        "undecided": "The interval holds 0 and leaves the margin: more seeds are needed. That does not mean that there "
        "is no difference. Leaning: 0 lies in the interval's outer quarter.",
        "on this test set": "The interval for new seeds and the same test images.",
        "on new images": "The interval for new seeds and as many new test images of the same kind; it is "
        "a little or much wider, since a test set is a sample, too.",
        "power": "The probability that a study of so many seeds finds a true difference of that size.",
        "gap": "Training minus test accuracy, of the same weights.",
        "calibration error": "How far a network's confidence is from its share of right answers, on average.",
    }
    rows = [[Cell(word), Cell(meaning)] for word, meaning in words.items()]
    return Section("glossary", "Words", blocks=[Block(tables=[Table("", ["word", "meaning"], rows, prose=True)])])


def _head_and_rest(sentence: str) -> tuple[str, str]:
    """A verdict's claim, which is set in bold, and its evidence."""
    head, colon, rest = sentence.partition(": ")
    return head + colon.strip(), rest
