"""The figures of a study's report, one by one, for a notebook or a paper: Matplotlib figures that may be changed."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from regbench.study.results import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from regbench.drawing.style import SettingStyle
    from regbench.study.comparisons import Comparison
    from regbench.study.figures.rendering import DrawnFigure
    from regbench.study.predictions import Predictions


class Plots:
    """A study's figures, as its report has them.

    Every method draws anew and returns a Matplotlib figure: change it and save it with `figure.savefig(…)`. Where a
    study holds several families of settings, such as two models, `family` says which one is drawn.

    Args:
        study: What was loaded.
    """

    def __init__(self, study: Study) -> None:
        self._study = study

    def advantage(self, metric: str | None = None, baseline: str = "none", family: str | int | None = None) -> "Figure":
        """Draw each setting's lead over the baseline by epoch, with 95 % intervals for all settings at an epoch.

        Args:
            metric: A column of `Study.history`; `val/acc` unless given, or `test/acc` where nothing was validated.
            baseline: The label that the others are compared with.
            family: The family's title or its place, from 0.

        Raises:
            ValueError: There is no such baseline, family or metric, or nothing to compare.
        """
        from regbench.storage.schema import name_of
        from regbench.study.measured import check_metric
        from regbench.study.report import family_figures
        from regbench.study.report.files import FileNames

        own = self._family(baseline, family)
        if metric is not None:
            _check_column(metric, own)
            if (name := name_of(metric)) in self._study.measured:
                check_metric(f"test/{name}", self._study.measured, self._study.metrics)
        drawn = family_figures.advantage_figure(own, self._styles(), FileNames(), metric)
        return _figure(drawn, "advantage", "a baseline, another setting and their curves")

    def differences(
        self, baseline: str = "none", family: str | int | None = None, metric: str = "test/acc"
    ) -> "Figure":
        """Draw each setting's difference in test accuracy from the baseline, with its interval and verdict.

        Args:
            baseline: As in `advantage`.
            family: As in `advantage`.
            metric: Another column of `Study.runs` to judge by, such as `test/f1`.

        Raises:
            ValueError: There is no such baseline, family or metric, or nothing to compare.
        """
        from regbench.study.report import family_figures
        from regbench.study.report.files import FileNames
        from regbench.study.statistics import compare

        own = self._family(baseline, family, metric)
        drawn = family_figures.difference_figure(own, compare(own, metric, own.margin), self._styles(), FileNames())
        return _figure(drawn, "differences", "a baseline and another setting")

    def seeds(self, family: str | int | None = None, metric: str = "test/acc") -> "Figure":
        """Draw every run's test accuracy, the same seed at the same height in every row.

        Args:
            family: As in `advantage`.
            metric: As in `differences`.

        Raises:
            ValueError: There is no such family or metric.
        """
        from regbench.study.report import family_figures
        from regbench.study.report.files import FileNames

        return family_figures.seeds_figure(self._family("none", family, metric), self._styles(), FileNames()).figure

    def pairs(self, baseline: str = "none", family: str | int | None = None, metric: str = "test/acc") -> "Figure":
        """Draw a line for every seed, from the baseline's test accuracy to the setting's.

        Args:
            baseline: As in `advantage`.
            family: As in `advantage`.
            metric: As in `differences`.

        Raises:
            ValueError: There is no such baseline, family or metric, or no setting shares two seeds with the baseline.
        """
        from regbench.study.report import family_figures
        from regbench.study.report.files import FileNames

        drawn = family_figures.pairs_figure(self._family(baseline, family, metric), self._styles(), FileNames())
        return _figure(drawn, "pairs", "a baseline that shares two seeds with another setting")

    def gap(self, family: str | int | None = None) -> "Figure":
        """Draw training and test accuracy of every setting, and the generalization gap between them.

        Args:
            family: As in `advantage`.

        Raises:
            ValueError: There is no such family.
        """
        from regbench.study.report import family_figures
        from regbench.study.report.files import FileNames

        return family_figures.gap_figure(self._family("none", family), self._styles(), FileNames()).figure

    def power(self, baseline: str = "none", family: str | int | None = None) -> "Figure":
        """Draw how likely a study of so many seeds shows a difference as large as the margin.

        Args:
            baseline: As in `advantage`.
            family: As in `advantage`.

        Raises:
            ValueError: There is no such baseline or family, or too few seeds to tell.
        """
        from regbench.study.report import family_figures
        from regbench.study.report.files import FileNames
        from regbench.study.statistics import compare

        own = self._family(baseline, family)
        drawn = family_figures.power_figure(own, compare(own), self._styles(), FileNames())
        return _figure(drawn, "power", "a setting whose difference from the baseline has an interval")

    def convergence(self, column: str = "val/acc", family: str | int | None = None) -> "Figure":
        """Draw a column of `Study.history` by epoch: the mean over seeds, and one standard deviation around it.

        Args:
            column: `probe/acc` (a fixed part of the training images), `val/acc`, `test/acc` where it was tracked, or
                the same of `loss`, or of a metric of the group `metrics`.
            family: As in `advantage`.

        Raises:
            ValueError: There is no such family or column.
        """
        from regbench.study.report import family_figures
        from regbench.study.report.files import FileNames

        own = self._family("none", family)
        _check_column(column, own)
        return family_figures.convergence_figure(own, self._styles(), column, FileNames()).figure

    def along(self, parameter: str | int | None = None) -> "Figure":
        """Draw accuracy against a number that was varied, such as a technique's strength or `train_size`.

        Args:
            parameter: Its title or its place among those that were varied, from 0; the only one unless given.

        Raises:
            ValueError: There is no such number, or none was varied.
        """
        from regbench.study.report.parameter_section import full_title, parameter_figures
        from regbench.study.varied_parameters import varied_parameters

        varied = varied_parameters(self._study)
        if not varied:
            raise ValueError("along: expected a number that differs from run to run; the study has none")
        place = _place("parameter", parameter, [full_title(each) for each in varied])
        return parameter_figures(varied[place], self._styles(), "along")[0].figure

    def reliability(self, family: str | int | None = None) -> "Figure":
        """Draw test accuracy against confidence: on the diagonal a network is as often right as it is sure.

        Args:
            family: As in `advantage`.

        Raises:
            ValueError: There is no such family, or its predictions cannot be read.
        """
        from regbench.study.figures.predictions import reliability_figure

        own = self._family("none", family)
        read = {label: _predictions(own, label, "reliability") for label in own.labels}
        return reliability_figure("reliability", read, self._styles()).figure

    def confusion(self, label: str, family: str | int | None = None) -> "Figure":
        """Draw a setting's confusion matrix: percent of each class's test images by answer, all its runs together.

        Args:
            label: A setting, as in the column `label` of `Study.runs`.
            family: As in `advantage`.

        Raises:
            ValueError: There is no such family or setting, or its predictions cannot be read.
        """
        from regbench.study.figures.predictions import confusion_figure

        own = self._family("none", family)
        read = _predictions(own, label, "confusion")
        return confusion_figure("confusion", read.confusion, self._classes(own, read), label).figure

    def mistakes(self, label: str, family: str | int | None = None) -> "Figure":
        """Show the test images that a setting's runs got most confidently wrong.

        Args:
            label: As in `confusion`.
            family: As in `advantage`.

        Raises:
            ValueError: As `confusion`, or there is no mistake.
        """
        from regbench.study.figures.predictions import mistake_grid

        own = self._family("none", family)
        read = _predictions(own, label, "mistakes")
        if not read.mistakes:
            raise ValueError(f"mistakes: expected a setting with wrong answers, received {label}, which has none")
        return mistake_grid("mistakes", read.mistakes, self._classes(own, read), label).figure

    def _family(self, baseline: str, family: str | int | None, metric: str = "test/acc") -> "Comparison":
        """Return the family that is asked for, or the only one, judged by a metric."""
        from regbench.study.comparisons import comparisons
        from regbench.study.measured import check_metric

        check_metric(metric, self._study.measured, self._study.metrics)
        found = comparisons(self._study, baseline)
        if not found:
            raise ValueError(f"{self._study.name}: expected finished runs, received none")
        return found[_place("family", family, [each.title for each in found])].judged_by(metric, None)

    def _styles(self) -> Mapping[str, "SettingStyle"]:
        """A setting looks the same in every figure of a study, as in its report."""
        from regbench.drawing.style import setting_styles
        from regbench.study.comparisons import comparisons

        labels = [label for each in comparisons(self._study) for label in each.labels]
        return setting_styles([*labels, *map(str, self._study.runs["label"].unique())])

    def _classes(self, comparison: "Comparison", read: "Predictions") -> list[str]:
        from regbench.study.report.family_figures import class_names, classes_of

        return class_names(classes_of(self._study, comparison), len(read.confusion))


def _check_column(column: str, comparison: "Comparison") -> None:
    from regbench.study.report.family_figures import recorded_curves

    recorded = recorded_curves(comparison)
    if column not in recorded:
        raise ValueError(f"expected one of {', '.join(recorded)}, which the runs recorded; received {column!r}")


def _figure(drawn: "DrawnFigure | None", name: str, expected: str) -> "Figure":
    if drawn is None:
        raise ValueError(f"{name}: expected {expected}; the study has none")
    return drawn.figure


def _predictions(comparison: "Comparison", label: str, name: str) -> "Predictions":
    from regbench.study.predictions import read_predictions

    if label not in comparison.labels:
        raise ValueError(f"{name}: expected one of {', '.join(comparison.labels)}; received {label!r}")
    folders = [folder for folder in comparison.runs_of(label)["folder"] if isinstance(folder, str) and folder]
    found = read_predictions(map(Path, folders))
    if not found.read:
        reason = found.problems[0] if found.problems else "they were read from a table"
        raise ValueError(f"{name}: expected runs of {label} with their predictions; {reason}")
    return found


def _place(name: str, asked: str | int | None, titles: list[str]) -> int:
    """Return the place of what is asked for by its title or its place; that of the only one where nothing is asked."""
    place = 0 if asked is None and len(titles) == 1 else titles.index(asked) if asked in titles else asked
    if not isinstance(place, int) or not 0 <= place < len(titles):
        listed = "; ".join(f"{place} ({title})" for place, title in enumerate(titles))
        raise ValueError(f"{name}: expected one of {listed}; received {'none' if asked is None else repr(asked)}")
    return place
