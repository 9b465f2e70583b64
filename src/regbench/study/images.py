"""Figures of predictions: confusion matrix, reliability diagram, and grids of samples and of certain mistakes."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from regbench.study.curves import legend_below
from regbench.study.predictions import Array, Mistake, Predictions, row_shares
from regbench.study.style import FAINT, PAPER, Look, Picture, canvas, drawing, picture, words

_NAMED_CELLS = 20


def confusion(name: str, counts: Array, classes: Sequence[str], label: str) -> Picture:
    """Percent of each class's test images by answer: right ones blue, wrong ones red, on a scale of their own.

    The cells are more or less transparent, so that the matrix reads on white and on black paper.
    """
    shares = 100 * row_shares(counts)
    wrong = shares - np.diag(np.diag(shares))
    with drawing():
        figure, axes = canvas(height=4.35)
        cells = np.zeros((*shares.shape, 4))
        cells[..., :3] = to_rgb("#d55e00")
        cells[..., 3] = 0.75 * np.sqrt(wrong / max(wrong.max(), 1e-9))
        steps = np.arange(len(shares))
        cells[steps, steps, :3] = to_rgb("#0072b2")
        cells[steps, steps, 3] = 0.1 + 0.45 * np.diag(shares) / 100
        axes.imshow(cells, interpolation="none")
        axes.grid(visible=False)
        if len(shares) <= _NAMED_CELLS:
            _name_cells(axes, shares)
            short = [words(each, 14) for each in classes]
            axes.set_yticks(steps, short)
            if max(map(len, short)) > 2:
                axes.set_xticks(steps, short, rotation=45, ha="right", rotation_mode="anchor")
            else:
                axes.set_xticks(steps, short)
        axes.tick_params(length=0, labelsize=8.5)
        axes.set_xlabel("answer")
        axes.set_ylabel("class")
        axes.set_title(words(label, 44))
        caption = f"{label}: percent of each class's test images by answer."
        return picture(name, caption, figure)


def reliability(name: str, predictions: Mapping[str, Predictions], styles: Mapping[str, Look]) -> Picture:
    """Accuracy against confidence: on the diagonal a network is as often right as it is sure."""
    with drawing():
        figure, axes = canvas(height=3.9)
        axes.plot([0, 100], [0, 100], color=FAINT, lw=1, ls=(0, (2, 2)))
        for label, found in predictions.items():
            number, certain, right = found.bins
            # A handful of predictions says nothing about a bin's accuracy.
            full = number >= max(10, 0.001 * number.sum())
            look = styles[label]
            axes.plot(
                100 * certain[full] / number[full], 100 * right[full] / number[full], color=look.color, ls=look.dash,
                marker=look.marker, ms=5, mec=PAPER, mew=0.6, lw=1.5,
                label=f"{words(label, 24)}: error {100 * np.mean(found.errors):.2f} %",
            )  # fmt: skip
        axes.set_xlim(0, 101)
        axes.set_ylim(0, 101)
        axes.set_xlabel("confidence, %")
        axes.set_ylabel("accuracy, %")
        axes.set_title("Reliability")
        legend_below(figure, axes)
        caption = (
            "Test accuracy of predictions by their confidence, all runs together, in 15 bins; below the dashed line a "
            "network is surer than right. Bins with fewer than 10 or one in 1,000 predictions are not drawn. The error "
            "is the expected calibration error, averaged over runs."
        )
        return picture(name, caption, figure)


def samples(name: str, images: Array, classes: Sequence[str]) -> Picture:
    """Four test images of every class, two classes a row."""
    shown = min(len(classes), len(images) // 4, _NAMED_CELLS)
    rows = -(-shown // 2)
    with drawing():
        figure, axes = canvas(height=0.2 + 0.72 * rows)
        for number in range(shown):
            left, top = (number % 2) * 4.5, -(number // 2) * 1.5
            axes.text(left, top + 0.06, words(classes[number], 24), fontsize=9, va="bottom")
            for step in range(4):
                _tile(axes, images[4 * number + step], left + step, top)
        _bare(axes, 8.5, -1.5 * rows + 0.45, 0.5)
        return picture(name, "Test images, four of every class.", figure)


def mistakes(name: str, found: Sequence[Mistake], classes: Sequence[str], label: str) -> Picture:
    """The test images that a setting's runs got most confidently wrong: class, answer and confidence beneath each."""
    rows = -(-len(found) // 4)
    with drawing():
        figure, axes = canvas(height=0.4 + 1.4 * rows)
        for number, mistake in enumerate(found):
            left, top = (number % 4) * 1.12, -(number // 4) * 1.44
            _tile(axes, mistake.image, left, top)
            told = f"{words(classes[mistake.target], 14)}\n→ {words(classes[mistake.answer], 12)}"
            axes.text(left, top - 1.0, f"{told}\n{100 * mistake.confidence:.1f} % sure", fontsize=8, va="top")
        _bare(axes, 4.36, -1.44 * rows + 0.02, 0.02)
        axes.set_title(words(label, 44))
        caption = f"{label}: its most certain mistakes, class → answer."
        return picture(name, caption, figure)


def _name_cells(axes: Axes, shares: Array) -> None:
    for row, column in zip(*np.nonzero(shares), strict=True):
        percent = f"{shares[row, column]:.0f}"
        axes.text(column, row, "·" if percent == "0" else percent, ha="center", va="center", fontsize=8)


def _tile(axes: Axes, image: Array, left: float, top: float) -> None:
    """One image, a unit wide, its upper left corner at (left, top)."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="none", extent=(left, left + 0.96, top - 0.96, top))


def _bare(axes: Axes, right: float, bottom: float, top: float) -> None:
    axes.set_xlim(0, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect("equal")
    axes.set_axis_off()
