"""Published statements in words, and how a study judges each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from regbench.study import Study
from regbench.study.comparisons import comparisons
from regbench.study.formatting import interval, mean_sd_of, points
from regbench.study.statistics import BETTER, EQUIVALENT, WORSE, Difference, compare, judge
from regbench.study.statistics.evidence import from_pairs

R1, R4, R5, R5_MLP = "r1_lenet5_fashion_mnist", "r4_lenet5_mnist", "r5_lenet5_mnist", "r5_mlp_mnist"
HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told"
BUDGETS = (5, 10, 20, 40, 60)


class Claim(NamedTuple):
    """A published statement in words, which study tells of it, and how."""

    reports: str
    text: str
    study: str
    judge: Callable[[Study], tuple[str, str]]


def claims_table(studies: Mapping[str, Study]) -> str:
    """Return the claims with their verdicts as Markdown; a study that is not there has not been run."""
    lines = ["| report | claim | verdict | evidence |", "|---|---|---|---|"]
    for claim in CLAIMS:
        study = studies.get(claim.study)
        verdict, evidence = claim.judge(study) if study is not None else ("not run yet", "–")
        lines.append(f"| {claim.reports} | {claim.text} | **{verdict}** | {evidence} |")
    return "\n".join(lines)


def best_earlier(study: Study, label: str) -> tuple[str, str]:
    """Judge whether a setting's test curve has its highest point earlier than every other setting's."""
    (family,) = comparisons(study, label)
    curves = family.history.dropna(subset=["test/acc"]).reset_index(drop=True)
    tops = curves.loc[curves.groupby(["label", "seed"])["test/acc"].idxmax()]
    epochs = tops.set_index(["label", "seed"])["epoch"] + 1
    runs = family.runs.assign(top=[epochs[key] for key in zip(family.runs["label"], family.runs["seed"], strict=True)])
    differences = compare(replace(family, runs=runs), "top", margin=5)
    values = {name: runs.loc[runs["label"] == name, "top"] for name in family.labels}
    shown = [f"{name} {mean_sd_of(each, digits=0)}" for name, each in values.items()]
    return _all_are(differences, WORSE), f"Best epoch by the test curve: {', '.join(shown)}."


def gain_shrinks(study: Study, label: str) -> tuple[str, str]:
    """Judge whether a setting's lead in test accuracy is smaller after all epochs than after ten.

    The rate is constant, so a run's first ten epochs are the run of ten epochs.
    """
    (family,) = comparisons(study)
    curves = family.history.assign(epoch=family.history["epoch"] + 1)
    table = curves.pivot_table(index=["seed", "epoch"], columns="label", values="test/acc")
    gains = (table[label] - table[str(family.baseline)]).unstack("epoch")
    last = int(max(gains.columns))
    evidence = from_pairs(gains[last].to_numpy(), gains[10].to_numpy())
    (difference,) = judge({label: evidence}, str(family.baseline))
    shown = [f"{epoch}: {points(float(gains[epoch].mean()))}" for epoch in BUDGETS if epoch in gains]
    text = (
        f"Lead in points after so many epochs: {', '.join(shown)}. From 10 to {last} it changes by {told(difference)}."
    )
    return _all_are([difference], WORSE), text


def told(difference: Difference) -> str:
    """Write a difference of accuracies with its simultaneous interval, in points."""
    return f"{points(difference.mean)} ({interval(difference.low, difference.high)})"


def _all_others_are(verdict: str, label: str, metrics: Iterable[str] = ("test/acc",)) -> Callable[..., tuple[str, str]]:
    def judged(study: Study) -> tuple[str, str]:
        verdicts, texts = [], []
        for metric in metrics:
            (family,) = comparisons(study, label)
            found = compare(family, metric)
            verdicts.append(_all_are(found, verdict))
            shown = ", ".join(f"{each.label} {told(each)}" for each in found)
            texts.append(f"{metric.removesuffix('/acc').capitalize()}, beside {label}: {shown}.")
        return _joint(verdicts), " ".join(texts)

    return judged


def _is(verdict: str, label: str) -> Callable[[Study], tuple[str, str]]:
    def judged(study: Study) -> tuple[str, str]:
        (family,) = comparisons(study)
        (found,) = (each for each in compare(family) if each.label == label)
        return _all_are([found], verdict), f"Test, {label} beside {family.baseline}: {told(found)}."

    return judged


def _has_parameters(count: int) -> Callable[[Study], tuple[str, str]]:
    def judged(study: Study) -> tuple[str, str]:
        ours = int(study.runs.loc[study.runs["setting"] == "none", "parameters"].iloc[0])
        return HOLDS if ours == count else FAILS, f"The network as stated has {ours:,}."

    return judged


CLAIMS = (
    Claim("R1, R3", "Batch norm is best, on train and on test data", R1,
          _all_others_are(WORSE, "batchnorm", ("train/acc", "test/acc"))),
    Claim("R3", "Dropout is worst, on train and on test data", R1,
          _all_others_are(BETTER, "dropout", ("train/acc", "test/acc"))),
    Claim("R1, R3", "Dropout is below the baseline on test data", R1, _is(WORSE, "dropout")),
    Claim("R1, R2", "Weight decay is above the baseline on test data", R1, _is(BETTER, "weight_decay")),
    Claim("R1 to R3", "Weight decay reaches its best earliest", R1, lambda study: best_earlier(study, "weight_decay")),
    Claim("eight tables", "Batch norm's gain shrinks with the budget", R1,
          lambda study: gain_shrinks(study, "batchnorm")),
    Claim("R4", "L2 improves LeNet-5", R4, _is(BETTER, "weight_decay")),
    Claim("R4", "Batch norm improves LeNet-5", R4, _is(BETTER, "batchnorm")),
    Claim("R5", "Dropout 0.5 with L2 1e-4 improves LeNet-5", R5, _is(BETTER, "dropout+weight_decay")),
    Claim("R5", "The LeNet-5 has 17,166 parameters", R5, _has_parameters(17_166)),
    Claim("R5", "The MLP has 15,830 parameters", R5_MLP, _has_parameters(15_830)),
)  # fmt: skip


def _all_are(differences: Sequence[Difference], wanted: str) -> str:
    """A claim over several differences fails with the first that is shown to be the other way round."""
    opposite = {BETTER: WORSE, WORSE: BETTER}[wanted]
    verdicts = {each.verdict for each in differences}
    if verdicts == {wanted}:
        return HOLDS
    return FAILS if verdicts & {opposite, EQUIVALENT} else OPEN


def _joint(verdicts: Sequence[str]) -> str:
    return HOLDS if set(verdicts) == {HOLDS} else FAILS if FAILS in verdicts else OPEN
