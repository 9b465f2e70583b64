"""A study as Python's users have it: its tables, what they say, its figures and its report."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from regbench.study.plots import Plots
from regbench.study.results import Study, load

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class LoadedStudy(Study):
    """A study's tables, with what can be asked of them.

    Attributes:
        paths: What was loaded.
    """

    paths: tuple[Path, ...] = ()

    def __repr__(self) -> str:
        """Say in a line what is there."""
        settings, seeds = self.runs["label"].nunique(), self.runs["seed"].nunique()
        left = f", {len(self.unfinished)} without a result" if len(self.unfinished) else ""
        return f"<{self.name}: {len(self.runs)} finished runs of {settings} settings, {seeds} seeds{left}>"

    @property
    def plot(self) -> Plots:
        """The report's figures, such as `study.plot.advantage()`."""
        return Plots(self)

    def compare(self, baseline: str = "none", metric: str = "test/acc", margin: float | None = None) -> "pd.DataFrame":
        """Compare every setting with the baseline, in pairs by seed.

        Args:
            baseline: The label that the others are compared with.
            metric: A column of `runs`, also of the group `metrics`, such as `test/f1`. By another metric than an
                accuracy nothing is called equivalent unless a margin is given.
            margin: The smallest difference that matters, in the metric's unit, such as 0.003 for 0.3 points of
                accuracy; each data set's own unless given.

        Returns:
            One row per setting and family, numbers unrounded, with the columns of a report's `comparison.csv`:
            `difference`, `low` and `high` (an interval that holds for all settings of a family at once), `verdict` and
            so on; and `sentence`, which says it in words. The baseline's row has no difference.

        Raises:
            ValueError: No run has the baseline's label, there is no such metric, or the margin is not above 0.
        """
        import pandas as pd

        from regbench.study.report.study_report import judge_families
        from regbench.study.report.tables import comparison_table

        families, found = judge_families(self, baseline, margin, metric)
        tables = []
        for family, differences in zip(families, found, strict=True):
            said = {each.label: each.sentence for each in differences}
            table = comparison_table(family, differences)
            tables.append(table.assign(comparison=family.title, sentence=table["label"].map(said).fillna("")))
        if not tables:
            raise ValueError(f"{self.name}: expected finished runs, received none")
        joined = pd.concat(tables, ignore_index=True)
        joined.insert(0, "comparison", joined.pop("comparison"))
        return joined

    def report(
        self,
        out: str | PathLike[str] | None = None,
        baseline: str = "none",
        margin: float | None = None,
        metric: str = "test/acc",
    ) -> Path:
        """Write tables, figures and `report.html`, as `regbench report` does, and return the page's path.

        Args:
            out: The report's folder; `report/` in the study's folder unless given.
            baseline: As in `compare`.
            margin: As in `compare`.
            metric: As in `compare`.

        Raises:
            ValueError: As `compare`, or several studies were loaded and `out` is not given.
        """
        from regbench.study.report import report_folder, report_on

        folder = report_folder(self.paths, "out=FOLDER") if out is None else Path(out)
        page, _ = report_on(self, self.paths, folder, baseline, margin, metric)
        return page


def load_study(*paths: str | PathLike[str]) -> LoadedStudy:
    """Read studies into tables that can be compared, drawn and reported.

    The test metrics of every run are computed from its `predictions.npz` and compared with the recorded ones. What the
    files of finished runs gave is kept in `.results.sqlite` in each study's folder, where that can be written, and
    counts for as long as they are the same files.

    Args:
        paths: Folders of studies, of single runs or of one run, and `results.csv` files that a report wrote
            (`history.csv` beside them) or the folders that hold these. A run that several paths give counts once.

    Raises:
        FileNotFoundError: A path does not exist.
        ValueError: A path holds no run.
    """
    return LoadedStudy(**vars(load(*paths)), paths=tuple(map(Path, paths)))
