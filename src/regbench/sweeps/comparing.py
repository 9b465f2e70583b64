"""The comparison of what a sweep's runs gave, printed at its end. Imports no torch."""

import shlex
from pathlib import Path

from regbench.config.errors import describe_error
from regbench.storage.study_folder import read_or_rebuild_plan


def print_comparison(folder: Path) -> None:
    """Print how the settings of a study compare, as far as it is finished; nothing where there is nothing to compare.

    Seeds that came in stages are compared by what decided how many are needed.

    Args:
        folder: The study's.
    """
    # Here, so that a sweep's start is not delayed by what is needed at its end.
    from regbench.study import load
    from regbench.study.comparisons import comparisons
    from regbench.study.measured import TEST_ACCURACY
    from regbench.study.printed import print_comparisons
    from regbench.study.statistics import compare

    try:
        metric = read_or_rebuild_plan(folder).metric or TEST_ACCURACY
        study = load(folder)
        families = [each.judged_by(metric, None) for each in comparisons(study) if len(each.labels) > 1]
        differences = [compare(each, metric, each.margin) for each in families]
    except Exception as error:  # what is said of the runs themselves must follow whatever happens here
        print(f"{folder}: nothing is compared: {describe_error(error)}", flush=True)
        return
    print_comparisons(families, differences)
    others = [each for each in (f"test/{name}" for name in study.kinds) if each != metric]
    if families and others:
        print(f"By {', '.join(others)}: regbench report {shlex.quote(str(folder))} --metric {others[0]}", flush=True)
