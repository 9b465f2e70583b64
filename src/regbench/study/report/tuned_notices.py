"""What a reader of a tuned study must know before the verdicts."""

from pathlib import Path

from regbench.storage.study_folder import find_runs
from regbench.storage.tuning import EARLIER, Tuning
from regbench.study.measured import is_accuracy
from regbench.study.report.tuned_section import value_text
from regbench.study.results import Study
from regbench.study.run_tables import TUNED

# The bootstrap over fewer trials tells next to nothing of another search.
_FEW_TRIALS = 5


def certainty_notices(study: Study, metric: str) -> list[str]:
    """Return where verdicts on tuned settings count less of the search's own uncertainty than there is.

    Args:
        study: What was loaded.
        metric: What the verdicts are on.
    """
    tuning = study.tuning
    if TUNED not in study.runs:
        if any(each.startswith("regbench tune") for each in study.commands):
            return [
                "A search chose the values of these settings, but its search/tuning.json is not there: verdicts count "
                "the seeds alone, and not that another search would choose other values."
            ]
        return []
    lines = []
    if not is_accuracy(metric):
        lines.append(
            f"Verdicts on {metric} count the seeds alone, and not that another search would choose other values; those "
            "on accuracy count both."
        )
    if tuning is not None and tuning.budget < _FEW_TRIALS and tuning.searched:
        lines.append(
            f"{tuning.budget} trial{'s tell' if tuning.budget > 1 else ' tells'} next to nothing of what another "
            f"search would choose, so verdicts are surer than they should be; {_FEW_TRIALS} trials or more tell more."
        )
    if study.runs["study"].nunique() > 1:
        lines.append("Each study's own report tells of its search; settings of different searches are not compared.")
    if earlier := sum(len(find_runs(each)[0]) for each in _places(study, EARLIER)):
        lines.append(
            f"More trials have changed a choice after it was confirmed ({earlier} runs in {EARLIER}): whoever looks "
            "and searches on until a verdict pleases finds one that is false."
        )
    return lines


def tuned_notices(tuning: Tuning | None) -> list[str]:
    """Return what a reader of a tuned study must know: a search that is not whole, choices at the edge of a range."""
    if tuning is None:
        return []
    lines = []
    open_settings = [each.setting for each in tuning.settings if each.choice is None]
    if open_settings:
        lines.append(f"The search is not whole: nothing is chosen yet for {', '.join(open_settings)}.")
    for record in tuning.settings:
        for key, searched in record.space.items():
            if record.chosen is None or (edge := searched.edge(value := record.chosen.values[key])) is None:
                continue
            lines.append(
                f"{record.setting}: {key} = {value_text(value)} lies at the {edge} end of its range "
                f"({searched.described()}), so a wider one may do better."
            )
    return lines


def _places(study: Study, below: str) -> list[Path]:
    """Return a folder of each study that was read."""
    folders = {Path(each).parents[2] for each in study.runs["folder"] if isinstance(each, str) and each}
    return [each / below for each in sorted(folders)]
